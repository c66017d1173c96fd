-- Shares: pages of an image or a collection for everyone who knows the token. The file of the same name for the other database
-- makes the same table.

create table shares (
    id uuid primary key,
    -- In plain text, so that its owner can copy the link again.
    token text collate "C" not null,
    user_id text collate "C" not null,
    -- Either an image or a collection. Versions without shares delete them too.
    image_id uuid references images (id) on delete cascade,
    collection_id uuid references collections (id) on delete cascade,
    -- Null is never.
    expires_at timestamptz,
    password_hash text,
    -- How many images visitors may add, and have added. Null is none.
    max_guest_images bigint,
    guest_images bigint not null
);
create unique index shares_by_token on shares (token);
create index shares_by_user on shares (user_id, id);
create index shares_by_image on shares (image_id, id) where image_id is not null;
create index shares_by_collection on shares (collection_id, id) where collection_id is not null;
create index shares_by_expiry on shares (expires_at) where expires_at is not null;

-- Uploads in several requests. The file of the same name for the other database makes the same tables.

create table uploads (
    id uuid primary key,
    user_id text collate "C" not null,
    method text collate "C" not null,
    -- open, complete, failed, cancelled or expired. Only open ones count towards the quota.
    state text collate "C" not null,
    -- Limits how many uploads of a user are open: see the unique index.
    slot bigint not null,
    -- The announced length of the file in bytes.
    length bigint not null,
    -- The number of bytes that the service has received and stored.
    received bigint not null default 0,
    content_type text collate "C" not null,
    -- The announced SHA-256 of the file, in hex.
    sha256 text collate "C",
    -- Title, tags and so on, for the image.
    properties jsonb not null,
    image_id uuid,
    failure jsonb,
    expires_at timestamptz not null,
    -- When the sweeper must look at it.
    due_at timestamptz not null
);
create unique index uploads_by_slot on uploads (user_id, slot) where state = 'open';
create index uploads_by_user on uploads (user_id, id);
create index uploads_by_due on uploads (due_at);

-- The objects below `incoming/<upload id>/` that may exist.
create table upload_objects (
    upload_id uuid not null references uploads (id) on delete cascade,
    name text collate "C" not null,
    -- Where its bytes are in the file; null unless they are part of it.
    position bigint,
    length bigint,
    primary key (upload_id, name)
);

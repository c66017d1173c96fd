-- Images and what keeps them true. The file of the same name for the other database makes the same tables and columns.

-- An id is a UUIDv7, so order by id is order by creation: the only indexes that listing needs are led by what it filters by.
create table images (
    id uuid primary key,
    user_id text collate "C" not null,
    title text,
    description text,
    tags jsonb not null,
    file_name text not null,
    file_size bigint not null,
    format text not null,
    width bigint not null,
    height bigint not null,
    sha256 bytea not null,
    thumbnails jsonb not null,
    colors jsonb not null,
    placeholder bytea not null,
    metadata jsonb not null,
    processing_us bigint not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);
create index images_live on images (id) where deleted_at is null;
create index images_by_user on images (user_id, id) where deleted_at is null;
create index images_deleted on images (deleted_at) where deleted_at is not null;

-- Holds the tags of live images only: deleting an image takes its rows away, restoring puts them back.
create table image_tags (
    tag text collate "C" not null,
    user_id text collate "C" not null,
    image_id uuid not null references images (id),
    primary key (tag, image_id)
);
create index image_tags_by_user on image_tags (tag, user_id, image_id);
-- The reference is checked when an image is purged.
create index image_tags_by_image on image_tags (image_id);

-- Numbers of live images, kept in the transactions that change them, spread over slots.
create table counters (
    kind text collate "C" not null,
    key text collate "C" not null,
    slot bigint not null,
    n bigint not null,
    primary key (kind, key, slot)
) with (fillfactor = 50);

-- "Objects for this image may exist": written before the first object, deleted with the image's own insertion.
create table intents (
    image_id uuid primary key,
    state text not null,
    objects jsonb not null,
    created_at timestamptz not null
);
create index intents_by_age on intents (created_at);

-- The first answer to a request that may come again; `response` is null while the first is running.
create table idempotency_keys (
    user_id text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea not null,
    image_id uuid not null,
    response jsonb,
    created_at timestamptz not null,
    primary key (user_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

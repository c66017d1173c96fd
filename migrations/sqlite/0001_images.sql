-- Images and what keeps them true. The file of the same name for the other database makes the same tables and columns.

-- An id is a UUIDv7, so order by id is order by creation: the only indexes that listing needs are led by what it filters by.
create table images (
    id blob primary key,
    user_id text not null,
    title text,
    description text,
    tags text not null,
    file_name text not null,
    file_size integer not null,
    format text not null,
    width integer not null,
    height integer not null,
    sha256 blob not null,
    thumbnails text not null,
    colors text not null,
    placeholder blob not null,
    metadata text not null,
    processing_us integer not null,
    updated_at text not null,
    deleted_at text
);
create index images_live on images (id) where deleted_at is null;
create index images_by_user on images (user_id, id) where deleted_at is null;
create index images_deleted on images (deleted_at) where deleted_at is not null;

-- Holds the tags of live images only: deleting an image takes its rows away, restoring puts them back.
create table image_tags (
    tag text not null,
    user_id text not null,
    image_id blob not null references images (id),
    primary key (tag, image_id)
) without rowid;
create index image_tags_by_user on image_tags (tag, user_id, image_id);
-- The reference is checked when an image is purged.
create index image_tags_by_image on image_tags (image_id);

-- Numbers of live images, kept in the transactions that change them, spread over slots.
create table counters (
    kind text not null,
    key text not null,
    slot integer not null,
    n integer not null,
    primary key (kind, key, slot)
) without rowid;

-- "Objects for this image may exist": written before the first object, deleted with the image's own insertion.
create table intents (
    image_id blob primary key,
    state text not null,
    objects text not null,
    created_at text not null
) without rowid;
create index intents_by_age on intents (created_at);

-- The first answer to a request that may come again; `response` is null while the first is running.
create table idempotency_keys (
    user_id text not null,
    key text not null,
    fingerprint blob not null,
    image_id blob not null,
    response text,
    created_at text not null,
    primary key (user_id, key)
) without rowid;
create index idempotency_keys_by_age on idempotency_keys (created_at);

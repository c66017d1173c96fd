-- Private images: seen by their owners alone, and so kept out of every index, tag and counter that lists of others are made of.
-- The file of the same name for the other database makes the same tables and columns.

-- `public` or `private`.
alter table images add column visibility text not null default 'public';
-- Deleted by an administrator, so that its owner cannot restore it: what it was before, `live` or `deleted`.
alter table images add column taken_down text;
drop index images_live;
drop index images_by_user;
drop index images_imported;
create index images_live on images (id) where deleted_at is null and visibility = 'public';
create index images_by_user on images (user_id, id) where deleted_at is null and visibility = 'public';
create index images_private on images (user_id, id) where deleted_at is null and visibility = 'private';
create index images_imported on images (id) where imported and deleted_at is null and visibility = 'public';

-- As `image_tags`, which has those of public images, for private ones.
create table private_image_tags (
    user_id text not null,
    tag text not null,
    image_id blob not null references images (id),
    primary key (user_id, tag, image_id)
) without rowid;
-- The reference is checked when an image is purged.
create index private_image_tags_by_image on private_image_tags (image_id);

-- What a job's images are to be.
alter table imports add column visibility text not null default 'public';

-- Bytes of the live originals of a user, public and private.
insert into counters (kind, key, slot, n, moves)
    select 'user_bytes', user_id, 0, cast(sum(file_size) as bigint), 1 from images where deleted_at is null group by user_id;

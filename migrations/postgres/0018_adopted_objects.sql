-- Objects that were adopted: to adopt one again returns its image. The file of the same name for the other database makes the same
-- table.

create table adopted_objects (
    user_id text collate "C" not null,
    -- SHA-256 of the object's bucket, key and ETag.
    object bytea not null,
    image_id uuid not null references images (id) on delete cascade,
    primary key (user_id, object)
);
create index adopted_objects_by_image on adopted_objects (image_id);

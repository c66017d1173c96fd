-- Objects that were adopted: to adopt one again returns its image. The file of the same name for the other database makes the same
-- table.

create table adopted_objects (
    user_id text not null,
    -- SHA-256 of the object's bucket, key and ETag.
    object blob not null,
    image_id blob not null references images (id) on delete cascade,
    primary key (user_id, object)
) without rowid;
create index adopted_objects_by_image on adopted_objects (image_id);

-- Deleted images of a user, counted apart, and found oldest first. The file of the same name for the other database makes the
-- same index and rows.
create index images_trash on images (user_id, deleted_at) where deleted_at is not null and taken_down is null;

insert into counters (kind, key, slot, n, moves)
    select 'user_trash', user_id, 0, count(*), 1 from images
    where deleted_at is not null and taken_down is null group by user_id;
insert into counters (kind, key, slot, n, moves)
    select 'user_trash_bytes', user_id, 0, cast(sum(file_size) as bigint), 1 from images
    where deleted_at is not null and taken_down is null group by user_id;

-- What resized images take, and of whom: they count for the quota of the image's owner, as a counter `user_variant_bytes`. The file
-- of the same name for the other database makes the same columns and indexes.

-- 0 until the file is made. For files of older versions, which do not know the column, the sweeper writes it.
alter table variants add column bytes bigint not null default 0;
-- The owner of the image. Null in rows of older versions, until the sweeper writes it.
alter table variants add column user_id text collate "C";
update variants set user_id = (select i.user_id from images i where i.id = variants.image_id);

-- Where an owner's quota is full, what was asked for longest ago goes first.
create index variants_by_owner on variants (user_id, used_at) where state = 'ready';
create index variants_unmeasured on variants (used_at) where state = 'ready' and bytes = 0;

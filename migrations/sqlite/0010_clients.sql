-- Refresh tokens that come a second time within seconds, what views of an expiring link have paid for, and one spelling of Turkish
-- tags. The file of the same name for the other database makes the same tables and columns.

-- The refresh token before the newest one, when it was exchanged, and what the newest was derived with. Null until then, and for
-- sessions of older versions.
alter table sessions add column previous_hash blob;
alter table sessions add column rotation_salt blob;
alter table sessions add column rotated_at text;

-- Bytes that probes had for nothing, and bytes that a view has paid for and nobody has fetched yet.
alter table image_links add column probed_bytes integer not null default 0;
alter table image_links add column paid_bytes integer not null default 0;

-- Tags are kept without the dot above that the lower case of the Turkish capital I has: what was stored with it is found, and
-- counted, with the others.
update images set tags = (
    select json_group_array(tag) from (
        select replace(value, 'i̇', 'i') as tag, min(key) as place from json_each(images.tags) group by 1 order by place
    )
) where tags like '%i̇%';
update imports set tags = (
    select json_group_array(tag) from (
        select replace(value, 'i̇', 'i') as tag, min(key) as place from json_each(imports.tags) group by 1 order by place
    )
) where tags like '%i̇%';
insert into image_tags (tag, user_id, image_id)
    select replace(tag, 'i̇', 'i'), user_id, image_id from image_tags where tag like '%i̇%' on conflict do nothing;
delete from image_tags where tag like '%i̇%';
insert into private_image_tags (tag, user_id, image_id)
    select replace(tag, 'i̇', 'i'), user_id, image_id from private_image_tags where tag like '%i̇%' on conflict do nothing;
delete from private_image_tags where tag like '%i̇%';

-- Their counters are counted anew, in one slot: of these the sum alone is true.
create table respelt as
    select distinct kind, replace(key, 'i̇', 'i') as key from counters
    where kind in ('tag', 'user_tag', 'private_user_tag') and key like '%i̇%';
delete from counters
    where (kind, key) in (select kind, key from respelt)
    or kind in ('tag', 'user_tag', 'private_user_tag') and key like '%i̇%';
insert into counters (kind, key, slot, n, moves)
    select r.kind, r.key, 0, count(*), 1 from respelt r join image_tags t
    on r.kind = 'tag' and t.tag = r.key or r.kind = 'user_tag' and t.user_id || ',' || t.tag = r.key group by r.kind, r.key;
insert into counters (kind, key, slot, n, moves)
    select r.kind, r.key, 0, count(*), 1 from respelt r join private_image_tags t
    on r.kind = 'private_user_tag' and t.user_id || ',' || t.tag = r.key group by r.kind, r.key;
drop table respelt;

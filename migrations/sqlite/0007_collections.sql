-- Collections: images under a name, in the order in which they were added. The file of the same name for the other database
-- makes the same tables and columns.

-- Names are of one namespace, whoever owns them; one that is null is that of a collection that was deleted, and is taken apart by
-- the sweeper. `counter_key` is the id as the keys of counters spell it. `last_position` is the highest that was ever given.
create table collections (
    id blob primary key,
    counter_key text not null,
    name text,
    user_id text not null,
    visibility text not null,
    last_position integer not null,
    updated_at text not null
);
create unique index collections_by_name on collections (name);
create index collections_by_user on collections (user_id, id) where name is not null;
create index collections_going on collections (id) where name is null;

-- An image in a collection. Positions rise in the order of adding, and are not dense: they are moments in microseconds, or follow
-- one that is not over yet. `sight` follows the image: it is `public` or `private`, or `hidden` while it is deleted; so a page
-- is read from an index that has what it shows and nothing else. `user_id` is the image's owner.
create table collection_images (
    collection_id blob not null references collections (id),
    position integer not null,
    image_id blob not null references images (id),
    user_id text not null,
    sight text not null,
    primary key (collection_id, image_id)
) without rowid;
create index collection_images_by_image on collection_images (image_id);
create index collection_images_in_order on collection_images (collection_id, sight, position);
create index collection_images_private_in_order on collection_images (collection_id, user_id, position) where sight = 'private';
-- For lists of images that are filtered by a collection.
create index collection_images_by_id on collection_images (collection_id, sight, image_id);
create index collection_images_by_user on collection_images (collection_id, user_id, sight, image_id);

-- Held by who takes a collection apart, so that there is one at a time: rows are locked in any order then.
create table collection_sweeps (
    id integer primary key,
    taken integer not null
);
insert into collection_sweeps (id, taken) values (1, 0);

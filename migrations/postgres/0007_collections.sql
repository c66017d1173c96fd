-- Collections: images under a name, in the order in which they were added. The file of the same name for the other database
-- makes the same tables and columns.

-- Names are of one namespace, whoever owns them. `added` counts the images that were ever added.
create table collections (
    id uuid primary key,
    name text collate "C" not null,
    user_id text collate "C" not null,
    visibility text not null,
    added bigint not null,
    updated_at timestamptz not null
);
create unique index collections_by_name on collections (name);
create index collections_by_user on collections (user_id, id);

-- An image in a collection. `sight` follows the image: it is `public` or `private`, or `hidden` while it is deleted; so a page
-- is read from an index that has what it shows and nothing else. `user_id` is the image's owner.
create table collection_images (
    collection_id uuid not null references collections (id),
    position bigint not null,
    image_id uuid not null references images (id),
    user_id text collate "C" not null,
    sight text not null,
    primary key (collection_id, image_id)
);
create index collection_images_by_image on collection_images (image_id);
create index collection_images_in_order on collection_images (collection_id, sight, position);
create index collection_images_private_in_order on collection_images (collection_id, user_id, position) where sight = 'private';
-- For lists of images that are filtered by a collection.
create index collection_images_by_id on collection_images (collection_id, sight, image_id);
create index collection_images_private_by_id on collection_images (collection_id, user_id, image_id) where sight = 'private';

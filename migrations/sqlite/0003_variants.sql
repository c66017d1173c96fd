-- Pictures of any size, made when they are first asked for, each below its image's prefix.

-- `making` until `due_at`, a lease; `ready`; or `removing`, when the object is deleted after `due_at`, and then the row. A row
-- is there before its object and after it, so no foreign key: a removal outlives its image. An object's name is never
-- used again, so what is deleted late cannot be what was made anew.
create table variants (
    image_id blob not null,
    object text not null,
    rendering text not null,
    state text not null,
    due_at text not null,
    used_at text not null,
    primary key (image_id, object)
) without rowid;
-- Whoever inserts first makes it.
create unique index variants_by_rendering on variants (image_id, rendering) where state <> 'removing';
create index variants_by_due on variants (state, due_at) where state <> 'ready';
create index variants_by_use on variants (used_at) where state = 'ready';

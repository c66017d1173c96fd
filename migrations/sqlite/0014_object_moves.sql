-- Objects of deleted images move, so that URLs signed before lead to nothing. The file of the same name for the other database
-- makes the same table and column.

-- What the names of an image's uploaded objects begin with: nothing, or a random name of each move.
alter table images add column object_prefix text not null default '';

-- Objects are being copied below `to_prefix`; the row goes in the transaction that makes it the image's. Whoever announced it has until
-- `due_at`; then the sweeper tries.
create table object_moves (
    image_id blob primary key,
    to_prefix text not null,
    due_at text not null
) without rowid;
create index object_moves_by_due on object_moves (due_at);

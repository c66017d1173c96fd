-- Uploads in several requests. The file of the same name for the other database makes the same tables.

create table uploads (
    id blob primary key,
    user_id text not null,
    method text not null,
    -- open, complete, failed, cancelled or expired. Only open ones count towards the quota.
    state text not null,
    -- Whether it counts towards the limits of open uploads: until it is complete, or nobody can send its file any more.
    counted boolean not null,
    -- The announced length in bytes of what is sent; the maximum if none was announced.
    length integer not null,
    length_known boolean not null,
    -- The number of bytes that the service has received and stored.
    received integer not null default 0,
    content_type text not null,
    -- The announced SHA-256 of what is sent, in hex.
    sha256 text,
    -- Title, tags and so on, for the image. A form has its own.
    properties text not null,
    image_id blob,
    failure text,
    expires_at text not null,
    -- When the sweeper must look at it.
    due_at text not null
) without rowid;
create index uploads_by_user on uploads (user_id, id);
create index uploads_counted on uploads (user_id) where counted;
create index uploads_by_due on uploads (due_at);

-- The objects below `incoming/<upload id>/` that may exist.
create table upload_objects (
    upload_id blob not null references uploads (id) on delete cascade,
    name text not null,
    -- Where its bytes are in the file; null unless they are part of it.
    position integer,
    length integer,
    primary key (upload_id, name)
) without rowid;

-- Locked by the user's hash while the open uploads of a user are counted: not every user has an account.
create table upload_locks (
    id integer primary key
);
insert into upload_locks (id) values
    (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16), (17), (18), (19), (20), (21),
    (22), (23), (24), (25), (26), (27), (28), (29), (30), (31);

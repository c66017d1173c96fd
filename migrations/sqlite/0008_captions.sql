-- Captions, and the queue of those that are to be made. The file of the same name for the other database makes the same tables
-- and columns.

-- `off`, `pending`, `ready` or `failed`. The caption is the newest that was made, by `caption_model`; `caption_error` says why
-- the last one failed.
alter table images add column caption_status text not null default 'off';
alter table images add column caption text;
alter table images add column caption_model text;
alter table images add column caption_error text;

-- Images that wait for a caption, or are being captioned. One can be taken when `due_at` has come: then it is a time that was
-- waited for, or the end of the lease of whoever has taken it. `claim` shows who may say how it ended: a new claim has a new one.
create table caption_jobs (
    image_id blob primary key references images (id) on delete cascade,
    user_id text not null,
    attempts integer not null,
    due_at text not null,
    claim blob
);
-- Users take turns.
create index caption_jobs_by_turn on caption_jobs (user_id, due_at);

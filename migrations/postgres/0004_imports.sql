-- Jobs that import pictures from URLs, and the queue that instances share. The file of the same name for the other database
-- makes the same tables and columns.

-- A job. Its numbers are kept with its items; it is over when `completed` and `failed` are `total`.
create table imports (
    id uuid primary key,
    user_id text collate "C" not null,
    tags jsonb not null,
    total bigint not null,
    completed bigint not null,
    failed bigint not null,
    started_at timestamptz,
    finished_at timestamptz,
    cancelled_at timestamptz
);
create index imports_by_user on imports (user_id, id);
create index imports_finished on imports (finished_at) where finished_at is not null;

-- A URL of a job: `pending`; `waiting` to be tried again after `due_at`; `running` until `due_at`, a lease; `complete`; `failed`.
-- While it is running or complete, `image_id` is the image that it becomes, and shows who may say so: a new claim has a new one.
create table import_items (
    job_id uuid not null,
    position bigint not null,
    user_id text collate "C" not null,
    host text collate "C" not null,
    url text not null,
    state text not null,
    attempts bigint not null,
    due_at timestamptz not null,
    image_id uuid,
    reason text,
    primary key (job_id, position)
);
create index import_items_queue on import_items (user_id, host, job_id, position) where state = 'pending';
create index import_items_due on import_items (due_at) where state in ('waiting', 'running');
create index import_items_running on import_items (host) where state = 'running';
create index import_items_oldest on import_items (job_id) where state in ('pending', 'waiting');

-- One row. Whoever puts items into the queue or takes one out locks it. `served` counts those that were taken.
create table import_queue (
    id bigint primary key,
    served bigint not null
);
insert into import_queue (id, served) values (1, 0);

-- Who is next: users take turns, the one that was served longest ago first.
create table import_users (
    user_id text collate "C" primary key,
    served bigint not null
);
create index import_users_by_turn on import_users (served, user_id);

-- Of which hosts a user has pending items. Where the last one has gone, the row stays until somebody looks for it.
create table import_lanes (
    user_id text collate "C" not null,
    host text collate "C" not null,
    primary key (user_id, host)
);

-- Whose public links are listed.
alter table images add column imported boolean not null default false;
create index images_imported on images (id) where imported and deleted_at is null;

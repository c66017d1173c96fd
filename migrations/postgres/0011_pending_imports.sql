-- Jobs of a user that are not over: their URLs that wait are counted before another job is taken. The file of the same name for
-- the other database makes the same index.
create index imports_unfinished on imports (user_id) where finished_at is null;

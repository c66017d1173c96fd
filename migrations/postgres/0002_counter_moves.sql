-- How often a counter has moved, up or down. While it stays the same, so does the set that is counted, and a count that was
-- made of that set holds.
alter table counters add column moves bigint not null default 0;

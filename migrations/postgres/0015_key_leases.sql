-- Until when an idempotency key is held for the request that runs under it, which renews it; null where a version before this one
-- claimed it. The file of the same name for the other database makes the same column.
alter table idempotency_keys add column leased_until timestamptz;

-- When an API key is no longer good; null is never. The file of the same name for the other database makes the same column.
alter table api_keys add column expires_at timestamptz;

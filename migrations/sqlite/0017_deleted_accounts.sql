-- When an account was deleted. Its row stays, disabled and without address and password, until another account has its user: so what
-- the user has is as shut as it was. The file of the same name for the other database makes the same column.
alter table accounts add column deleted_at text;

-- Accounts: who may come in, with what, and what the plan gives. The file of the same name for the other database makes the
-- same tables and columns.

-- What accounts are given. `features` is read by `store/plans.rs`.
create table plans (
    name text primary key,
    features text not null,
    built_in boolean not null
);
insert into plans (name, features, built_in) values
    ('Basic', '{"thumbnails": ["small", "h200"], "original": false, "expiring_links": false, "custom_sizes": false, "imports": true, "max_bytes": null, "max_images": null}', true),
    ('Premium', '{"thumbnails": ["small", "medium", "h200", "h400"], "original": true, "expiring_links": false, "custom_sizes": false, "imports": true, "max_bytes": null, "max_images": null}', true),
    ('Enterprise', '{"thumbnails": ["small", "medium", "h200", "h400"], "original": true, "expiring_links": true, "custom_sizes": false, "imports": true, "max_bytes": null, "max_images": null}', true);

-- `user_id` is what images and imports know their owner by. Without a plan everything is given.
create table accounts (
    id blob primary key,
    user_id text not null,
    email text not null,
    password_hash text not null,
    plan text references plans (name),
    admin boolean not null,
    updated_at text not null,
    disabled_at text
);
create unique index accounts_by_user on accounts (user_id);
create unique index accounts_by_email on accounts (email);
create index accounts_by_plan on accounts (plan);

-- Logins that last: one row each, whatever number of tokens it has had. Only the newest refresh token fits. What refresh tokens
-- find it by is in no other token, so that whoever comes with it has had one of them.
create table sessions (
    id blob primary key,
    account_id blob not null references accounts (id),
    refresh_id blob not null,
    refresh_hash blob not null,
    expires_at text not null
);
create unique index sessions_by_refresh on sessions (refresh_id);
create index sessions_by_account on sessions (account_id, id);
create index sessions_by_expiry on sessions (expires_at);

-- What access tokens are signed with, where no setting gives it; the newest signs, the one before it is still good for a while.
create table signing_keys (
    generation integer primary key,
    secret blob not null,
    created_at text not null
);

-- `scopes` has commas between them; null is all.
create table api_keys (
    id blob primary key,
    account_id blob not null references accounts (id),
    description text not null,
    scopes text,
    hash blob not null,
    last_used_at text
);
create index api_keys_by_account on api_keys (account_id, id);

-- Links that expire.
create table image_links (
    id blob primary key,
    image_id blob not null references images (id),
    token_hash blob not null,
    expires_at text not null,
    max_views integer,
    views integer not null
);
create unique index image_links_by_token on image_links (token_hash);
create index image_links_by_image on image_links (image_id, id);
create index image_links_by_expiry on image_links (expires_at);

-- What administrators did. Rows are only ever added.
create table audit (
    id blob primary key,
    actor text not null,
    action text not null,
    subject text not null,
    details text not null
);

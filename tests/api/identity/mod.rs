//! Tests of identity: authentication, accounts, API keys, plans, permissions, rate limits and the audit trail.

mod access_control;
mod access_tokens;
mod account_concurrency;
mod account_deletion;
mod accounts;
mod api_key_scopes;
mod api_keys;
mod audit;
mod basic_authentication;
mod gateway;
mod login_throttle;
mod passwords;
mod permissions;
mod plans;
mod plans_crud;
mod rate_limits;
mod sessions;
mod signing_keys;
mod tokens;

//! Accounts, API keys, plans, sessions, tokens, and the authentication of each request.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod authentication;
pub mod gateway;
pub mod plans;
pub mod sessions;
pub mod tokens;

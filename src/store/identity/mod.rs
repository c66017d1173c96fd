//! The tables of accounts, API keys, plans, sessions, and the audit trail.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod plans;
pub mod sessions;

//! Identity and permissions: authentication, accounts, plans, quotas, rate limits, and the audit trail.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod authentication;
pub mod login_throttle;
pub mod page_pass;
pub(super) mod password_cache;
pub mod passwords;
pub mod permissions;
pub mod plans;
pub(super) mod quota;
pub mod rate_limits;
pub mod registration;
pub(super) mod secrets;
pub mod sessions;
pub mod tokens;

//! Settings of authentication and rate limits.

use clap::{Args, ValueEnum};

use super::error::{ConfigError, require};
use crate::http::identity::gateway;
use crate::http::server::client_address::{TrustedProxies, parse_network};
use crate::model::account::Email;
use crate::service::identity::rate_limits::{Rate, RateLimits};

/// Authentication and rate limits.
#[derive(Debug, Clone, Args)]
pub struct AccessConfig {
    /// How callers are authenticated. `required`: every write needs credentials. `trusted`: the user in `X-User-Id`, which a
    /// gateway sets, is accepted as well; unless HOST is a loopback address, this needs TRUSTED_PROXIES.
    #[arg(long, help_heading = "Access and accounts", env = "AUTH_MODE", value_enum, default_value_t = AuthMode::Trusted)]
    pub auth_mode: AuthMode,
    /// Comma-separated secrets for signing access tokens, each of at least 32 characters. The first signs; all are accepted.
    /// Unset: a key that is stored in the database and replaced every 30 days.
    #[arg(long, help_heading = "Access and accounts", env = "JWT_SECRET", value_delimiter = ',', hide_env_values = true)]
    pub jwt_secret: Vec<String>,
    /// Comma-separated addresses and networks of proxies. The service accepts the client address in their `X-Forwarded-For`
    /// and, with AUTH_MODE=trusted, the user in their `X-User-Id`.
    #[arg(long, help_heading = "Access and accounts", env = "TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// E-mail address of the administrator to create at startup if there is none yet. Needs ADMIN_PASSWORD_FILE.
    #[arg(long, help_heading = "Access and accounts", env = "ADMIN_EMAIL")]
    pub admin_email: Option<String>,
    /// File that contains the password for ADMIN_EMAIL. Needs ADMIN_EMAIL.
    #[arg(long, help_heading = "Access and accounts", env = "ADMIN_PASSWORD_FILE")]
    pub admin_password_file: Option<String>,
    /// Days after the login at which a session ends, however often its tokens were refreshed. The user must then log in again.
    #[arg(long, help_heading = "Access and accounts", env = "SESSION_MAX_DAYS", default_value_t = 90)]
    pub session_max_days: u32,
    /// Writes per minute by one authenticated caller, all of which may arrive at the same time. 0 disables the limit.
    #[arg(long, help_heading = "Rate limits", env = "RATE_LIMIT_UPLOADS_PER_CALLER", default_value_t = 0)]
    pub rate_limit_uploads_per_caller: u32,
    /// Writes per minute from one client address (for IPv6, a /64 network). 0 disables the limit.
    #[arg(long, help_heading = "Rate limits", env = "RATE_LIMIT_UPLOADS_PER_ADDRESS", default_value_t = 0)]
    pub rate_limit_uploads_per_address: u32,
    /// Reads per minute by one authenticated caller. 0 disables the limit.
    #[arg(long, help_heading = "Rate limits", env = "RATE_LIMIT_READS_PER_CALLER", default_value_t = 0)]
    pub rate_limit_reads_per_caller: u32,
    /// Reads per minute from one client address. 0 disables the limit.
    #[arg(long, help_heading = "Rate limits", env = "RATE_LIMIT_READS_PER_ADDRESS", default_value_t = 0)]
    pub rate_limit_reads_per_address: u32,
    /// Logins, token refreshes and passwords of shares per minute from one client address. 0 disables the limit. Failed
    /// logins are delayed independently of it.
    #[arg(long, help_heading = "Rate limits", env = "RATE_LIMIT_LOGINS_PER_ADDRESS", default_value_t = 0)]
    pub rate_limit_logins_per_address: u32,
}

/// How callers are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    Trusted,
    Required,
}

impl AccessConfig {
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        self.jwt_secret = self.jwt_secret.iter().map(|secret| secret.trim().to_owned()).collect();
        self.jwt_secret.retain(|secret| !secret.is_empty());
        let long = self.jwt_secret.iter().all(|secret| secret.len() >= 32);
        require(long, "JWT_SECRET", "each secret must have at least 32 characters; separate secrets with commas")?;
        self.trusted_proxies = self.trusted_proxies.iter().map(|network| network.trim().to_owned()).collect();
        self.trusted_proxies.retain(|network| !network.is_empty());
        for network in &self.trusted_proxies {
            let parsed = parse_network(network).map_err(|reason| ConfigError { variable: "TRUSTED_PROXIES", reason })?;
            require(
                self.auth_mode == AuthMode::Required || parsed.prefix_len() > 0,
                "TRUSTED_PROXIES",
                "with AUTH_MODE=trusted, a network of all addresses would let every client act as any user",
            )?;
        }
        self.admin_email = self.admin_email.take().map(|email| email.trim().to_owned()).filter(|email| !email.is_empty());
        self.admin_password_file.take_if(|path| path.is_empty());
        if let Some(email) = &self.admin_email {
            Email::parse(email).map_err(|reason| ConfigError { variable: "ADMIN_EMAIL", reason })?;
        }
        let (has_email, has_password) = (self.admin_email.is_some(), self.admin_password_file.is_some());
        require(has_email || !has_password, "ADMIN_EMAIL", "must be set, because ADMIN_PASSWORD_FILE is set")?;
        require(has_password || !has_email, "ADMIN_PASSWORD_FILE", "must be set, because ADMIN_EMAIL is set")?;
        require((1..=3650).contains(&self.session_max_days), "SESSION_MAX_DAYS", "must be from 1 to 3650")?;
        for (variable, limit) in [
            ("RATE_LIMIT_UPLOADS_PER_CALLER", self.rate_limit_uploads_per_caller),
            ("RATE_LIMIT_UPLOADS_PER_ADDRESS", self.rate_limit_uploads_per_address),
            ("RATE_LIMIT_READS_PER_CALLER", self.rate_limit_reads_per_caller),
            ("RATE_LIMIT_READS_PER_ADDRESS", self.rate_limit_reads_per_address),
            ("RATE_LIMIT_LOGINS_PER_ADDRESS", self.rate_limit_logins_per_address),
        ] {
            require(limit <= 1_000_000, variable, "must be at most 1000000 a minute")?;
        }
        Ok(())
    }

    pub(super) fn mode(&self) -> gateway::AuthMode {
        match self.auth_mode {
            AuthMode::Trusted => gateway::AuthMode::Trusted,
            AuthMode::Required => gateway::AuthMode::Required,
        }
    }

    pub(super) fn rates(&self) -> RateLimits {
        let rate = |per_caller, per_address| Rate { per_caller, per_address };
        RateLimits {
            uploads: rate(self.rate_limit_uploads_per_caller, self.rate_limit_uploads_per_address),
            reads: rate(self.rate_limit_reads_per_caller, self.rate_limit_reads_per_address),
            logins: rate(0, self.rate_limit_logins_per_address),
        }
    }

    pub(super) fn proxies(&self) -> TrustedProxies {
        // `check` has rejected invalid networks.
        TrustedProxies::new(self.trusted_proxies.iter().filter_map(|network| parse_network(network).ok()).collect())
    }
}

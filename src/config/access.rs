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
    /// Who is taken for a user: with `trusted` also whoever `X-User-Id` names, which a gateway sets; with `required` only who has
    /// credentials, and every write needs them. Where HOST is not a loopback address, `trusted` needs TRUSTED_PROXIES.
    #[arg(long, env = "AUTH_MODE", value_enum, default_value_t = AuthMode::Trusted)]
    pub auth_mode: AuthMode,
    /// Secrets that access tokens are signed with, comma-separated, each of at least 32 characters: the first signs, all are
    /// accepted; unset: the database keeps one, which is replaced every 30 days.
    #[arg(long, env = "JWT_SECRET", value_delimiter = ',', hide_env_values = true)]
    pub jwt_secret: Vec<String>,
    /// Addresses and networks, comma-separated, of proxies whose `X-Forwarded-For` tells where a request comes from, and, with
    /// AUTH_MODE=trusted, whose `X-User-Id` is believed.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// E-mail address of the administrator that is made at the start, if there is none yet.
    #[arg(long, env = "ADMIN_EMAIL")]
    pub admin_email: Option<String>,
    /// File with that administrator's password.
    #[arg(long, env = "ADMIN_PASSWORD_FILE")]
    pub admin_password_file: Option<String>,
    /// Days after which a session ends and its owner has to log in again, however often its tokens were renewed.
    #[arg(long, env = "SESSION_MAX_DAYS", default_value_t = 90)]
    pub session_max_days: u32,
    /// Writes a minute of one caller; 0 is no limit. The same number may come at once.
    #[arg(long, env = "RATE_LIMIT_UPLOADS_PER_CALLER", default_value_t = 0)]
    pub rate_limit_uploads_per_caller: u32,
    /// Writes a minute from one address (an IPv6 network of 64 bits); 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_UPLOADS_PER_ADDRESS", default_value_t = 0)]
    pub rate_limit_uploads_per_address: u32,
    /// Reads a minute of one caller; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_READS_PER_CALLER", default_value_t = 0)]
    pub rate_limit_reads_per_caller: u32,
    /// Reads a minute from one address; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_READS_PER_ADDRESS", default_value_t = 0)]
    pub rate_limit_reads_per_address: u32,
    /// Logins and renewals of tokens a minute from one address; 0 is no limit. Failures are slowed down apart from it.
    #[arg(long, env = "RATE_LIMIT_LOGINS_PER_ADDRESS", default_value_t = 0)]
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
            Email::parse(email).map_err(|reason| ConfigError { variable: "ADMIN_EMAIL", reason: format!("it {reason}") })?;
        }
        let whose = self.admin_email.is_some() || self.admin_password_file.is_none();
        require(whose, "ADMIN_PASSWORD_FILE", "set ADMIN_EMAIL to the administrator's e-mail address as well")?;
        require((1..=3650).contains(&self.session_max_days), "SESSION_MAX_DAYS", "it must be from 1 to 3650")?;
        for (variable, limit) in [
            ("RATE_LIMIT_UPLOADS_PER_CALLER", self.rate_limit_uploads_per_caller),
            ("RATE_LIMIT_UPLOADS_PER_ADDRESS", self.rate_limit_uploads_per_address),
            ("RATE_LIMIT_READS_PER_CALLER", self.rate_limit_reads_per_caller),
            ("RATE_LIMIT_READS_PER_ADDRESS", self.rate_limit_reads_per_address),
            ("RATE_LIMIT_LOGINS_PER_ADDRESS", self.rate_limit_logins_per_address),
        ] {
            require(limit <= 1_000_000, variable, "it must be at most 1000000 a minute")?;
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

//! Settings of imports from URLs.

use clap::Args;

use super::days;
use super::error::{ConfigError, require};
use super::units::Seconds;
use crate::fetch::FetchConfig;
use crate::service::jobs::import_queue::{DEFAULT_MAX_PENDING, ImportLimits};
use crate::service::jobs::imports::Order;

/// How URLs are fetched, and how many concurrently.
#[derive(Debug, Clone, Args)]
pub struct ImportConfig {
    /// URLs that are imported at once by this process; 0 leaves them to others.
    #[arg(long, env = "IMPORT_CONCURRENCY", default_value_t = 8)]
    pub import_concurrency: usize,
    /// URLs of one host that are imported at once, by all instances together.
    #[arg(long, env = "IMPORT_HOST_CONCURRENCY", default_value_t = 4)]
    pub import_host_concurrency: u32,
    /// URLs of one user that can wait to be imported, at least 100; an order beyond them is refused with 429.
    #[arg(long, env = "IMPORT_MAX_PENDING", default_value_t = DEFAULT_MAX_PENDING)]
    pub import_max_pending: u32,
    /// Times that a URL is fetched at most, when what fails may pass.
    #[arg(long, env = "IMPORT_ATTEMPTS", default_value_t = 3)]
    pub import_attempts: u32,
    /// Seconds before a URL is fetched a second time, give or take a half; four times as many before each further time.
    #[arg(long, env = "IMPORT_RETRY_DELAY", default_value_t = Seconds(10))]
    pub import_retry_delay: Seconds,
    /// Seconds that a URL's host has to begin its answer, and that it may pause within it.
    #[arg(long, env = "IMPORT_ANSWER_TIMEOUT", default_value_t = Seconds(15))]
    pub import_answer_timeout: Seconds,
    /// Seconds that fetching a URL may take in all, redirects included.
    #[arg(long, env = "IMPORT_TIMEOUT", default_value_t = Seconds(60))]
    pub import_timeout: Seconds,
    /// Ports that URLs may lead to, comma-separated.
    #[arg(long, env = "IMPORT_PORTS", value_delimiter = ',', default_value = "80,443")]
    pub import_ports: Vec<u16>,
    /// Whether URLs may lead to addresses that are not public, for tests and intranets; link-local addresses and clouds'
    /// metadata stay refused.
    #[arg(long, env = "ALLOW_PRIVATE_IMPORTS", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_private_imports: bool,
    /// Days that a finished import is kept, its images apart; 0 is for ever.
    #[arg(long, env = "IMPORT_RETENTION_DAYS", default_value_t = 30)]
    pub import_retention_days: u32,
}

impl ImportConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require(self.import_concurrency <= 64, "IMPORT_CONCURRENCY", "it must be at most 64")?;
        require(self.import_host_concurrency >= 1, "IMPORT_HOST_CONCURRENCY", "it must be at least 1")?;
        require(
            self.import_max_pending as usize >= Order::MAX_URLS,
            "IMPORT_MAX_PENDING",
            &format!("it must be at least {}, the maximum number of URLs in one import job", Order::MAX_URLS),
        )?;
        require((1..=100).contains(&self.import_attempts), "IMPORT_ATTEMPTS", "it must be from 1 to 100")?;
        for (variable, time) in [
            ("IMPORT_RETRY_DELAY", self.import_retry_delay),
            ("IMPORT_ANSWER_TIMEOUT", self.import_answer_timeout),
            ("IMPORT_TIMEOUT", self.import_timeout),
        ] {
            require((1..=3600).contains(&time.0), variable, "it must be from 1 to 3600 seconds")?;
        }
        require(
            !self.import_ports.is_empty() && !self.import_ports.contains(&0),
            "IMPORT_PORTS",
            "each port must be from 1 to 65535",
        )
    }

    pub fn fetch(&self) -> FetchConfig {
        FetchConfig {
            ports: self.import_ports.clone(),
            allow_private: self.allow_private_imports,
            answer_timeout: self.import_answer_timeout.duration(),
            total_timeout: self.import_timeout.duration(),
        }
    }

    pub(super) fn limits(&self) -> ImportLimits {
        ImportLimits {
            max_pending: self.import_max_pending,
            attempts: self.import_attempts,
            concurrency: self.import_concurrency,
            per_host: self.import_host_concurrency,
            retry_delay: self.import_retry_delay.duration(),
            patience: self.import_timeout.duration(),
            retention: (self.import_retention_days > 0).then(|| days(self.import_retention_days)),
        }
    }
}

//! Settings of imports from URLs.

use clap::Args;

use super::days;
use super::error::{ConfigError, require};
use super::units::{Seconds, read_port};
use crate::fetch::FetchConfig;
use crate::service::jobs::import_queue::{DEFAULT_MAX_PENDING, ImportLimits};
use crate::service::jobs::imports::ImportRequest;

/// How URLs are fetched, and how many concurrently.
#[derive(Debug, Clone, Args)]
pub struct ImportConfig {
    /// Number of URLs that this instance imports at the same time. 0 leaves imports to other instances.
    #[arg(long, help_heading = "Imports", env = "IMPORT_CONCURRENCY", default_value_t = 8)]
    pub import_concurrency: usize,
    /// Number of URLs of one host that all instances together import at the same time.
    #[arg(long, help_heading = "Imports", env = "IMPORT_HOST_CONCURRENCY", default_value_t = 4)]
    pub import_host_concurrency: u32,
    /// Maximum number of unfinished URLs per user, at least 100. A job that would exceed it is rejected with 429.
    #[arg(long, help_heading = "Imports", env = "IMPORT_MAX_PENDING", default_value_t = DEFAULT_MAX_PENDING)]
    pub import_max_pending: u32,
    /// Maximum number of times that a URL is fetched if the error is transient.
    #[arg(long, help_heading = "Imports", env = "IMPORT_ATTEMPTS", default_value_t = 3)]
    pub import_attempts: u32,
    /// Delay in seconds before the first retry, randomized by ±50%. Each further delay is four times as long, up to one hour.
    #[arg(long, help_heading = "Imports", env = "IMPORT_RETRY_DELAY", default_value_t = Seconds(10))]
    pub import_retry_delay: Seconds,
    /// Maximum time in seconds for a host to start its response, and for each pause within it.
    #[arg(long, help_heading = "Imports", env = "IMPORT_ANSWER_TIMEOUT", default_value_t = Seconds(15))]
    pub import_answer_timeout: Seconds,
    /// Maximum time in seconds to fetch a URL, including redirects.
    #[arg(long, help_heading = "Imports", env = "IMPORT_TIMEOUT", default_value_t = Seconds(60))]
    pub import_timeout: Seconds,
    /// Comma-separated ports to which URLs may point.
    #[arg(long, help_heading = "Imports", env = "IMPORT_PORTS", value_delimiter = ',', value_parser = read_port, default_value = "80,443")]
    pub import_ports: Vec<u16>,
    /// Whether URLs may point to addresses that are not public, for tests and intranets. Link-local addresses and the metadata
    /// services of clouds stay blocked.
    #[arg(long, help_heading = "Imports", env = "ALLOW_PRIVATE_IMPORTS", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_private_imports: bool,
    /// Days that a finished import job is kept. 0 keeps it forever. The imported images are not affected.
    #[arg(long, help_heading = "Imports", env = "IMPORT_RETENTION_DAYS", default_value_t = 30)]
    pub import_retention_days: u32,
}

impl ImportConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require(self.import_concurrency <= 64, "IMPORT_CONCURRENCY", "must be at most 64")?;
        require(self.import_host_concurrency >= 1, "IMPORT_HOST_CONCURRENCY", "must be at least 1")?;
        require(
            self.import_max_pending as usize >= ImportRequest::MAX_URLS,
            "IMPORT_MAX_PENDING",
            &format!("must be at least {}, the maximum number of URLs in one import job", ImportRequest::MAX_URLS),
        )?;
        require((1..=100).contains(&self.import_attempts), "IMPORT_ATTEMPTS", "must be from 1 to 100")?;
        for (variable, time) in [
            ("IMPORT_RETRY_DELAY", self.import_retry_delay),
            ("IMPORT_ANSWER_TIMEOUT", self.import_answer_timeout),
            ("IMPORT_TIMEOUT", self.import_timeout),
        ] {
            require((1..=3600).contains(&time.0), variable, "must be from 1 to 3600 seconds")?;
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
            memory_wait: self.import_timeout.duration(),
            retention: (self.import_retention_days > 0).then(|| days(self.import_retention_days)),
        }
    }
}

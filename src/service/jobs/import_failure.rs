//! Why an item of an import job was not stored.

use std::time::Duration;

use crate::service::error::Error;

/// The reason why an item was not stored.
#[derive(Debug)]
pub(in crate::service) enum ImportFailure {
    /// The URL is at fault. `retry_after` is `Some` for transient errors: the minimum delay that the host requested.
    Url { reason: String, retry_after: Option<Duration> },
    /// The service is at fault.
    Service(Error),
    /// No memory was free to receive the file.
    NoMemory,
    /// The service is shutting down.
    Stopping,
}

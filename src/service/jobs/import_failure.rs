//! Why an item of an import job was not stored.

use std::time::Duration;

use crate::service::error::Error;

/// Why an item was not stored.
#[derive(Debug)]
pub(in crate::service) enum ImportFailure {
    /// The URL's own; `Some` when trying again may help, and how long it asks to wait at least.
    Url { reason: String, retry_after: Option<Duration> },
    /// The service's own.
    Service(Error),
    /// There was no memory to take it into.
    NoMemory,
    /// The service is asked to stop.
    Stopping,
}

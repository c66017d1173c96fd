//! The tally: on a timer, writes the statistics that were gathered in memory. What is counted is `service/maintenance/stats.rs`'s rule.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::service::error::chain;

/// So much is lost of a process that is killed.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes until `stop`. What is counted after that, the service itself writes when it ends.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = service.write_tally().await {
            service.repeated_failures.warn(format!("the statistics could not be written and are kept: {}", chain(&error)));
        }
    }
}

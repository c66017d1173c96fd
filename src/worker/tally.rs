//! Writes, at intervals, the statistics that are gathered in memory. What is counted is in `service/maintenance/stats.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::service::error::chain;

/// This much is lost if the process is killed.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until `stop`. The service writes what is counted after that when it shuts down.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = service.write_tally().await {
            service.repeated.warn(format!("the statistics could not be written and remain in memory: {}", chain(&error)));
        }
    }
}

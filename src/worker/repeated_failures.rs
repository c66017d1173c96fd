//! Logs how often failures were repeated. The rules are in `service/maintenance/repeated_failures.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Service;

const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        service.repeated.tell();
    }
}

//! Prepares the bucket at startup, and later checks regularly whether versioning is enabled. The rules are in
//! `service/maintenance/bucket.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// Pause between attempts while the bucket does not respond.
const PAUSE: Duration = Duration::from_secs(5);

/// Versioning is enabled by hand, and rarely.
const INTERVAL: Duration = Duration::from_secs(600);

/// Runs until `stop`.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    let checks = async {
        loop {
            let wait = if service.prepare_bucket().await { INTERVAL } else { PAUSE };
            tokio::time::sleep(wait).await;
        }
    };
    stop.run_until_cancelled(checks).await;
}

//! Looks after the bucket: at the start until it answers, and now and then whether it keeps old versions. What is done about either is
//! `service/maintenance/bucket.rs`'s rule.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// While the bucket does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Versioning is turned on by hand, and rarely.
const INTERVAL: Duration = Duration::from_secs(600);

/// Looks until `stop`.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    let looking = async {
        loop {
            let wait = if service.prepare_bucket().await { INTERVAL } else { PAUSE };
            tokio::time::sleep(wait).await;
        }
    };
    stop.run_until_cancelled(looking).await;
}

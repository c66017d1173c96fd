//! The sweeper: on a timer, removes what nobody will ask for again. What it may remove is `service/sweep.rs`'s rule.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::sweep::Outcome;
use crate::service::{Error, Service};

/// Sweeps until `stop`, every `interval` and until there is nothing left to do.
pub async fn run(service: Arc<Service>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sweep(&service) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Works until nothing is left or something fails; what failed is tried again at the next interval.
async fn sweep(service: &Service) {
    loop {
        match run_next(service).await {
            Ok(Outcome::Done) => {}
            Ok(Outcome::NothingToDo) => {
                let now = service.clock().now().timestamp_millis();
                #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double exactly")]
                service.metrics.sweeper_last_success_seconds.set(now as f64 / 1000.0);
                return;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the sweeper will try again");
                return;
            }
        }
    }
}

/// One round of the sweeper's steps.
///
/// # Errors
/// The first step that failed; the others were tried.
pub async fn run_next(service: &Service) -> Result<Outcome, Error> {
    let steps = [
        ("purge_image", service.purge_next().await),
        ("abandon_upload", service.abandon_next().await),
        ("remove_objects", service.remove_objects().await),
        ("expire_keys", service.expire_keys().await),
    ];
    let mut outcome = Outcome::NothingToDo;
    let mut failure = None;
    for (step, result) in steps {
        match result {
            Ok(Outcome::Done) => {
                service.metrics.count_sweep(step, "done");
                outcome = Outcome::Done;
            }
            Ok(Outcome::NothingToDo) => {}
            Err(error) => {
                service.metrics.count_sweep(step, "failed");
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(outcome), Err)
}

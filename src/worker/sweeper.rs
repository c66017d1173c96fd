//! The sweeper: on a timer, removes what nobody will ask for again. What it may remove is `service/maintenance/sweep.rs`'s rule.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::error::chain;
use crate::service::maintenance::step::Outcome;
use crate::service::{Error, Service};

/// Sweeps until `stop`, every `interval`.
pub async fn run(service: Arc<Service>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // What failed is in the log.
            _ = sweep(&service) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Takes each step until nothing is left for it or it fails. What failed is tried again at the next interval, and holds
/// up no other step.
///
/// # Errors
/// The first failure; the other steps were taken.
pub async fn sweep(service: &Service) -> Result<Outcome, Error> {
    let mut outcome = Outcome::NothingToDo;
    let mut failure = None;
    for step in Step::ALL {
        loop {
            match take(service, step).await {
                Ok(Outcome::Done) => outcome = Outcome::Done,
                Ok(Outcome::NothingToDo) => break,
                Err(error) => {
                    service.repeated_failures.warn(format!(
                        "the sweeper cannot take its step {}: {}",
                        step.name(),
                        chain(&error)
                    ));
                    failure.get_or_insert(error);
                    break;
                }
            }
        }
    }
    if failure.is_none() {
        let now = service.clock().now().timestamp_millis();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double exactly")]
        service.metrics.sweeper_last_success_seconds.set(now as f64 / 1000.0);
    }
    failure.map_or(Ok(outcome), Err)
}

async fn take(service: &Service, step: Step) -> Result<Outcome, Error> {
    let result = match step {
        Step::PurgeImage => service.purge_next().await,
        Step::AbandonUpload => service.abandon_next_upload().await,
        Step::ExpireKeys => service.expire_keys().await,
        Step::ExpireImports => service.expire_imports().await,
        Step::ExpireAccess => service.expire_access().await,
        Step::RemoveCollections => service.remove_collections().await,
        Step::GiveUpVariants => service.expire_variants().await,
        Step::MoveObjects => service.move_next_objects().await,
        Step::MeasureVariants => service.measure_variants().await,
        Step::RemoveObjects => service.remove_objects().await,
        Step::RemoveVariants => service.remove_variant_objects().await,
    };
    match &result {
        Ok(Outcome::Done) => service.metrics.count_sweep(step.name(), "done"),
        Ok(Outcome::NothingToDo) => {}
        Err(_) => service.metrics.count_sweep(step.name(), "failed"),
    }
    result
}

#[derive(Debug, Clone, Copy)]
enum Step {
    PurgeImage,
    AbandonUpload,
    ExpireKeys,
    ExpireImports,
    ExpireAccess,
    RemoveCollections,
    GiveUpVariants,
    MoveObjects,
    MeasureVariants,
    RemoveObjects,
    RemoveVariants,
}

impl Step {
    /// In this order: first what announces removals, then the removals, which wait for the storage.
    const ALL: [Self; 11] = [
        Self::PurgeImage,
        Self::AbandonUpload,
        Self::ExpireKeys,
        Self::ExpireImports,
        Self::ExpireAccess,
        Self::RemoveCollections,
        Self::GiveUpVariants,
        Self::MoveObjects,
        Self::MeasureVariants,
        Self::RemoveObjects,
        Self::RemoveVariants,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PurgeImage => "purge_image",
            Self::AbandonUpload => "abandon_upload",
            Self::ExpireKeys => "expire_keys",
            Self::ExpireImports => "expire_imports",
            Self::ExpireAccess => "expire_access",
            Self::RemoveCollections => "remove_collections",
            Self::GiveUpVariants => "give_up_variants",
            Self::MoveObjects => "move_objects",
            Self::MeasureVariants => "measure_variants",
            Self::RemoveObjects => "remove_objects",
            Self::RemoveVariants => "remove_variants",
        }
    }
}

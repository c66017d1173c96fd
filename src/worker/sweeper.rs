//! The sweeper: removes, at intervals, what is no longer needed. The rules are in `service/maintenance/sweep.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::error::chain;
use crate::service::maintenance::step::Outcome;
use crate::service::{Error, Service};

/// Sweeps every `interval`, until `stop`.
pub async fn run(service: Arc<Service>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // `sweep` has logged the failure.
            _ = sweep(&service) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Repeats each step until it has nothing left to do, or fails. A step that failed is retried at the next interval; it does not
/// block the other steps.
///
/// # Errors
/// The first failure; all other steps have run.
pub async fn sweep(service: &Service) -> Result<Outcome, Error> {
    let mut outcome = Outcome::NothingToDo;
    let mut failure = None;
    for step in Step::ALL {
        loop {
            match take(service, step).await {
                Ok(Outcome::Done) => outcome = Outcome::Done,
                Ok(Outcome::NothingToDo) => break,
                Err(error) => {
                    service.repeated_failures.warn(format!("the sweeper's step {} failed: {}", step.name(), chain(&error)));
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
        Step::ExpireUploads => service.expire_uploads().await,
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
    ExpireUploads,
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
    /// The order matters: first the steps that announce removals, then the removals, which wait for the storage.
    const ALL: [Self; 12] = [
        Self::PurgeImage,
        Self::AbandonUpload,
        Self::ExpireKeys,
        Self::ExpireImports,
        Self::ExpireAccess,
        Self::RemoveCollections,
        Self::GiveUpVariants,
        Self::MoveObjects,
        Self::MeasureVariants,
        Self::ExpireUploads,
        Self::RemoveObjects,
        Self::RemoveVariants,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PurgeImage => "purge_image",
            Self::AbandonUpload => "abandon_upload",
            Self::ExpireKeys => "expire_keys",
            Self::ExpireUploads => "expire_uploads",
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

//! The import worker: processes the queue of imports. On shutdown, images that have been fetched are stored, and the other items
//! are released.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::queue::{ClaimResult, Queue};
use crate::service::jobs::import_queue::{Claimed, ClaimedItem};
use crate::service::jobs::queue::Ended;
use crate::service::maintenance::sweep::Outcome;
use crate::service::{Error, Service};

#[derive(Debug)]
pub struct Imports;

impl Queue for Imports {
    type Item = Box<ClaimedItem>;

    const NAME: &'static str = "imports";

    fn concurrency(service: &Service) -> usize {
        service.limits().imports.concurrency
    }

    async fn job_added(service: &Service) {
        service.import_ordered.notified().await;
    }

    async fn claim(service: &Service) -> Result<ClaimResult<Self::Item>, Error> {
        Ok(match service.claim_import().await? {
            Claimed::Item(item) => ClaimResult::Item(item),
            Claimed::Look => ClaimResult::Retry,
            Claimed::Nothing => ClaimResult::Empty,
        })
    }

    async fn process(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> Ended {
        service.import(*item, &stop).await
    }
}

/// Claims the next item and processes it.
///
/// # Errors
/// The queue could not be read.
pub async fn run_next(service: &Arc<Service>) -> Result<Outcome, Error> {
    loop {
        match service.claim_import().await? {
            Claimed::Item(claimed) => {
                service.import(*claimed, &CancellationToken::new()).await;
                return Ok(Outcome::Done);
            }
            Claimed::Look => {}
            Claimed::Nothing => return Ok(Outcome::NothingToDo),
        }
    }
}

//! The importer: works off the queue of imports. What has been fetched when it is to stop is stored, what has not is given back.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Taken};
use crate::service::jobs::import_queue::{Claimed, ClaimedItem};
use crate::service::jobs::queue::WorkOutcome;
use crate::service::maintenance::step::Outcome;
use crate::service::{Error, Service};

#[derive(Debug)]
pub struct Imports;

impl Queue for Imports {
    type Item = Box<ClaimedItem>;

    const NAME: &'static str = "imports";

    fn concurrency(service: &Service) -> usize {
        service.limits().imports.concurrency
    }

    async fn ordered(service: &Service) {
        service.import_created.notified().await;
    }

    async fn take(service: &Service) -> Result<Taken<Self::Item>, Error> {
        Ok(match service.claim_import().await? {
            Claimed::Item(item) => Taken::Item(item),
            Claimed::TryAgain => Taken::Look,
            Claimed::Nothing => Taken::Nothing,
        })
    }

    async fn work(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> WorkOutcome {
        service.import(*item, &stop).await
    }
}

/// Takes the next item and works on it to its end.
///
/// # Errors
/// The queue could not be looked at.
pub async fn run_next(service: &Arc<Service>) -> Result<Outcome, Error> {
    loop {
        match service.claim_import().await? {
            Claimed::Item(claimed) => {
                service.import(*claimed, &CancellationToken::new()).await;
                return Ok(Outcome::Done);
            }
            Claimed::TryAgain => {}
            Claimed::Nothing => return Ok(Outcome::NothingToDo),
        }
    }
}

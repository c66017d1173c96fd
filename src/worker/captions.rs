//! The caption worker: processes the queue of caption jobs. On shutdown, jobs in progress are released.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::queue::{ClaimResult, Queue};
use crate::service::jobs::caption_queue::ClaimedCaption;
use crate::service::jobs::captions::Captions as Setting;
use crate::service::jobs::queue::Ended;
use crate::service::maintenance::sweep::Outcome;
use crate::service::{Error, Service};

#[derive(Debug)]
pub struct Captions;

impl Queue for Captions {
    type Item = ClaimedCaption;

    const NAME: &'static str = "captions";

    fn concurrency(service: &Service) -> usize {
        if let Setting::On(_) = service.captions { service.limits().captions.concurrency } else { 0 }
    }

    async fn job_added(service: &Service) {
        service.caption_asked().await;
    }

    async fn claim(service: &Service) -> Result<ClaimResult<Self::Item>, Error> {
        Ok(service.claim_caption().await?.map_or(ClaimResult::Empty, ClaimResult::Item))
    }

    async fn process(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> Ended {
        service.caption(item, &stop).await
    }
}

/// Claims the next job and processes it.
///
/// # Errors
/// The queue could not be read.
pub async fn run_next(service: &Service) -> Result<Outcome, Error> {
    let Some(claimed) = service.claim_caption().await? else { return Ok(Outcome::NothingToDo) };
    service.caption(claimed, &CancellationToken::new()).await;
    Ok(Outcome::Done)
}

//! The captioner: works off the queue of captions. What is under way when it is to stop is given back.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Taken};
use crate::service::jobs::caption_queue::ClaimedCaption;
use crate::service::jobs::captions::Captions as Setting;
use crate::service::jobs::queue::WorkOutcome;
use crate::service::maintenance::step::Outcome;
use crate::service::{Error, Service};

#[derive(Debug)]
pub struct Captions;

impl Queue for Captions {
    type Item = ClaimedCaption;

    const NAME: &'static str = "captions";

    fn concurrency(service: &Service) -> usize {
        if let Setting::On(_) = service.captions { service.limits().captions.concurrency } else { 0 }
    }

    async fn ordered(service: &Service) {
        service.caption_requested().await;
    }

    async fn take(service: &Service) -> Result<Taken<Self::Item>, Error> {
        Ok(service.claim_caption().await?.map_or(Taken::Nothing, Taken::Item))
    }

    async fn work(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> WorkOutcome {
        service.caption(item, &stop).await
    }
}

/// Takes the next job and works on it to its end.
///
/// # Errors
/// The queue could not be looked at.
pub async fn run_next(service: &Service) -> Result<Outcome, Error> {
    let Some(claimed) = service.claim_caption().await? else { return Ok(Outcome::NothingToDo) };
    service.caption(claimed, &CancellationToken::new()).await;
    Ok(Outcome::Done)
}

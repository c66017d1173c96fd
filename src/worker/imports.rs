//! The importer: takes items from the queue as long as there are any, a bounded number at once. It is woken by orders of
//! this process, and looks by itself for those of others and for what is to be tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::error::chain;
use crate::service::import_queue::{Claimed, Ended};
use crate::service::sweep::Outcome;
use crate::service::{Error, Service};

/// How often the queue is looked at when nothing wakes the importer.
const POLL: Duration = Duration::from_secs(1);

/// After something that the service cannot work without has failed; twice as long after each further time in a row.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(320);

/// Imports until `stop`; then fetches that are under way are given back to the queue, and what has been fetched is stored.
pub async fn run(service: Arc<Service>, stop: CancellationToken) {
    let concurrency = service.limits().imports.concurrency;
    let mut running = JoinSet::new();
    let mut health = Health::default();
    while concurrency > 0 && !stop.is_cancelled() {
        if health.may_claim(&service).await {
            // After a failure one item shows whether it is over: nobody's server is to be asked in vain.
            let at_once = if health.failures == 0 { concurrency } else { 1 };
            if !fill(&service, &mut running, at_once, &stop).await {
                health.note_failure();
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = service.import_ordered.notified() => {}
            Some(ended) = running.join_next() => match ended {
                Ok(Ended::Settled) => health.failures = 0,
                Ok(Ended::Unable) | Err(_) => health.note_failure(),
            },
            () = tokio::time::sleep(POLL) => {}
        }
    }
    while running.join_next().await.is_some() {}
    stop.cancelled().await;
}

/// Whether the service can do its part.
#[derive(Debug, Default)]
struct Health {
    /// In a row.
    failures: u32,
    paused_until: Option<Instant>,
}

impl Health {
    /// Items that were begun together fail together: that is one failure.
    fn note_failure(&mut self) {
        if self.paused_until.is_none() {
            let pause = PAUSE * 2_u32.saturating_pow(self.failures);
            self.paused_until = Some(Instant::now() + pause.min(LONGEST_PAUSE));
            self.failures = (self.failures + 1).min(10);
        }
    }

    async fn may_claim(&mut self, service: &Service) -> bool {
        match self.paused_until {
            Some(until) if until > Instant::now() => false,
            // As long as it is known to be down, one may look again soon.
            Some(_) if !service.down().await.is_empty() => {
                self.paused_until = Some(Instant::now() + PAUSE);
                false
            }
            _ => {
                self.paused_until = None;
                true
            }
        }
    }
}

/// Claims items until there are enough, or no more; `false` when claiming failed.
async fn fill(service: &Arc<Service>, running: &mut JoinSet<Ended>, at_once: usize, stop: &CancellationToken) -> bool {
    while running.len() < at_once && !stop.is_cancelled() {
        match service.claim_import().await {
            Ok(Claimed::Item(claimed)) => {
                let (service, stop) = (Arc::clone(service), stop.clone());
                running.spawn(async move { service.import(*claimed, &stop).await });
            }
            Ok(Claimed::Look) => {}
            Ok(Claimed::Nothing) => return true,
            Err(error) => {
                tracing::warn!(cause = chain(&error), "the importer will try again");
                return false;
            }
        }
    }
    true
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
            Claimed::Look => {}
            Claimed::Nothing => return Ok(Outcome::NothingToDo),
        }
    }
}

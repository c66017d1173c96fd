//! How a queue that instances share is worked off: items are taken as long as there are any, a bounded number at once. The
//! worker is woken by orders of this process, and looks by itself for those of others and for what is to be tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::error::chain;
use crate::service::jobs::queue::WorkOutcome;
use crate::service::{Error, Service};

/// What there was to take.
#[derive(Debug)]
pub enum Taken<T> {
    Item(T),
    /// Nothing yet, but there may be more to do at once.
    Look,
    Nothing,
}

/// A queue, and what is done with what is taken from it.
pub trait Queue: Send + 'static {
    type Item: Send + 'static;

    /// For the log.
    const NAME: &'static str;

    /// Items that are worked on at once; none if 0.
    fn concurrency(service: &Service) -> usize;

    /// Returns when something has been ordered.
    fn ordered(service: &Service) -> impl Future<Output = ()> + Send;

    fn take(service: &Service) -> impl Future<Output = Result<Taken<Self::Item>, Error>> + Send;

    /// Works on an item until it is settled, or `stop`.
    fn work(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> impl Future<Output = WorkOutcome> + Send;
}

/// How often the queue is looked at when nothing wakes the worker.
const POLL: Duration = Duration::from_secs(1);

/// After something that the service cannot work without has failed; twice as long after each further time in a row.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(320);

/// Works until `stop`, and then until what is under way has been settled or given back.
pub async fn run<Q: Queue>(service: Arc<Service>, stop: CancellationToken) {
    let concurrency = Q::concurrency(&service);
    let mut running = JoinSet::new();
    let mut health = Health::default();
    while concurrency > 0 && !stop.is_cancelled() {
        if health.may_take(&service).await {
            // After a failure one item shows whether it is over: nobody's server is to be asked in vain.
            let at_once = if health.failures == 0 { concurrency } else { 1 };
            if !fill::<Q>(&service, &mut running, at_once, &stop).await {
                health.note_failure();
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = Q::ordered(&service) => {}
            Some(ended) = running.join_next() => match ended {
                Ok(WorkOutcome::Settled) => health.failures = 0,
                Ok(WorkOutcome::Unavailable) | Err(_) => health.note_failure(),
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

    async fn may_take(&mut self, service: &Service) -> bool {
        match self.paused_until {
            Some(until) if until > Instant::now() => false,
            // As long as it is known to be down, one may look again soon.
            Some(_) if !service.unavailable_dependencies().await.is_empty() => {
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

/// Takes items until there are enough, or no more; `false` when taking failed.
async fn fill<Q: Queue>(
    service: &Arc<Service>,
    running: &mut JoinSet<WorkOutcome>,
    at_once: usize,
    stop: &CancellationToken,
) -> bool {
    while running.len() < at_once && !stop.is_cancelled() {
        match Q::take(service).await {
            Ok(Taken::Item(item)) => drop(running.spawn(Q::work(Arc::clone(service), item, stop.clone()))),
            Ok(Taken::Look) => {}
            Ok(Taken::Nothing) => return true,
            Err(error) => {
                service.repeated_failures.warn(format!("the queue of {} cannot be looked at: {}", Q::NAME, chain(&error)));
                return false;
            }
        }
    }
    true
}

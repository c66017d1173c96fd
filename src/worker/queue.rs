//! A worker of a queue that instances share. It processes items as long as there are any, a limited number at a time. New jobs of
//! this process wake it; it polls for jobs of other instances and for retries.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::error::chain;
use crate::service::jobs::queue::Ended;
use crate::service::{Error, Service};

/// The result of claiming an item.
#[derive(Debug)]
pub enum ClaimResult<T> {
    Item(T),
    /// Nothing was claimed, but there may be more work: claim again immediately.
    Retry,
    Empty,
}

/// A queue and how its items are processed.
pub trait Queue: Send + 'static {
    type Item: Send + 'static;

    /// Name for log messages.
    const NAME: &'static str;

    /// Returns the number of items that are processed concurrently; 0 disables the worker.
    fn concurrency(service: &Service) -> usize;

    /// Returns when a job was added by this process.
    fn job_added(service: &Service) -> impl Future<Output = ()> + Send;

    fn claim(service: &Service) -> impl Future<Output = Result<ClaimResult<Self::Item>, Error>> + Send;

    /// Processes an item until it is settled, or `stop`.
    fn process(service: Arc<Service>, item: Self::Item, stop: CancellationToken) -> impl Future<Output = Ended> + Send;
}

/// How often the queue is polled when nothing wakes the worker.
const POLL: Duration = Duration::from_secs(1);

/// Pause after a failure of something that the service depends on. It doubles after each consecutive failure.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(320);

/// Runs until `stop`, and then until the items in progress are settled or released.
pub async fn run<Q: Queue>(service: Arc<Service>, stop: CancellationToken) {
    let concurrency = Q::concurrency(&service);
    let mut running = JoinSet::new();
    let mut health = Health::default();
    while concurrency > 0 && !stop.is_cancelled() {
        if health.may_claim(&service).await {
            // After a failure, a single item probes whether the problem is over, so that other servers get no needless requests.
            let limit = if health.failures == 0 { concurrency } else { 1 };
            if !fill::<Q>(&service, &mut running, limit, &stop).await {
                health.record_failure();
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = Q::job_added(&service) => {}
            Some(ended) = running.join_next() => match ended {
                Ok(Ended::Settled) => health.failures = 0,
                Ok(Ended::Unable) | Err(_) => health.record_failure(),
            },
            () = tokio::time::sleep(POLL) => {}
        }
    }
    while running.join_next().await.is_some() {}
    stop.cancelled().await;
}

/// Whether the dependencies of the worker are available.
#[derive(Debug, Default)]
struct Health {
    /// Number of consecutive failures.
    failures: u32,
    paused_until: Option<Instant>,
}

impl Health {
    /// Records a failure. Items that were started together fail together, which counts once.
    fn record_failure(&mut self) {
        if self.paused_until.is_none() {
            let pause = PAUSE * 2_u32.saturating_pow(self.failures);
            self.paused_until = Some(Instant::now() + pause.min(LONGEST_PAUSE));
            self.failures = (self.failures + 1).min(10);
        }
    }

    async fn may_claim(&mut self, service: &Service) -> bool {
        match self.paused_until {
            Some(until) if until > Instant::now() => false,
            // While a dependency is known to be down, check again soon.
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

/// Claims items until enough are running or none is left; returns `false` if claiming failed.
async fn fill<Q: Queue>(service: &Arc<Service>, running: &mut JoinSet<Ended>, limit: usize, stop: &CancellationToken) -> bool {
    while running.len() < limit && !stop.is_cancelled() {
        match Q::claim(service).await {
            Ok(ClaimResult::Item(item)) => drop(running.spawn(Q::process(Arc::clone(service), item, stop.clone()))),
            Ok(ClaimResult::Retry) => {}
            Ok(ClaimResult::Empty) => return true,
            Err(error) => {
                service.repeated.warn(format!("the queue of {} cannot be read: {}", Q::NAME, chain(&error)));
                return false;
            }
        }
    }
    true
}

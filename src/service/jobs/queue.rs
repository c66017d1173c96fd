//! Shared parts of the import and caption queues: leases, delays, and outcomes.

use std::time::Duration;

use crate::service::Service;
use crate::store;

/// The outcome of work on a job or an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutcome {
    /// Completed, failed, postponed, or taken over by another worker.
    Settled,
    /// The service could not do its part. Workers should pause before the next claim.
    Unavailable,
}

/// The delay after a failure of the service itself.
pub(in crate::service) const UNAVAILABLE_DELAY: Duration = Duration::from_secs(5);

/// The maximum delay before a retry.
pub(in crate::service) const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);

/// The delay between attempts to record an outcome or to renew a lease.
pub(in crate::service) const SETTLE_RETRY_DELAY: Duration = Duration::from_secs(1);

pub(in crate::service) const INTERRUPTED: &str = "the service was interrupted in every attempt";

/// Renews a lease every `pause`, and returns when the claim is lost. `renew` returns whether the claim still holds. Failed
/// renewals are retried. If the lease expires meanwhile another worker may take over, and this claim can no longer settle the
/// job.
pub(in crate::service) async fn keep_lease<Renewed: Future<Output = Result<bool, store::Error>>>(
    pause: Duration,
    renew: impl Fn() -> Renewed,
    not_renewed: impl Fn(&store::Error),
) {
    let mut next = pause;
    loop {
        tokio::time::sleep(next).await;
        next = match renew().await {
            Ok(true) => pause,
            Ok(false) => return,
            Err(error) => {
                not_renewed(&error);
                SETTLE_RETRY_DELAY
            }
        };
    }
}

impl Service {
    /// Returns 50% to 150% of `delay`, so that jobs that failed together do not retry together.
    pub(in crate::service) fn with_jitter(&self, delay: Duration) -> Duration {
        let [high, low, ..] = self.clock.random();
        delay.mul_f64(0.5 + f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX))
    }

    /// Returns the delay before retrying a transient error: four times as long after each attempt, up to [`MAX_RETRY_DELAY`].
    pub(in crate::service) fn retry_delay_after(&self, first: Duration, attempt: u32) -> Duration {
        let delay = first.saturating_mul(4_u32.saturating_pow(attempt.saturating_sub(1)));
        self.with_jitter(delay.min(MAX_RETRY_DELAY))
    }
}

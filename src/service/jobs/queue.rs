//! What the queues of imports and of captions have in common: leases, pauses, and how work on a job ends.

use std::time::Duration;

use crate::service::Service;
use crate::store;

/// How working on a job, or on an item of one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutcome {
    /// Done, failed, put off, or another's by now.
    Settled,
    /// The service could not do its part: no more should be claimed for a while.
    Unavailable,
}

/// Before what failed through no fault of its own is tried again.
pub(in crate::service) const UNAVAILABLE_DELAY: Duration = Duration::from_secs(5);

/// Nothing waits longer to be tried again.
pub(in crate::service) const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);

/// Between tries to tell the database how something ended, or that its holder lives.
pub(in crate::service) const SETTLE_RETRY_DELAY: Duration = Duration::from_secs(1);

pub(in crate::service) const INTERRUPTED: &str = "the service was interrupted each time that it tried";

/// Renews a claim, each time after `pause`, and returns when it no longer holds. `renew` tells whether it does; while that fails it is
/// asked again: if the lease ends meanwhile another may take the work up, and this claim settles nothing.
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
    /// From half to one and a half of it, so that what failed together does not come back together.
    pub(in crate::service) fn with_jitter(&self, delay: Duration) -> Duration {
        let [high, low, ..] = self.clock.random();
        delay.mul_f64(0.5 + f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX))
    }

    /// Before what may pass is tried again: four times as long each time, up to [`MAX_RETRY_DELAY`].
    pub(in crate::service) fn retry_delay_after(&self, first: Duration, attempt: u32) -> Duration {
        let delay = first.saturating_mul(4_u32.saturating_pow(attempt.saturating_sub(1)));
        self.with_jitter(delay.min(MAX_RETRY_DELAY))
    }
}

//! A rate limiter: a bounded number of buckets of one size, by key, with the generic cell rate algorithm.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{HashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::elapsed::Elapsed;
use super::{Exceeded, RateClass, RateLimitStatus};

/// The maximum number of buckets, about 2 MiB.
pub(super) const MAX_KEYS: usize = 50_000;

pub(super) struct Limiter {
    quota: Quota,
    limiter: RateLimiter<u64, Buckets, Elapsed, StateInformationMiddleware>,
    /// The last second in which buckets were evicted.
    swept_at: AtomicU64,
}

impl Limiter {
    /// Returns `None` if there is no limit.
    pub fn new(per_minute: u32, elapsed: &Elapsed) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute)?);
        let limiter = RateLimiter::new(quota, Buckets::default(), elapsed.clone());
        Some(Self { quota, limiter, swept_at: AtomicU64::new(0) })
    }

    pub fn check(&self, class: RateClass, key: u64) -> Result<RateLimitStatus, Exceeded> {
        self.evict_full_buckets();
        let (limit, refill) = (self.quota.burst_size().get(), self.quota.replenish_interval());
        let status = |remaining, reset: Duration| {
            let reset_seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
            RateLimitStatus { class, limit, remaining, reset_seconds }
        };
        match self.limiter.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(status(remaining, refill * (limit - remaining)))
            }
            Err(refusal) => {
                let retry_after = refusal.wait_time_from(self.limiter.clock().now());
                Err(Exceeded { status: status(0, retry_after + refill * (limit - 1)), retry_after })
            }
        }
    }

    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.limiter.len()
    }

    /// Evicts full buckets if the table is full. At most once per second, because this scans all of them.
    fn evict_full_buckets(&self) {
        if self.limiter.len() < MAX_KEYS {
            return;
        }
        let second = self.limiter.clock().now().as_secs();
        if self.swept_at.swap(second, Ordering::Relaxed) != second {
            self.limiter.retain_recent();
        }
    }
}

/// Buckets by the hash of their key. Keys that do not fit share one bucket.
#[derive(Default)]
struct Buckets {
    by_key: HashMapStateStore<u64>,
    shared: InMemoryState,
}

impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut by_key = self.by_key.lock();
        if by_key.len() < MAX_KEYS || by_key.contains_key(key) {
            return by_key.entry(*key).or_default().measure_and_replace(&NotKeyed::NonKey, measure);
        }
        drop(by_key);
        self.shared.measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

impl ShrinkableKeyedStateStore<u64> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.by_key.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        self.by_key.len()
    }

    fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

//! Throttles password guessing. Failures are counted per account and address, per address, and per account. Beyond a number of
//! free failures each one doubles the wait before the next attempt. The limit per account is less strict, because an attacker who
//! fails on purpose must not lock out the owner.
//!
//! An attempt counts as failed from its start, so that concurrent attempts are as slow as sequential ones. It makes no difference
//! whether the account exists. The counts are in the memory of this process, and bounded.

mod failure_counts;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate_limits::client_network;
use super::rate_limits::elapsed::Elapsed;
use crate::model::clock::Clock;
use failure_counts::{FailureCounts, Rule};

const PAIR_RULE: Rule = Rule { free_failures: 10, longest_wait: Duration::from_secs(5 * 60) };
const ACCOUNT_RULE: Rule = Rule { free_failures: 100, longest_wait: Duration::from_secs(15) };
const ADDRESS_RULE: Rule = Rule { free_failures: 30, longest_wait: Duration::from_secs(15 * 60) };

/// Counts failed login attempts.
pub struct LoginThrottle {
    elapsed: Elapsed,
    hasher: RandomState,
    failures: Arc<Mutex<Failures>>,
}

/// A running attempt. It counts as failed unless [`Attempt::succeeded`] is called.
#[must_use = "an attempt counts as failed unless `succeeded` is called"]
pub struct Attempt {
    elapsed: Elapsed,
    failures: Arc<Mutex<Failures>>,
    account: u64,
    /// The key of the account with this address.
    pair: u64,
    /// The key of the address, and the time until which this attempt makes it wait.
    address: Option<(u64, Duration)>,
    /// Whether the attempt exceeds the free failures.
    slowed_down: bool,
}

impl LoginThrottle {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let failure_counts = FailureCounts::new;
        let failures = Failures {
            pairs: failure_counts(PAIR_RULE),
            accounts: failure_counts(ACCOUNT_RULE),
            addresses: failure_counts(ADDRESS_RULE),
            recent_successes: HashMap::new(),
        };
        Self { elapsed: Elapsed::new(clock), hasher: RandomState::new(), failures: Arc::new(Mutex::new(failures)) }
    }

    /// Returns how long attempts at an account from an address must wait, regardless of other addresses. Counts nothing.
    pub fn wait(&self, email: &str, address: Option<IpAddr>) -> Duration {
        let network = address.map(client_network);
        let failures = lock(&self.failures);
        let now = self.elapsed.get();
        let address_wait = network.map_or(Duration::ZERO, |network| failures.addresses.wait(self.hasher.hash_one(network), now));
        failures.pairs.wait(self.hasher.hash_one((email, network)), now).max(address_wait)
    }

    /// Starts an attempt. Must be called before the password is checked. `email` must be in lower case.
    ///
    /// # Errors
    /// How long to wait, if no attempt is allowed now. A refused attempt does not count.
    pub fn begin(&self, email: &str, address: Option<IpAddr>) -> Result<Attempt, Duration> {
        let network = address.map(client_network);
        let (account, pair) = (self.hasher.hash_one(email), self.hasher.hash_one((email, network)));
        let address = network.map(|network| self.hasher.hash_one(network));
        let mut failures = lock(&self.failures);
        let now = self.elapsed.get();
        let address_wait = address.map_or(Duration::ZERO, |address| failures.addresses.wait(address, now));
        // After a recent successful login from an address, failures from other addresses do not make it wait.
        let account_wait =
            if failures.recent_successes.contains_key(&pair) { Duration::ZERO } else { failures.accounts.wait(account, now) };
        let wait = account_wait.max(failures.pairs.wait(pair, now)).max(address_wait);
        if !wait.is_zero() {
            return Err(wait);
        }
        let account_free_at = failures.accounts.add(account, now);
        let pair_free_at = failures.pairs.add(pair, now);
        let address = address.map(|address| (address, failures.addresses.add(address, now)));
        let free_at = account_free_at.max(pair_free_at).max(address.map_or(now, |(_, free_at)| free_at));
        let slowed_down = free_at > now;
        Ok(Attempt { elapsed: self.elapsed.clone(), failures: Arc::clone(&self.failures), account, pair, address, slowed_down })
    }
}

impl Attempt {
    /// Returns whether the next attempt has to wait.
    pub fn is_slowed_down(&self) -> bool {
        self.slowed_down
    }

    /// The password was correct: removes the account's failures and one of the address.
    pub fn succeeded(self) {
        let mut failures = lock(&self.failures);
        failures.accounts.forget(self.account);
        failures.pairs.forget(self.pair);
        failures.record_success(self.pair, self.elapsed.get());
        if let Some((address, free_at)) = self.address {
            failures.addresses.undo(address, free_at, self.elapsed.get());
        }
    }
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

fn lock(failures: &Mutex<Failures>) -> MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Failures {
    pairs: FailureCounts,
    accounts: FailureCounts,
    addresses: FailureCounts,
    /// Pairs of account and address with a successful login, and its time.
    recent_successes: HashMap<u64, Duration>,
}

/// Beyond this number the oldest half is removed.
const MAX_RECENT_SUCCESSES: usize = 20_000;

impl Failures {
    fn record_success(&mut self, pair: u64, now: Duration) {
        if self.recent_successes.len() >= MAX_RECENT_SUCCESSES && !self.recent_successes.contains_key(&pair) {
            let mut times: Vec<Duration> = self.recent_successes.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(MAX_RECENT_SUCCESSES / 2);
            let middle = *middle;
            self.recent_successes.retain(|_, at| *at > middle);
        }
        self.recent_successes.insert(pair, now);
    }
}

#[cfg(test)]
mod tests {
    use super::failure_counts::{BATCH, MAX_ENTRIES};
    use super::*;
    use crate::service::identity::rate_limits::elapsed::tests::ManualClock;

    fn guard() -> (LoginThrottle, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (LoginThrottle::new(clock.clone()), clock)
    }

    fn from(last: u64) -> Option<IpAddr> {
        Some(std::net::Ipv6Addr::from_bits((0x2001_0db8_0000_0000 + u128::from(last)) << 64).into())
    }

    /// Makes an attempt that fails. Returns the seconds to wait if it is refused.
    fn fail(guard: &LoginThrottle, email: &str, address: Option<IpAddr>) -> u64 {
        guard.begin(email, address).map_or_else(|wait| wait.as_secs(), |_failed| 0)
    }

    #[test]
    fn waits_double_up_to_the_maximum() {
        /// A failure that counts for only one of the three rules.
        type Fail = fn(&LoginThrottle, u64) -> u64;
        let pair: Fail = |guard, _| fail(guard, "ann", None);
        let account: Fail = |guard, n| fail(guard, "ann", from(n));
        let address: Fail = |guard, n| fail(guard, &n.to_string(), from(0));
        for (fail, free_failures, longest) in [(pair, 10, 300), (account, 100, 15), (address, 30, 900)] {
            let (guard, clock) = guard();
            assert!((0..=free_failures).all(|n| fail(&guard, n) == 0));
            for further in 0..20 {
                let wait = (1 << further).min(longest);
                assert_eq!((fail(&guard, 1000), fail(&guard, 1001)), (wait, wait), "a refused attempt extends no wait");
                clock.advance(wait as f64 - 0.5);
                assert!(guard.begin("ann", if longest == 300 { None } else { from(0) }).is_err());
                clock.advance(0.5);
                assert_eq!(fail(&guard, 2000 + further), 0);
            }
        }
    }

    #[test]
    fn concurrent_attempts_count_from_their_start() {
        let (guard, _clock) = guard();
        let begun: Vec<_> = (0..1000).filter_map(|_| guard.begin("ann", None).ok()).collect();
        assert_eq!(begun.len(), 11);
        let begun: Vec<_> = (0..1000).filter_map(|n| guard.begin("eve", from(n)).ok()).collect();
        assert_eq!(begun.len(), 101);
        assert_eq!(fail(&guard, "bob", None), 0);
    }

    #[test]
    fn failures_from_elsewhere_lock_an_owner_out_only_briefly() {
        let (guard, clock) = guard();
        // An attacker with thousands of addresses, at the maximum rate.
        for n in 0..5000 {
            let wait = fail(&guard, "ann", from(n));
            clock.advance(wait as f64);
        }
        assert!(fail(&guard, "ann", from(1_000_000)) <= 15);
    }

    #[test]
    fn a_recent_success_exempts_its_address_from_failures_elsewhere() {
        let (guard, _clock) = guard();
        guard.begin("ann", from(1)).unwrap().succeeded();
        assert!((0..=100).all(|n| fail(&guard, "ann", from(100 + n)) == 0));
        assert_eq!((fail(&guard, "ann", from(2)), fail(&guard, "ann", from(1))), (1, 0));
        // Failures from this address count as usual.
        assert!((0..10).all(|_| fail(&guard, "ann", from(1)) == 0));
        assert_eq!((guard.wait("ann", from(1)).as_secs(), guard.wait("ann", from(2)).as_secs()), (1, 0));
    }

    #[test]
    fn success_removes_the_accounts_failures_and_one_of_the_address() {
        let (guard, clock) = guard();
        assert!((0..9).all(|_| fail(&guard, "ann", from(1)) == 0));
        guard.begin("ann", from(1)).unwrap().succeeded();
        assert!((0..11).all(|_| fail(&guard, "ann", from(1)) == 0));
        assert_eq!((fail(&guard, "ann", from(1)), fail(&guard, "ann", from(2))), (1, 0));

        assert!((0..11).all(|n| fail(&guard, &n.to_string(), from(1)) == 0), "20 before");
        assert_eq!(fail(&guard, "bob", from(1)), 1);
        clock.advance(1.0);
        guard.begin("bob", from(1)).unwrap().succeeded();
        assert_eq!(fail(&guard, "eve", from(1)), 0, "a success makes no other account wait");
        assert_eq!(fail(&guard, "eve", from(1)), 2, "the 32nd failure");
    }

    #[test]
    fn failures_expire() {
        for (pause, wait) in [(900.0, 2), (901.0, 0)] {
            let (guard, clock) = guard();
            assert!((0..11).all(|_| fail(&guard, "ann", None) == 0));
            clock.advance(pause);
            assert_eq!((fail(&guard, "ann", None), fail(&guard, "ann", None)), (0, wait));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_extends_no_wait() {
        let (guard, clock) = guard();
        assert!((0..11).all(|_| fail(&guard, "ann", None) == 0));
        clock.advance(-86_400.0);
        assert_eq!(fail(&guard, "ann", None), 1);
        clock.advance(1.0);
        assert_eq!(fail(&guard, "ann", None), 0);
    }

    #[test]
    fn memory_is_bounded_and_keys_with_most_failures_are_kept() {
        let (guard, _clock) = guard();
        assert!((0..11).all(|_| fail(&guard, "ann", None) == 0));
        for n in 1..100_000 {
            assert_eq!(fail(&guard, &n.to_string(), from(n)), 0);
        }
        let failures = lock(&guard.failures);
        for failure_counts in [&failures.pairs, &failures.accounts, &failures.addresses] {
            assert!((MAX_ENTRIES - BATCH..=MAX_ENTRIES).contains(&failure_counts.len()));
        }
        drop(failures);
        assert_eq!(fail(&guard, "ann", None), 1);
    }
}

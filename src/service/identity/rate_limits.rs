//! Rate limits: requests per minute of one caller, and of one client address.
//!
//! Each has a bucket that holds the allowance of a minute and refills steadily. The buckets are in the memory of this process, so
//! each instance counts separately. Their number is bounded.

pub(in crate::service) mod elapsed;
mod limiter;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::model::clock::Clock;
use elapsed::Elapsed;
use limiter::Limiter;

/// A kind of request that is counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateClass {
    Upload,
    Read,
    Login,
}

/// Whether a password check still has to be charged to the rate of logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum LoginCharge {
    Now,
    /// The request has been charged.
    Done,
}

/// Requests per minute; 0 means no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    pub per_caller: u32,
    pub per_address: u32,
}

/// The limits that an operator can configure.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimits {
    pub uploads: Rate,
    pub reads: Rate,
    pub logins: Rate,
}

/// The state of a limit, for the `RateLimit` header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitStatus {
    pub class: RateClass,
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until the full limit is available, rounded up to whole refills of one request, and to seconds.
    pub reset_seconds: u64,
}

/// A request that exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub status: RateLimitStatus,
    /// When the next request is accepted.
    pub retry_after: Duration,
}

/// The rate limiters of all classes.
pub struct RateLimiters {
    uploads: ClassLimiters,
    reads: ClassLimiters,
    logins: ClassLimiters,
    hasher: RandomState,
}

impl RateClass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "uploads",
            Self::Read => "reads",
            Self::Login => "logins",
        }
    }
}

impl RateLimiters {
    pub fn new(limits: &RateLimits, clock: Arc<dyn Clock>) -> Self {
        let elapsed = Elapsed::new(clock);
        let limiters = |rate: Rate| ClassLimiters {
            callers: Limiter::new(rate.per_caller, &elapsed),
            addresses: Limiter::new(rate.per_address, &elapsed),
        };
        Self {
            uploads: limiters(limits.uploads),
            reads: limiters(limits.reads),
            logins: limiters(limits.logins),
            hasher: RandomState::new(),
        }
    }

    /// Counts a request from an address. Returns `None` if no limit is set.
    ///
    /// # Errors
    /// [`Exceeded`] if the address has made too many requests; this one is not counted.
    pub fn check_address(&self, class: RateClass, address: IpAddr) -> Result<Option<RateLimitStatus>, Exceeded> {
        let limiter = self.limiters(class).addresses.as_ref();
        limiter.map(|limiter| limiter.check(class, self.hasher.hash_one(client_network(address)))).transpose()
    }

    /// Counts a request of a caller. Returns `None` if no limit is set.
    ///
    /// # Errors
    /// [`Exceeded`] if the caller has made too many requests; this one is not counted.
    pub fn check_caller(&self, class: RateClass, caller: &str) -> Result<Option<RateLimitStatus>, Exceeded> {
        let limiter = self.limiters(class).callers.as_ref();
        limiter.map(|limiter| limiter.check(class, self.hasher.hash_one(caller))).transpose()
    }

    fn limiters(&self, class: RateClass) -> &ClassLimiters {
        match class {
            RateClass::Upload => &self.uploads,
            RateClass::Read => &self.reads,
            RateClass::Login => &self.logins,
        }
    }
}

impl fmt::Debug for RateLimiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

/// Returns the network that counts as one client: an IPv4 address, or an IPv6 /64, which one client may have for itself.
pub(in crate::service) fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

struct ClassLimiters {
    callers: Option<Limiter>,
    addresses: Option<Limiter>,
}

#[cfg(test)]
mod tests {
    use super::elapsed::tests::ManualClock;
    use super::limiter::MAX_KEYS;
    use super::*;

    const CLASS: RateClass = RateClass::Upload;

    fn rates(per_minute: u32) -> (RateLimiters, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let uploads = Rate { per_caller: per_minute, per_address: per_minute };
        (RateLimiters::new(&RateLimits { uploads, ..RateLimits::default() }, clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_request_of_the_limit_is_accepted_and_the_next_must_wait() {
        let (rates, clock) = rates(3);
        let status = |remaining, reset_seconds| RateLimitStatus { class: CLASS, limit: 3, remaining, reset_seconds };
        for left in [(2, 20), (1, 40), (0, 60)] {
            assert_eq!(rates.check_caller(CLASS, "ann"), Ok(Some(status(left.0, left.1))));
        }
        clock.advance(0.5);
        let exceeded = rates.check_caller(CLASS, "ann").unwrap_err();
        assert_eq!(exceeded, Exceeded { status: status(0, 60), retry_after: Duration::from_millis(19_500) });
        assert!(rates.check_caller(CLASS, "bob").is_ok() && rates.check_address(CLASS, address("192.0.2.1")).is_ok());

        clock.advance(19.4);
        assert_eq!(rates.check_caller(CLASS, "ann").unwrap_err().retry_after, Duration::from_millis(100));
        clock.advance(0.1);
        assert!(rates.check_caller(CLASS, "ann").is_ok() && rates.check_caller(CLASS, "ann").is_err());
        clock.advance(60.0);
        assert_eq!(rates.check_caller(CLASS, "ann"), Ok(Some(status(2, 20))));
    }

    #[test]
    fn no_limit_is_none() {
        let (rates, _clock) = rates(0);
        assert_eq!(rates.check_caller(CLASS, "ann"), Ok(None));
        assert_eq!(rates.check_address(RateClass::Login, address("::1")), Ok(None));
    }

    #[test]
    fn an_ipv6_client_is_its_64_prefix_and_mapped_addresses_are_ipv4() {
        for (first, second, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ] {
            let (rates, _clock) = rates(1);
            rates.check_address(CLASS, address(first)).unwrap();
            assert_eq!(rates.check_address(CLASS, address(second)).is_err(), same, "{first} {second}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_extends_no_wait() {
        let (rates, clock) = rates(1);
        rates.check_caller(CLASS, "ann").unwrap();
        clock.advance(-86_400.0);
        assert_eq!(rates.check_caller(CLASS, "ann").unwrap_err().retry_after, Duration::from_secs(60));
        clock.advance(60.0);
        assert!(rates.check_caller(CLASS, "ann").is_ok());
    }

    #[test]
    fn memory_is_bounded_and_further_clients_share_a_bucket() {
        let (rates, clock) = rates(2);
        let passed = |from: u32, count: u32| {
            let addresses = (from..from + count).map(|bits| IpAddr::from(std::net::Ipv4Addr::from_bits(bits)));
            addresses.filter(|address| rates.check_address(CLASS, *address).is_ok()).count()
        };
        let kept = || rates.uploads.addresses.as_ref().unwrap().keys();
        assert_eq!((passed(0, 200_000), kept()), (MAX_KEYS + 2, MAX_KEYS));
        assert_eq!(passed(0, 10), 10, "those with a bucket keep it");

        clock.advance(61.0);
        assert_eq!((passed(1_000_000, 10), kept()), (10, 20), "full buckets are evicted");
    }

    #[test]
    fn concurrent_requests_do_not_exceed_the_limit() {
        let (rates, _clock) = rates(100);
        let passed = || (0..50).filter(|_| rates.check_caller(CLASS, "ann").is_ok()).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(passed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 100);
    }
}

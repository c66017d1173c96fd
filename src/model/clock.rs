//! Time and randomness as parameters: the only module that reads either from the system.
//!
//! Code that depends on the time or creates an id takes a [`Clock`], so that tests can control it.

use std::fmt;

use chrono::{DateTime, Utc};

/// The source of the time and of random bytes.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> DateTime<Utc>;

    /// Returns ten unpredictable bytes, for the random part of an id.
    fn random(&self) -> [u8; 10];
}

/// The system's clock and random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that may read the system's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::expect_used, reason = "Linux's getrandom(2) does not fail once the kernel's pool is initialised")]
    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).expect("getrandom failed");
        bytes
    }
}

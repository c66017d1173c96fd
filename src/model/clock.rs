//! Time and chance as parameters: the only place that asks the machine for either.
//!
//! Everything that decides by the time or makes an id takes a [`Clock`], so that tests can move it.

use std::fmt;

use chrono::{DateTime, Utc};

/// Where the service gets the time and random bits from.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> DateTime<Utc>;

    /// Ten bytes nobody can guess, for the random part of an id.
    fn random(&self) -> [u8; 10];
}

/// The machine's own clock and random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::expect_used, reason = "Linux's getrandom(2) does not fail once the kernel's pool is initialised")]
    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        bytes
    }
}

//! Monotonic time, measured with a clock that may be set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::clock::Clock;

/// The most that counts between two readings of the clock. Longer than any limit is kept.
const LONGEST_STEP: Duration = Duration::from_secs(3600);

/// Elapsed time. When the clock is set back nothing is added for that step, and time continues from there.
#[derive(Debug, Clone)]
pub struct Elapsed {
    clock: Arc<dyn Clock>,
    reading: Arc<Mutex<Reading>>,
}

#[derive(Debug)]
struct Reading {
    at: DateTime<Utc>,
    elapsed: Duration,
}

impl Elapsed {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let reading = Reading { at: clock.now(), elapsed: Duration::ZERO };
        Self { clock, reading: Arc::new(Mutex::new(reading)) }
    }

    /// Returns the time since creation.
    pub fn get(&self) -> Duration {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let step = (now - reading.at).to_std().unwrap_or_default();
        reading.elapsed += step.min(LONGEST_STEP);
        reading.at = now;
        reading.elapsed
    }
}

impl governor::clock::Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.get()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A clock that moves only by hand.
    #[derive(Debug, Default)]
    pub struct ManualClock(Mutex<chrono::TimeDelta>);

    impl ManualClock {
        pub fn advance(&self, seconds: f64) {
            *self.0.lock().unwrap() += chrono::TimeDelta::milliseconds((seconds * 1000.0) as i64);
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + *self.0.lock().unwrap()
        }

        fn random(&self) -> [u8; 10] {
            [0; 10]
        }
    }

    #[test]
    fn time_never_goes_back_and_steps_are_bounded() {
        let clock = Arc::new(ManualClock::default());
        let elapsed = Elapsed::new(clock.clone());
        for (step, expected) in [(1.5, 1.5), (-1000.0, 1.5), (2.0, 3.5), (1e9, 3603.5), (0.0, 3603.5)] {
            clock.advance(step);
            assert_eq!(elapsed.get().as_secs_f64(), expected, "{step}");
        }
    }
}

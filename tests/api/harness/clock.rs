//! The clock that tests move. It runs with the machine's until it is stopped, for presigned URLs are checked by the
//! storage's own clock.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use image_service::model::clock::{Clock, SystemClock};

#[derive(Debug, Default)]
pub struct TestClock(Mutex<Time>);

#[derive(Debug, Clone, Copy)]
enum Time {
    /// As far from the machine's time.
    Running(TimeDelta),
    Stopped(DateTime<Utc>),
}

impl Default for Time {
    fn default() -> Self {
        Self::Running(TimeDelta::zero())
    }
}

impl TestClock {
    /// Moves the clock, forwards or backwards.
    pub fn advance(&self, by: TimeDelta) {
        let mut time = self.0.lock().unwrap();
        *time = match *time {
            Time::Running(offset) => Time::Running(offset + by),
            Time::Stopped(at) => Time::Stopped(at + by),
        };
    }

    /// Stops the clock at an RFC 3339 time.
    pub fn stop_at(&self, time: &str) {
        let time = DateTime::parse_from_rfc3339(time).expect("a time as RFC 3339 has it").to_utc();
        *self.0.lock().unwrap() = Time::Stopped(time);
    }

    /// Stops the clock where it is.
    pub fn stop(&self) -> DateTime<Utc> {
        let now = self.now();
        *self.0.lock().unwrap() = Time::Stopped(now);
        now
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        match *self.0.lock().unwrap() {
            Time::Running(offset) => SystemClock.now() + offset,
            Time::Stopped(at) => at,
        }
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

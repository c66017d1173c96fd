//! The clock that tests control. It follows the machine's clock until it is stopped, because the storage checks
//! presigned URLs by its own clock. Presigned URLs change every 15 minutes. The clock starts far enough from the next
//! change for a test to compare whole responses.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use image_service::model::clock::{Clock, SystemClock};

/// How long presigned URLs stay the same, with the tests' settings.
const URL_WINDOW_SECONDS: i64 = 900;
/// An upper bound for the duration of a test.
const LONGEST_TEST_SECONDS: i64 = 90;

#[derive(Debug, Default)]
pub struct TestClock(Mutex<Time>);

#[derive(Debug, Clone, Copy)]
enum Time {
    /// The offset from the machine's time.
    Running(TimeDelta),
    Stopped(DateTime<Utc>),
}

impl Default for Time {
    fn default() -> Self {
        Self::Running(offset_within_window(SystemClock.now()))
    }
}

/// Moves backwards only, because some storages reject URLs that are not valid yet.
fn offset_within_window(now: DateTime<Utc>) -> TimeDelta {
    let seconds_left = URL_WINDOW_SECONDS - now.timestamp().rem_euclid(URL_WINDOW_SECONDS);
    TimeDelta::seconds((seconds_left - LONGEST_TEST_SECONDS).min(0))
}

#[test]
fn the_clock_starts_far_from_the_end_of_a_window() {
    for (time, offset) in
        [("2026-01-01T00:00:00Z", 0), ("2026-01-01T00:13:30Z", 0), ("2026-01-01T00:13:31Z", -1), ("2026-01-01T00:14:59Z", -89)]
    {
        let time = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
        assert_eq!(offset_within_window(time), TimeDelta::seconds(offset), "{time}");
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

    /// Sets the clock to the machine's time, which an external storage uses.
    pub fn follow_machine(&self) {
        *self.0.lock().unwrap() = Time::Running(TimeDelta::zero());
    }

    /// Stops the clock at an RFC 3339 time.
    pub fn stop_at(&self, time: &str) {
        let time = DateTime::parse_from_rfc3339(time).expect("an RFC 3339 time").to_utc();
        *self.0.lock().unwrap() = Time::Stopped(time);
    }

    /// Stops the clock at its current time.
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

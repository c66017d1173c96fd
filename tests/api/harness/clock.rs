//! The clock that tests move. It runs with the machine's until it is stopped, for presigned URLs are checked by the
//! storage's own clock. Presigned URLs change every quarter of an hour; the clock starts far enough from the next change for a
//! test to compare whole answers.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use image_service::model::clock::{Clock, SystemClock};

/// Presigned URLs stay the same for this long, with the settings that the tests use.
const URL_WINDOW_SECONDS: i64 = 900;
/// More than a test takes.
const LONGEST_TEST_SECONDS: i64 = 90;

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
        Self::Running(offset_within_window(SystemClock.now()))
    }
}

/// Backwards, as URLs that are not valid yet are refused by some storages.
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

    /// Sets the clock to the machine's time, which a storage that is a server of its own goes by.
    pub fn follow_machine(&self) {
        *self.0.lock().unwrap() = Time::Running(TimeDelta::zero());
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

//! Arithmetic on times: saturating additions, the precision of the database, and the end of a day.

use std::time::Duration;

use chrono::{DateTime, Days, SubsecRound, TimeDelta, Utc};

pub(in crate::service) fn after(now: DateTime<Utc>, age: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(age).ok().and_then(|age| now.checked_add_signed(age)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(in crate::service) fn before(now: DateTime<Utc>, age: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Truncates to the precision of the database, so that the response to a change equals later reads.
pub(super) fn truncate_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// Returns the last microsecond of the day that begins at `start`.
pub fn day_end(start: DateTime<Utc>) -> DateTime<Utc> {
    start.checked_add_days(Days::new(1)).unwrap_or(start) - chrono::TimeDelta::microseconds(1)
}

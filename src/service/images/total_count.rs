//! `total_count`: exact, without counting rows wherever a counter covers the filter, and without counting them again while
//! nothing has changed.
//!
//! What no counter covers (two tags, a user's images from a day on) is counted row by row, which takes as long as the
//! tags or the user have images. Such counts are made two at a time, so that lists that are dear cannot take the
//! database from those that are cheap, and of each caller one, by turns: whoever asks for many such lists at once waits for
//! themself alone. Each count is kept with how often the counters of its tags or its user had moved, read in the same snapshot.
//! While they have not moved since, no image has come to the list or left it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part, Set};
use crate::service::Service;
use crate::service::admission::fair_queue::{Amount, Class, FairQueue, Permit, Turn, TurnKey};
use crate::service::error::Error;
use crate::store::{self, Reader};

/// Counts that were made row by row.
#[derive(Debug)]
pub struct Counts {
    kept: Mutex<HashMap<Fingerprint, Kept>>,
    turns: FairQueue,
}

/// Whose page is counted, and until when it waits for its turns.
struct Page {
    turn: Turn,
    deadline: Instant,
}

/// Of a filter, and whether it is of the private images of its user.
type Fingerprint = ([u8; 32], bool);

#[derive(Debug, Clone, Copy)]
struct Kept {
    count: u64,
    /// Of the counters that watch over the filter.
    moves: i64,
}

/// Counts made at once, and those of one caller.
const TURNS: Amount = Amount { bytes: 0, slots: 2 };
const TURNS_OF_CALLER: Amount = Amount { bytes: 0, slots: 1 };

/// A page waits no longer for all of its turns.
const PATIENCE: Duration = Duration::from_secs(1);

/// Some 100 KiB.
const MAX_KEPT: usize = 1024;

impl Default for Counts {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: FairQueue::with_most_of_key(TURNS, TURNS_OF_CALLER) }
    }
}

impl Counts {
    fn find(&self, fingerprint: &Fingerprint) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(fingerprint).copied()
    }

    fn keep(&self, fingerprint: Fingerprint, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEPT && !all.contains_key(&fingerprint) {
            // Which ones are asked for again is not known; those that are will be counted once more.
            all.clear();
        }
        all.insert(fingerprint, kept);
    }

    /// # Errors
    /// The page has waited for too long: for a count of the same caller, or because there are too many callers.
    async fn turn(&self, page: &Page) -> Result<Permit, Error> {
        let taking = self.turns.take(&page.turn, Amount::slots(1));
        tokio::time::timeout_at(page.deadline, taking).await.map_err(|_| match self.turns.is_holding(&page.turn.key) {
            true => Error::too_many_requests(PATIENCE),
            false => Error::Overloaded { retry_after: PATIENCE },
        })
    }
}

impl Service {
    /// The exact number of live images of these parts that match. Takes the reader, so that nobody holds one while waiting for
    /// a turn.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] or [`Error::Overloaded`] when the turn of `key` does not come in time.
    pub(in crate::service) async fn count_images(
        &self,
        key: &TurnKey,
        mut reader: Reader,
        filter: &ImageFilter,
        parts: &[Part],
    ) -> Result<u64, Error> {
        let page = Page { turn: Turn::new(key.clone(), Class::Request), deadline: Instant::now() + PATIENCE };
        let covered: Vec<Counter> = parts.iter().filter_map(|part| covering(filter, part)).collect();
        let mut total = if covered.is_empty() { 0 } else { store::images::counters::read_sum(&mut reader, &covered).await? };
        drop(reader);
        for part in parts.iter().filter(|part| covering(filter, part).is_none()) {
            total += match (part, &filter.user_id, filter.tags.as_slice()) {
                (Part::Public, None, []) if filter.collection.is_none() => {
                    self.count_by_days(&page, filter.start, filter.end).await?
                }
                _ => self.count_rows(&page, filter, part, &watching(filter, part)).await?,
            };
        }
        Ok(total)
    }

    /// Whole days by their counters; only the days that are cut are counted row by row.
    async fn count_by_days(&self, page: &Page, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Result<u64, Error> {
        let start = start.unwrap_or(DateTime::UNIX_EPOCH).max(DateTime::UNIX_EPOCH);
        // Ids are in milliseconds, so the range may be widened to the first and past the last of them.
        let end = end.unwrap_or(DateTime::<Utc>::MAX_UTC).min(last_countable());
        if start > end {
            return Ok(0);
        }
        let past_end = end + MILLISECOND;
        let first_whole = day_start(start + DAY - MILLISECOND);
        let past_whole = day_start(past_end);
        if first_whole >= past_whole {
            return self.count_range(page, start, end).await;
        }
        let last_whole = past_whole - DAY;
        let whole = store::images::counters::read_range(&self.db, &Counter::day(first_whole), &Counter::day(last_whole)).await?;
        let before = if start < first_whole { self.count_range(page, start, first_whole - MILLISECOND).await? } else { 0 };
        let after = if past_whole < past_end { self.count_range(page, past_whole, end).await? } else { 0 };
        Ok(before + whole + after)
    }

    /// A range that no day fills, so that it lies in two days at most.
    async fn count_range(&self, page: &Page, start: DateTime<Utc>, end: DateTime<Utc>) -> Result<u64, Error> {
        let filter = ImageFilter { start: Some(start), end: Some(end), ..ImageFilter::default() };
        self.count_rows(page, &filter, &Part::Public, &[Counter::day(start), Counter::day(end)]).await
    }

    /// Counts row by row, unless the counters in `watched` have not moved since that was last done.
    async fn count_rows(&self, page: &Page, filter: &ImageFilter, part: &Part, watched: &[Counter]) -> Result<u64, Error> {
        let fingerprint = match part {
            Part::Public => (filter.fingerprint(), false),
            Part::PrivateOf(user) => (ImageFilter { user_id: Some(user.clone()), ..filter.clone() }.fingerprint(), true),
        };
        if let Some(count) = self.kept_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let _turn = self.counts.turn(page).await?;
        // Who had the turn before may have counted the same.
        if let Some(count) = self.kept_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let (count, moves) = store::images::lists::count(&self.db, filter, part, watched).await?;
        self.counts.keep(fingerprint, Kept { count, moves });
        Ok(count)
    }

    async fn kept_count(&self, fingerprint: &Fingerprint, watched: &[Counter]) -> Result<Option<u64>, Error> {
        let Some(kept) = self.counts.find(fingerprint) else { return Ok(None) };
        let moves = store::images::counters::moves(&self.db, watched).await?;
        Ok((kept.moves == moves).then_some(kept.count))
    }
}

/// The counter of just these images, if there is one.
fn covering(filter: &ImageFilter, part: &Part) -> Option<Counter> {
    if filter.start.is_some() || filter.end.is_some() {
        return None;
    }
    match (part, &filter.user_id, filter.sets().as_slice()) {
        (Part::Public, None, []) => Some(Counter::all()),
        (Part::Public, Some(user), []) => Some(Counter::user(user)),
        (Part::PrivateOf(user), _, []) => Some(Counter::private_user(user)),
        // Of what a user has in a collection only private images are counted apart.
        (Part::Public, Some(_), [Set::Collection(_)]) => None,
        (_, _, [set]) => Some(of_set(filter, part, set)),
        _ => None,
    }
}

/// Counters of which at least one moves with every image that comes to a list or leaves it.
fn watching(filter: &ImageFilter, part: &Part) -> Vec<Counter> {
    match (part, &filter.user_id, filter.sets().as_slice()) {
        (Part::PrivateOf(user), _, []) => vec![Counter::private_user(user)],
        (Part::Public, Some(user), []) => vec![Counter::user(user)],
        (_, _, sets) => sets.iter().map(|set| of_set(filter, part, set)).collect(),
    }
}

/// The counter of the part's images in a set, or, of a user's public ones in a collection, of all public ones.
pub(in crate::service) fn of_set(filter: &ImageFilter, part: &Part, set: &Set) -> Counter {
    match (set, part, &filter.user_id) {
        (Set::Tag(tag), Part::Public, None) => Counter::tag(tag),
        (Set::Tag(tag), Part::Public, Some(user)) => Counter::user_tag(user, tag),
        (Set::Tag(tag), Part::PrivateOf(user), _) => Counter::private_user_tag(user, tag),
        (Set::Collection(id), part, _) => Counter::collection_part(*id, part),
    }
}

const DAY: TimeDelta = TimeDelta::days(1);
const MILLISECOND: TimeDelta = TimeDelta::milliseconds(1);

/// The end of the last day whose name has four digits of year, as the names of days are compared as text.
fn last_countable() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(253_402_300_799_999).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn day_start(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::FutureExt;

    use super::*;
    use crate::model::caller::UserId;

    fn page(key: TurnKey) -> Page {
        Page { turn: Turn::new(key, Class::Request), deadline: Instant::now() + Duration::from_millis(300) }
    }

    fn user(name: &str) -> Page {
        page(TurnKey::User(UserId::parse(name).unwrap()))
    }

    #[tokio::test]
    async fn a_caller_with_many_lists_at_once_keeps_nobody_else_waiting() {
        let counts = Counts::default();
        let anonymous = || page(TurnKey::Network(IpAddr::from([192, 0, 2, 1])));
        let counting = counts.turn(&anonymous()).await.unwrap();
        let refused = futures::future::join_all((0..60).map(|_| {
            let (counts, page) = (&counts, anonymous());
            async move { counts.turn(&page).await }
        }));
        let mut refused = Box::pin(refused);
        assert!(refused.as_mut().now_or_never().is_none(), "they wait");
        for round in 0..20 {
            let turn = counts.turn(&user(&format!("user{}", round % 3))).now_or_never();
            drop(turn.expect("at once").unwrap());
        }
        assert!(refused.await.iter().all(|turn| matches!(turn, Err(Error::TooManyRequests { .. }))));
        drop(counting);
        counts.turn(&anonymous()).await.unwrap();
    }

    #[tokio::test]
    async fn with_two_callers_at_it_a_third_is_told_that_the_service_is_busy() {
        let counts = Counts::default();
        let _held = (counts.turn(&user("ann")).await.unwrap(), counts.turn(&user("bob")).await.unwrap());
        assert!(matches!(counts.turn(&user("cleo")).await, Err(Error::Overloaded { .. })));
        assert!(matches!(counts.turn(&user("ann")).await, Err(Error::TooManyRequests { .. })));
    }
}

//! `total_count`: exact, without counting rows if a counter covers the filter, and without recounting while nothing has changed.
//!
//! Filters that no counter covers (two tags, a user's images since a date) are counted row by row, in time linear to the number
//! of images of the tags or the user. At most two such counts run concurrently, so that expensive lists cannot take the database
//! from cheap ones, and one per caller, by turns. So a client that requests many expensive lists delays only itself. Each count
//! is cached with the change numbers of the counters of its tags or its user, read in the same snapshot. While these are
//! unchanged, no image has entered or left the list.

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

/// Cached counts, and the slots for new ones.
#[derive(Debug)]
pub struct CountCache {
    cached: Mutex<HashMap<Fingerprint, CachedCount>>,
    turns: FairQueue,
}

/// The turn of a list request, and its deadline for all slots.
struct CountRequest {
    turn: Turn,
    deadline: Instant,
}

/// The fingerprint of a filter, and whether it counts the private images of its user.
type Fingerprint = ([u8; 32], bool);

#[derive(Debug, Clone, Copy)]
struct CachedCount {
    count: u64,
    /// The change number of the counters that cover the filter.
    moves: i64,
}

/// Concurrent counts in total, and per caller.
const SLOTS: Amount = Amount { bytes: 0, slots: 2 };
const SLOTS_PER_CALLER: Amount = Amount { bytes: 0, slots: 1 };

/// The most that a request waits for all of its slots.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// About 100 KiB.
const MAX_CACHED: usize = 1024;

impl Default for CountCache {
    fn default() -> Self {
        Self { cached: Mutex::default(), turns: FairQueue::with_max_per_key(SLOTS, SLOTS_PER_CALLER) }
    }
}

impl CountCache {
    fn find(&self, fingerprint: &Fingerprint) -> Option<CachedCount> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).get(fingerprint).copied()
    }

    fn insert(&self, fingerprint: Fingerprint, cached: CachedCount) {
        let mut all = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_CACHED && !all.contains_key(&fingerprint) {
            // Which entries are needed again is unknown; those are recounted once.
            all.clear();
        }
        all.insert(fingerprint, cached);
    }

    /// # Errors
    /// No slot was free in time: because of another count of the same caller, or because too many callers count.
    async fn turn(&self, request: &CountRequest) -> Result<Permit, Error> {
        let taking = self.turns.acquire(&request.turn, Amount::slots(1));
        tokio::time::timeout_at(request.deadline, taking).await.map_err(|_| match self.turns.is_holding(&request.turn.key) {
            true => Error::too_many_requests(MAX_WAIT),
            false => Error::Overloaded { retry_after: MAX_WAIT },
        })
    }
}

impl Service {
    /// Returns the exact number of live images in these parts that match. Takes the reader, so that no connection is held while
    /// waiting for a slot.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] or [`Error::Overloaded`] if the turn of `key` does not come in time.
    pub(in crate::service) async fn count_images(
        &self,
        key: &TurnKey,
        mut reader: Reader,
        filter: &ImageFilter,
        parts: &[Part],
    ) -> Result<u64, Error> {
        let request = CountRequest { turn: Turn::new(key.clone(), Class::Request), deadline: Instant::now() + MAX_WAIT };
        let covered: Vec<Counter> = parts.iter().filter_map(|part| covering_counter(filter, part)).collect();
        let mut total = if covered.is_empty() { 0 } else { store::images::counters::read_sum(&mut reader, &covered).await? };
        drop(reader);
        for part in parts.iter().filter(|part| covering_counter(filter, part).is_none()) {
            total += match (part, &filter.user_id, filter.tags.as_slice()) {
                (Part::Public, None, []) if filter.collection.is_none() => {
                    self.count_by_days(&request, filter.start, filter.end).await?
                }
                _ => self.count_rows(&request, filter, part, &watched_counters(filter, part)).await?,
            };
        }
        Ok(total)
    }

    /// Sums the counters of whole days; only partial days are counted row by row.
    async fn count_by_days(
        &self,
        request: &CountRequest,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<u64, Error> {
        let start = start.unwrap_or(DateTime::UNIX_EPOCH).max(DateTime::UNIX_EPOCH);
        // Ids have a precision of milliseconds, so the range may be widened to whole milliseconds.
        let end = end.unwrap_or(DateTime::<Utc>::MAX_UTC).min(last_countable());
        if start > end {
            return Ok(0);
        }
        let past_end = end + MILLISECOND;
        let first_whole = day_start(start + DAY - MILLISECOND);
        let past_whole = day_start(past_end);
        if first_whole >= past_whole {
            return self.count_range(request, start, end).await;
        }
        let last_whole = past_whole - DAY;
        let whole = store::images::counters::read_range(&self.db, &Counter::day(first_whole), &Counter::day(last_whole)).await?;
        let before = if start < first_whole { self.count_range(request, start, first_whole - MILLISECOND).await? } else { 0 };
        let after = if past_whole < past_end { self.count_range(request, past_whole, end).await? } else { 0 };
        Ok(before + whole + after)
    }

    /// Counts a range that covers no whole day, and therefore at most two days.
    async fn count_range(&self, request: &CountRequest, start: DateTime<Utc>, end: DateTime<Utc>) -> Result<u64, Error> {
        let filter = ImageFilter { start: Some(start), end: Some(end), ..ImageFilter::default() };
        self.count_rows(request, &filter, &Part::Public, &[Counter::day(start), Counter::day(end)]).await
    }

    /// Counts row by row, unless the counters in `watched` are unchanged since the last count.
    async fn count_rows(
        &self,
        request: &CountRequest,
        filter: &ImageFilter,
        part: &Part,
        watched: &[Counter],
    ) -> Result<u64, Error> {
        let fingerprint = match part {
            Part::Public => (filter.fingerprint(), false),
            Part::PrivateOf(user) => (ImageFilter { user_id: Some(user.clone()), ..filter.clone() }.fingerprint(), true),
        };
        if let Some(count) = self.cached_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let _turn = self.counts.turn(request).await?;
        // The previous holder of the slot may have counted the same.
        if let Some(count) = self.cached_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let (count, moves) = store::images::lists::count(&self.db, filter, part, watched).await?;
        self.counts.insert(fingerprint, CachedCount { count, moves });
        Ok(count)
    }

    async fn cached_count(&self, fingerprint: &Fingerprint, watched: &[Counter]) -> Result<Option<u64>, Error> {
        let Some(cached) = self.counts.find(fingerprint) else { return Ok(None) };
        let moves = store::images::counters::moves(&self.db, watched).await?;
        Ok((cached.moves == moves).then_some(cached.count))
    }
}

/// Returns the counter that covers exactly these images, if there is one.
pub(super) fn covering_counter(filter: &ImageFilter, part: &Part) -> Option<Counter> {
    if filter.start.is_some() || filter.end.is_some() {
        return None;
    }
    match (part, &filter.user_id, filter.sets().as_slice()) {
        (Part::Public, None, []) => Some(Counter::all()),
        (Part::Public, Some(user), []) => Some(Counter::user(user)),
        (Part::PrivateOf(user), _, []) => Some(Counter::private_user(user)),
        // For a user's images in a collection, only private ones have a counter.
        (Part::Public, Some(_), [Set::Collection(_)]) => None,
        (_, _, [set]) => Some(counter_of_set(filter, part, set)),
        _ => None,
    }
}

/// Returns counters of which at least one changes whenever an image enters or leaves the list.
fn watched_counters(filter: &ImageFilter, part: &Part) -> Vec<Counter> {
    match (part, &filter.user_id, filter.sets().as_slice()) {
        (Part::PrivateOf(user), _, []) => vec![Counter::private_user(user)],
        (Part::Public, Some(user), []) => vec![Counter::user(user)],
        (_, _, sets) => sets.iter().map(|set| counter_of_set(filter, part, set)).collect(),
    }
}

/// Returns the counter of the part's images in a set. For a user's public images in a collection: of all public ones.
pub(in crate::service) fn counter_of_set(filter: &ImageFilter, part: &Part, set: &Set) -> Counter {
    match (set, part, &filter.user_id) {
        (Set::Tag(tag), Part::Public, None) => Counter::tag(tag),
        (Set::Tag(tag), Part::Public, Some(user)) => Counter::user_tag(user, tag),
        (Set::Tag(tag), Part::PrivateOf(user), _) => Counter::private_user_tag(user, tag),
        (Set::Collection(id), part, _) => Counter::collection_part(*id, part),
    }
}

const DAY: TimeDelta = TimeDelta::days(1);
const MILLISECOND: TimeDelta = TimeDelta::milliseconds(1);

/// Returns the end of the last day with a four-digit year, because names of days are compared as text.
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

    fn request(key: TurnKey) -> CountRequest {
        CountRequest { turn: Turn::new(key, Class::Request), deadline: Instant::now() + Duration::from_millis(300) }
    }

    fn user(name: &str) -> CountRequest {
        request(TurnKey::User(UserId::parse(name).unwrap()))
    }

    #[tokio::test]
    async fn a_caller_with_many_lists_delays_no_other_caller() {
        let counts = CountCache::default();
        let anonymous = || request(TurnKey::Network(IpAddr::from([192, 0, 2, 1])));
        let counting = counts.turn(&anonymous()).await.unwrap();
        let refused = futures::future::join_all((0..60).map(|_| {
            let (counts, request) = (&counts, anonymous());
            async move { counts.turn(&request).await }
        }));
        let mut refused = Box::pin(refused);
        assert!(refused.as_mut().now_or_never().is_none(), "they wait");
        for round in 0..20 {
            let turn = counts.turn(&user(&format!("user{}", round % 3))).now_or_never();
            drop(turn.expect("no waiting").unwrap());
        }
        assert!(refused.await.iter().all(|turn| matches!(turn, Err(Error::TooManyRequests { .. }))));
        drop(counting);
        counts.turn(&anonymous()).await.unwrap();
    }

    #[tokio::test]
    async fn while_two_callers_count_a_third_gets_overloaded() {
        let counts = CountCache::default();
        let _held = (counts.turn(&user("ann")).await.unwrap(), counts.turn(&user("bob")).await.unwrap());
        assert!(matches!(counts.turn(&user("cleo")).await, Err(Error::Overloaded { .. })));
        assert!(matches!(counts.turn(&user("ann")).await, Err(Error::TooManyRequests { .. })));
    }
}

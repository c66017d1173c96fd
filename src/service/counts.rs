//! `total_count`: exact, without counting rows wherever a counter covers the filter, and without counting them again while
//! nothing has changed.
//!
//! What no counter covers (two tags, a user's images from a day on) is counted row by row, which takes as long as the
//! tags or the user have images. Such counts are made one at a time, so that lists that are dear cannot take the
//! database from those that are cheap; and each is kept with how often the counters of its tags or its user had moved,
//! read in the same snapshot. While they have not moved since, no image has come to the list or left it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

use super::Service;
use super::error::Error;
use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part, Set};
use crate::store::{self, Reader};

/// Counts that were made row by row.
#[derive(Debug)]
pub struct Counts {
    kept: Mutex<HashMap<Fingerprint, Kept>>,
    turns: Semaphore,
}

/// Of a filter, and whether it is of the private images of its user.
type Fingerprint = ([u8; 32], bool);

#[derive(Debug, Clone, Copy)]
struct Kept {
    count: u64,
    /// Of the counters that watch over the filter.
    moves: i64,
}

/// Counts made at once.
const TURNS: usize = 1;

/// Some 100 KiB.
const MAX_KEPT: usize = 1024;

impl Default for Counts {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(TURNS) }
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
}

impl Service {
    /// The exact number of live images of these parts that match. Takes the reader, so that nobody holds one while waiting for
    /// a turn.
    pub(super) async fn count_images(&self, mut reader: Reader, filter: &ImageFilter, parts: &[Part]) -> Result<u64, Error> {
        let covered: Vec<Counter> = parts.iter().filter_map(|part| covering(filter, part)).collect();
        let mut total = if covered.is_empty() { 0 } else { store::counters::read_sum(&mut reader, &covered).await? };
        drop(reader);
        for part in parts.iter().filter(|part| covering(filter, part).is_none()) {
            total += match (part, &filter.user_id, filter.tags.as_slice()) {
                (Part::Public, None, []) if filter.collection.is_none() => self.count_by_days(filter.start, filter.end).await?,
                _ => self.count_rows(filter, part, &watching(filter, part)).await?,
            };
        }
        Ok(total)
    }

    /// Whole days by their counters; only the days that are cut are counted row by row.
    async fn count_by_days(&self, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Result<u64, Error> {
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
            return self.count_range(start, end).await;
        }
        let last_whole = past_whole - DAY;
        let whole = store::counters::read_range(&self.db, &Counter::day(first_whole), &Counter::day(last_whole)).await?;
        let before = if start < first_whole { self.count_range(start, first_whole - MILLISECOND).await? } else { 0 };
        let after = if past_whole < past_end { self.count_range(past_whole, end).await? } else { 0 };
        Ok(before + whole + after)
    }

    /// A range that no day fills, so that it lies in two days at most.
    async fn count_range(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Result<u64, Error> {
        let filter = ImageFilter { start: Some(start), end: Some(end), ..ImageFilter::default() };
        self.count_rows(&filter, &Part::Public, &[Counter::day(start), Counter::day(end)]).await
    }

    /// Counts row by row, unless the counters in `watched` have not moved since that was last done.
    async fn count_rows(&self, filter: &ImageFilter, part: &Part, watched: &[Counter]) -> Result<u64, Error> {
        let fingerprint = match part {
            Part::Public => (filter.fingerprint(), false),
            Part::PrivateOf(user) => (ImageFilter { user_id: Some(user.clone()), ..filter.clone() }.fingerprint(), true),
        };
        if let Some(count) = self.kept_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let turn = tokio::time::timeout(self.limits.admission_wait, self.counts.turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::Overloaded { retry_after: self.limits.admission_wait })?.map_err(Error::internal)?;
        // Who had the turn before may have counted the same.
        if let Some(count) = self.kept_count(&fingerprint, watched).await? {
            return Ok(count);
        }
        let (count, moves) = store::image_lists::count(&self.db, filter, part, watched).await?;
        self.counts.keep(fingerprint, Kept { count, moves });
        Ok(count)
    }

    async fn kept_count(&self, fingerprint: &Fingerprint, watched: &[Counter]) -> Result<Option<u64>, Error> {
        let Some(kept) = self.counts.find(fingerprint) else { return Ok(None) };
        let moves = store::counters::moves(&self.db, watched).await?;
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
pub(super) fn of_set(filter: &ImageFilter, part: &Part, set: &Set) -> Counter {
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

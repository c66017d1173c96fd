//! Statistics of all processing since the beginning, over all instances.
//!
//! What was stored is counted in the transaction that stores it, and so exact. What was refused, and how long each stage
//! took, is gathered in memory and written every second and when the service stops: a refusal must not cost a write, or
//! refused files would be a way to wear the database out. A process that is killed loses what it has not yet written.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::caller::Caller;
use crate::model::counter::{Counter, CounterKind};
use crate::model::image::{Format, Visibility};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::store;

/// What was processed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// By the format of the upload; every format is there.
    pub formats: BTreeMap<&'static str, Processed>,
    /// Files that were looked at and refused, by the name of the error.
    pub failures: BTreeMap<String, u64>,
    /// By stage, as in the metrics.
    pub stages: BTreeMap<String, Stage>,
}

/// Images that were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Processed {
    pub count: u64,
    /// What decoding and thumbnails took.
    pub time: Duration,
}

/// A step of processing that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stage {
    pub count: u64,
    pub time: Duration,
}

impl Stats {
    pub fn stored(&self) -> Processed {
        let add =
            |sum: Processed, format: &Processed| Processed { count: sum.count + format.count, time: sum.time + format.time };
        self.formats.values().fold(Processed::default(), add)
    }

    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// What was counted and is not written yet.
#[derive(Debug, Default)]
pub(in crate::service) struct Tally {
    counted: Mutex<BTreeMap<Counter, i64>>,
    /// Held alone while writing, so that whoever reads counts nothing twice and misses nothing.
    writing: tokio::sync::RwLock<()>,
}

impl Tally {
    fn add(&self, kind: CounterKind, key: &str, number: i64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.entry(Counter { kind, key: key.to_owned() }).or_default() += number;
    }

    fn take(&self) -> BTreeMap<Counter, i64> {
        std::mem::take(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, taken: BTreeMap<Counter, i64>) {
        taken.into_iter().for_each(|(counter, number)| self.add(counter.kind, &counter.key, number));
    }

    fn look(&self) -> Vec<(Counter, i64)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(|(counter, number)| (counter.clone(), *number)).collect()
    }
}

/// What the names of stages of private uploads begin with in the counters.
const PRIVATE: &str = "private/";

fn is_private(stage: &str) -> bool {
    stage.starts_with(PRIVATE)
}

fn stage_of(key: String) -> String {
    key.strip_prefix(PRIVATE).map(str::to_owned).unwrap_or(key)
}

impl Service {
    /// All of it, but for private images, which administrators alone are told of; with what this instance has not written yet; of other instances a second may be missing.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn stats(&self, caller: &Caller) -> Result<Stats, Error> {
        permissions::viewer(caller)?;
        let sees_private = permissions::as_admin(caller).is_some();
        let _not_writing = self.tally.writing.read().await;
        let mut counted = store::images::counters::read_kinds(&self.db, &CounterKind::STATISTICS).await?;
        counted.extend(self.tally.look());
        let mut stats = Stats::default();
        stats.formats.extend(Format::ALL.map(|format| (format.name(), Processed::default())));
        for (counter, number) in counted {
            let number = u64::try_from(number).unwrap_or_default();
            let time = Duration::from_micros(number);
            let format = Format::parse(&counter.key).and_then(|format| stats.formats.get_mut(format.name()));
            match (counter.kind, format) {
                (CounterKind::StoredPrivate | CounterKind::ProcessingMicrosPrivate, _) if !sees_private => {}
                (CounterKind::Stored | CounterKind::StoredPrivate, Some(format)) => format.count += number,
                (CounterKind::ProcessingMicros | CounterKind::ProcessingMicrosPrivate, Some(format)) => format.time += time,
                (CounterKind::Failed, _) => *stats.failures.entry(counter.key).or_default() += number,
                (CounterKind::StageCount | CounterKind::StageMicros, _) if !sees_private && is_private(&counter.key) => {}
                (CounterKind::StageCount, _) => stats.stages.entry(stage_of(counter.key)).or_default().count += number,
                (CounterKind::StageMicros, _) => stats.stages.entry(stage_of(counter.key)).or_default().time += time,
                _ => {}
            }
        }
        Ok(stats)
    }

    /// Writes what was counted since the last time.
    ///
    /// # Errors
    /// The database is unavailable; what could not be written is kept, but for what a broken commit may have written.
    pub async fn write_tally(&self) -> Result<(), Error> {
        let _writing = self.tally.writing.write().await;
        let taken = self.tally.take();
        if taken.is_empty() {
            return Ok(());
        }
        let changes = taken.iter().map(|(counter, number)| (counter.clone(), *number));
        let written = async {
            let mut tx = self.db.begin().await?;
            // Any slot will do; one of chance keeps instances out of each other's way.
            store::images::counters::add_in_slot(&mut tx, self.clock.random()[0] % Counter::SLOTS, changes);
            tx.write_counters().await?;
            Ok::<_, store::Error>(tx)
        };
        match written.await {
            Ok(tx) => Ok(tx.commit().await?),
            Err(error) => {
                self.tally.put_back(taken);
                Err(error.into())
            }
        }
    }

    /// Counts a stage of an upload that has ended.
    pub(in crate::service) fn observe_stage(&self, visibility: Visibility, stage: &'static str, duration: Duration) {
        self.metrics.observe_stage(stage, duration);
        self.tally_stage(visibility, stage, duration);
    }

    /// As [`Service::observe_stage`], for the statistics alone.
    pub(in crate::service) fn tally_stage(&self, visibility: Visibility, stage: &'static str, duration: Duration) {
        let key = match visibility {
            Visibility::Public => stage.to_owned(),
            Visibility::Private => format!("{PRIVATE}{stage}"),
        };
        self.tally.add(CounterKind::StageCount, &key, 1);
        self.tally.add(CounterKind::StageMicros, &key, i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
    }

    /// Counts an upload that was not stored. A failure of processing is a file that was looked at and refused, for its
    /// format, its size or its damage; not a request that was wrong, came too often or found the service out of order.
    pub fn count_refusal(&self, error: &Error) {
        self.metrics.count_upload(error.name());
        if matches!(error, Error::InvalidFile { .. } | Error::UnsupportedFormat { .. }) {
            self.tally.add(CounterKind::Failed, error.name(), 1);
        }
    }
}

//! Statistics of all processing since the first start, across all instances.
//!
//! Stored images are counted in the transaction that stores them, so these numbers are exact. Refusals and the durations of
//! stages are collected in memory, and written every second and when the service stops. A refusal must not cost a write, because
//! clients could otherwise overload the database with invalid files. A process that is killed loses what it has not written yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::caller::Caller;
use crate::model::counter::{Counter, CounterKind};
use crate::model::image::{Format, Visibility};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::upload_request::UploadMethod;
use crate::store;

/// Statistics of processing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// By the format of the upload, with an entry for every format.
    pub formats: BTreeMap<&'static str, Processed>,
    /// Files that were examined and refused, by the name of the error.
    pub failures: BTreeMap<String, u64>,
    /// By stage, as in the metrics.
    pub stages: BTreeMap<String, Stage>,
}

/// Stored images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Processed {
    pub count: u64,
    /// The time for decoding and thumbnails.
    pub time: Duration,
}

/// A completed step of processing.
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

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub(in crate::service) struct Tally {
    counted: Mutex<BTreeMap<Counter, i64>>,
    /// Locked exclusively while writing, so that readers count nothing twice and miss nothing.
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

    fn snapshot(&self) -> Vec<(Counter, i64)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(|(counter, number)| (counter.clone(), *number)).collect()
    }
}

/// The prefix of stage names of private uploads in the counters.
const PRIVATE: &str = "private/";

fn is_private(stage: &str) -> bool {
    stage.starts_with(PRIVATE)
}

fn stage_of(key: String) -> String {
    key.strip_prefix(PRIVATE).map(str::to_owned).unwrap_or(key)
}

impl Service {
    /// Returns the statistics, including what this instance has not written yet. The last second of other instances may be
    /// missing. Private images are included for administrators only.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn stats(&self, caller: &Caller) -> Result<Stats, Error> {
        permissions::viewer(caller)?;
        let sees_private = permissions::as_admin(caller).is_some();
        let _not_writing = self.tally.writing.read().await;
        let mut counted = store::images::counters::read_kinds(&self.db, &CounterKind::STATISTICS).await?;
        counted.extend(self.tally.snapshot());
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

    /// Writes the counts since the last call.
    ///
    /// # Errors
    /// The database is unavailable. The counts are kept, unless the commit failed and may have written them.
    pub async fn write_tally(&self) -> Result<(), Error> {
        let _writing = self.tally.writing.write().await;
        let taken = self.tally.take();
        if taken.is_empty() {
            return Ok(());
        }
        let changes = taken.iter().map(|(counter, number)| (counter.clone(), *number));
        let written = async {
            let mut tx = self.db.begin().await?;
            // A random slot, so that instances rarely wait for each other.
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

    /// Records a completed stage of an upload, in the metrics and the statistics.
    pub(in crate::service) fn observe_stage(&self, visibility: Visibility, stage: &'static str, duration: Duration) {
        self.metrics.observe_stage(stage, duration);
        self.tally_stage(visibility, stage, duration);
    }

    /// Records a completed stage in the statistics only.
    pub(in crate::service) fn tally_stage(&self, visibility: Visibility, stage: &'static str, duration: Duration) {
        let key = match visibility {
            Visibility::Public => stage.to_owned(),
            Visibility::Private => format!("{PRIVATE}{stage}"),
        };
        self.tally.add(CounterKind::StageCount, &key, 1);
        self.tally.add(CounterKind::StageMicros, &key, i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
    }

    /// Counts an upload that was not stored. A processing failure is a file that was refused because of its format, size or
    /// damage, not an invalid or throttled request or an outage.
    pub fn count_refusal(&self, method: UploadMethod, error: &Error) {
        self.metrics.count_upload(method.name(), error.name());
        if matches!(error, Error::InvalidFile { .. } | Error::UnsupportedFormat { .. }) {
            self.tally.add(CounterKind::Failed, error.name(), 1);
        }
    }
}

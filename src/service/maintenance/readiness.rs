//! Whether the service can do its work, and the numbers that are read off when somebody asks.

use std::time::Duration;

use crate::metrics::Metrics;
use crate::service::Service;
use crate::service::error::{Dependency, chain};
use crate::{objects, store};

/// Longer than this, and a dependency is down as far as a load balancer is concerned.
const PATIENCE: Duration = Duration::from_secs(3);

/// A dependency that is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    pub dependency: Dependency,
    /// What the operator is to do about it, where that is known; a sentence that names no address.
    pub advice: Option<String>,
}

impl Service {
    /// What of the service's dependencies is down right now.
    pub async fn down(&self) -> Vec<Down> {
        let (database, storage) = tokio::join!(within(self.db.check()), within(self.check_storage()));
        // Attempts to connect go on for longer than this waits.
        let database = database.map_err(|reason| self.db.last_connect_error().unwrap_or(reason)).map(|()| None);
        let mut down = Vec::new();
        for (dependency, state) in [(Dependency::Database, database), (Dependency::Storage, storage)] {
            let (reason, advice) = match state {
                Ok(None) => continue,
                Ok(Some((reason, advice))) => (reason, Some(advice)),
                Err(reason) => (reason, None),
            };
            self.repeated.warn(cannot_be_used(dependency, &reason));
            down.push(Down { dependency, advice });
        }
        down
    }

    /// `Some` when the bucket is missing: the reason, and what to do.
    async fn check_storage(&self) -> Result<Option<(String, String)>, objects::Error> {
        match self.objects.check().await {
            Ok(()) => Ok(None),
            Err(error) => match &error {
                objects::Error::NoBucket { bucket, .. } => {
                    let advice = format!("The bucket {bucket:?} does not exist; create it, or set S3_CREATE_BUCKET=true.");
                    Ok(Some((chain(&error), advice)))
                }
                _ => Err(error),
            },
        }
    }

    /// Writes what is read off rather than counted into the metrics. Numbers from a database that is down stay as they were.
    pub async fn refresh_metrics(&self) {
        let metrics = &self.metrics;
        let bodies = self.admission.bodies_in_use();
        metrics.upload_memory_in_use_bytes.set(to_gauge(bodies.in_use_bytes));
        metrics.upload_memory_budget_bytes.set(to_gauge(bodies.total_bytes));
        let receiving = self.admission.receiving_in_use();
        metrics.receiving_memory_in_use_bytes.set(to_gauge(receiving.in_use_bytes));
        metrics.receiving_memory_budget_bytes.set(to_gauge(receiving.total_bytes));
        let disk = self.spool.in_use();
        metrics.upload_disk_in_use_bytes.set(to_gauge(disk.in_use_bytes));
        metrics.upload_disk_budget_bytes.set(to_gauge(disk.total_bytes));
        let decoding = self.admission.decoding_in_use();
        metrics.decode_memory_in_use_bytes.set(to_gauge(decoding.in_use_bytes));
        metrics.decode_memory_budget_bytes.set(to_gauge(decoding.total_bytes));
        let pool = self.db.pool_use();
        for (state, value) in [("in_use", pool.open - pool.idle), ("idle", pool.idle), ("max", pool.max)] {
            Metrics::set_state(&metrics.database_connections, state, value.into());
        }
        match within(store::images::intents::count_by_state(&self.db)).await {
            Ok(counted) => {
                for state in ["uploading", "removing"] {
                    let value = counted.iter().find(|(name, _)| name == state).map_or(0, |(_, n)| *n);
                    Metrics::set_state(&metrics.intents, state, value);
                }
            }
            Err(reason) => self.repeated.warn(format!("the intents could not be counted: {reason}")),
        }
        if let Err(reason) = within(self.measure_import_queue()).await {
            self.repeated.warn(format!("the queue of imports could not be measured: {reason}"));
        }
        if let Err(reason) = within(self.measure_caption_queue()).await {
            self.repeated.warn(format!("the queue of captions could not be measured: {reason}"));
        }
    }

    async fn measure_caption_queue(&self) -> Result<(), store::Error> {
        self.metrics.caption_queue.set(store::jobs::caption_jobs::count(&self.db).await?);
        Ok(())
    }

    async fn measure_import_queue(&self) -> Result<(), store::Error> {
        let counted = store::jobs::import_queue::count_by_state(&self.db).await?;
        for state in ["pending", "waiting", "running"] {
            let value = counted.iter().find(|(name, _)| name == state).map_or(0, |(_, n)| *n);
            Metrics::set_state(&self.metrics.import_queue, state, value);
        }
        let oldest = store::jobs::import_queue::oldest_waiting(&self.db).await?;
        let waited = oldest.and_then(|id| (self.clock.now() - id.created_at()).to_std().ok()).unwrap_or_default();
        self.metrics.import_oldest_waiting_seconds.set(waited.as_secs_f64());
        Ok(())
    }
}

/// The same words for the same failure, wherever it is noticed.
pub(in crate::service) fn cannot_be_used(dependency: Dependency, reason: &str) -> String {
    format!("the {dependency} cannot be used: {reason}")
}

/// The reason is one phrase, for the log.
async fn within<T, E: std::error::Error>(asking: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

fn to_gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

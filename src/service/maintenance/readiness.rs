//! Readiness checks, and metrics that are read on demand.

use std::time::Duration;

use crate::metrics::Metrics;
use crate::service::Service;
use crate::service::error::{Dependency, chain};
use crate::{objects, store};

/// A dependency that does not answer in this time is down, as far as a load balancer is concerned.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// A dependency that is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailableDependency {
    pub dependency: Dependency,
    /// What the operator should do, if known. A sentence without addresses.
    pub advice: Option<String>,
}

impl Service {
    /// Returns the dependencies that are down.
    pub async fn unavailable_dependencies(&self) -> Vec<UnavailableDependency> {
        let (database, storage) = tokio::join!(within(self.db.check()), within(self.check_storage()));
        // Attempts to connect take longer than this check waits.
        let database = database.map_err(|reason| self.db.last_connect_error().unwrap_or(reason)).map(|()| None);
        let mut down = Vec::new();
        for (dependency, state) in [(Dependency::Database, database), (Dependency::Storage, storage)] {
            let (reason, advice) = match state {
                Ok(None) => continue,
                Ok(Some((reason, advice))) => (reason, Some(advice)),
                Err(reason) => (reason, None),
            };
            self.repeated_failures.warn(cannot_be_used(dependency, &reason));
            down.push(UnavailableDependency { dependency, advice });
        }
        down
    }

    /// Returns `Some` if the bucket or the credentials are missing: the reason, and the advice.
    async fn check_storage(&self) -> Result<Option<(String, String)>, objects::Error> {
        match self.objects.check().await {
            Ok(()) => Ok(None),
            Err(error) => match &error {
                objects::Error::NoBucket { bucket, .. } => {
                    let advice = format!("The bucket {bucket:?} does not exist. Create it, or set S3_CREATE_BUCKET=true.");
                    Ok(Some((chain(&error), advice)))
                }
                objects::Error::NoCredentials(_) => {
                    let advice = "There are no credentials for the storage. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                                  AWS_PROFILE to a profile that has them.";
                    Ok(Some((chain(&error), advice.to_owned())))
                }
                _ => Err(error),
            },
        }
    }

    /// Updates the gauges. Gauges from a database that is down stay unchanged.
    pub async fn refresh_metrics(&self) {
        let metrics = &self.metrics;
        let bodies = self.admission.body_usage();
        metrics.upload_memory_in_use_bytes.set(to_gauge(bodies.in_use_bytes));
        metrics.upload_memory_budget_bytes.set(to_gauge(bodies.total_bytes));
        let receiving = self.admission.receiving_usage();
        metrics.receiving_memory_in_use_bytes.set(to_gauge(receiving.in_use_bytes));
        metrics.receiving_memory_budget_bytes.set(to_gauge(receiving.total_bytes));
        let disk = self.spool.in_use();
        metrics.upload_disk_in_use_bytes.set(to_gauge(disk.in_use_bytes));
        metrics.upload_disk_budget_bytes.set(to_gauge(disk.total_bytes));
        let decoding = self.admission.decode_usage();
        metrics.decode_memory_in_use_bytes.set(to_gauge(decoding.in_use_bytes));
        metrics.decode_memory_budget_bytes.set(to_gauge(decoding.total_bytes));
        let cache = self.objects.cache_use();
        metrics.cache_in_use_bytes.set(to_gauge(cache.used_bytes));
        metrics.cache_max_bytes.set(to_gauge(cache.max_bytes));
        metrics.set_cache_counts(cache.hits, cache.misses);
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
            Err(reason) => self.repeated_failures.warn(format!("failed to count the intents: {reason}")),
        }
        if let Err(reason) = within(self.measure_import_queue()).await {
            self.repeated_failures.warn(format!("failed to measure the import queue: {reason}"));
        }
        if let Err(reason) = within(self.measure_caption_queue()).await {
            self.repeated_failures.warn(format!("failed to measure the caption queue: {reason}"));
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

/// Returns the same text for the same failure, wherever it is detected.
pub(in crate::service) fn cannot_be_used(dependency: Dependency, reason: &str) -> String {
    format!("the {dependency} cannot be used: {reason}")
}

/// Returns the failure as one phrase, for the log.
async fn within<T, E: std::error::Error>(asking: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(CHECK_TIMEOUT, asking).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer within {CHECK_TIMEOUT:?}")),
    }
}

fn to_gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

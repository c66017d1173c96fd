//! The import queue: an item is claimed, fetched, and passed to the same upload as any other file.
//!
//! A claim counts as an attempt before anything is fetched. Its lease is renewed while its worker lives. The transaction that
//! stores the image also completes the item under that claim, so an item is stored once, whichever process dies at whatever
//! moment. Transient errors are retried with increasing delays. Failures of this service (no memory, an unavailable dependency)
//! cost no attempt, and the worker waits until they are over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::import_failure::ImportFailure;
use super::imports::CANCELLED;
use super::queue::{INTERRUPTED, MAX_RETRY_DELAY, SETTLE_RETRY_DELAY, UNAVAILABLE_DELAY, WorkOutcome, keep_lease};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::service::Service;
use crate::service::error::{Error, chain};
use crate::service::time::after;
use crate::store::jobs::import_queue::{Claim, QueuedItem};
use crate::store::{self, Tx};

/// Limits of imports.
#[derive(Debug, Clone)]
pub struct ImportLimits {
    /// Unfinished items per user.
    pub max_pending: u32,
    /// Attempts per item.
    pub attempts: u32,
    /// Items that this process works on concurrently.
    pub concurrency: usize,
    /// Concurrent items per host, across all instances.
    pub per_host: u32,
    /// The delay before the first retry; four times as long before each further one.
    pub retry_delay: Duration,
    /// How long a host that has started its response may be kept waiting for memory.
    pub memory_wait: Duration,
    /// How long a finished job is kept; `None` means without limit.
    pub retention: Option<Duration>,
}

/// The default of [`ImportLimits::max_pending`].
pub const DEFAULT_MAX_PENDING: u32 = 1000;

impl ImportLimits {
    /// Items of one user that this process works on concurrently. The rest is for the next user.
    fn per_user(&self) -> usize {
        (self.concurrency - self.concurrency.div_ceil(4)).max(1)
    }
}

/// A worker is considered dead after this time without a renewal.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const RENEWAL: Duration = Duration::from_secs(10);

/// After a database outage, expired leases are left alone for this time, so that living workers can renew them first.
const OUTAGE_GRACE: Duration = Duration::from_secs(15);

/// Items woken per step.
const BATCH: u32 = 100;

/// An item that this process has claimed.
#[derive(Debug)]
pub struct ClaimedItem {
    pub(in crate::service) item: QueuedItem,
    pub(in crate::service) claim: Claim,
    /// Set if the commit failed, so that it is unknown whether the claim holds.
    commit_error: Option<Error>,
    _active: ActiveImport,
}

/// The result of an attempt to claim an item.
#[derive(Debug)]
pub enum Claimed {
    Item(Box<ClaimedItem>),
    /// No item was claimed, but there may be more to do immediately.
    TryAgain,
    Nothing,
}

impl Service {
    /// Claims the next item, if one may be worked on now.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn claim_import(&self) -> Result<Claimed, Error> {
        let claimed = self.try_to_claim().await;
        if claimed.is_err() {
            self.import_state.record_outage();
        }
        claimed
    }

    async fn try_to_claim(&self) -> Result<Claimed, Error> {
        let now = self.clock.now();
        // While there is nothing to do, nothing is locked or written.
        let due = store::jobs::import_queue::due_work(&self.db, now).await?;
        if due.waiting {
            // In a separate transaction, because it locks items before their jobs.
            let mut tx = self.db.begin().await?;
            store::jobs::import_queue::lock(&mut tx).await?;
            store::jobs::import_queue::wake_waiting(&mut tx, now, BATCH).await?;
            tx.commit().await?;
            return Ok(Claimed::TryAgain);
        }
        let take_lapsed = due.expired && !self.import_state.had_outage();
        if !due.pending && !take_lapsed {
            return Ok(Claimed::Nothing);
        }
        let mut tx = self.db.begin().await?;
        let served = store::jobs::import_queue::lock(&mut tx).await?;
        if take_lapsed {
            let (limits, long_ago) = (&self.limits.imports, now - LEASE);
            if let Some(item) = store::jobs::import_queue::find_expired(&mut tx, limits.attempts, long_ago, now).await? {
                return self.reclaim(tx, item, served, now).await;
            }
        }
        let busy = self.import_state.users_with_at_least(self.limits.imports.per_user());
        match store::jobs::import_queue::find_next(&mut tx, self.limits.imports.per_host, &busy).await? {
            Some(item) => self.claim_item(tx, item, served, now).await,
            // Commits the removal of empty lanes.
            None => tx.commit().await.map(|()| Claimed::Nothing).map_err(Error::from),
        }
    }

    /// Claims an item whose worker died.
    async fn reclaim(&self, mut tx: Tx, item: QueuedItem, served: i64, now: DateTime<Utc>) -> Result<Claimed, Error> {
        let (reason, counted) = match store::jobs::imports::lock_job(&mut tx, item.job_id).await? {
            true => (CANCELLED, "cancelled"),
            false if item.attempts >= self.limits.imports.attempts => (INTERRUPTED, "failed"),
            false => return self.claim_item(tx, item, served, now).await,
        };
        let failed = store::jobs::import_queue::fail_expired(&mut tx, &item, reason, now).await?;
        tx.commit().await?;
        self.metrics.count_import_items(counted, u64::from(failed));
        Ok(Claimed::TryAgain)
    }

    async fn claim_item(&self, mut tx: Tx, item: QueuedItem, served: i64, now: DateTime<Utc>) -> Result<Claimed, Error> {
        let image_id = ImageId::new(&*self.clock);
        if !store::jobs::import_queue::claim(&mut tx, &item, served, image_id, (now + LEASE, now)).await? {
            return Ok(Claimed::TryAgain);
        }
        // If the commit fails, the item may or may not be claimed. If it is, it is released.
        let commit_error = tx.commit().await.err().map(Error::from);
        let claim = Claim { job_id: item.job_id, position: item.position, image_id };
        let _active = self.import_state.begin(&item.user_id);
        Ok(Claimed::Item(Box::new(ClaimedItem { item, claim, commit_error, _active })))
    }

    /// Works on an item until it is settled, its claim is lost, or the service stops. A file that has been fetched by then is
    /// stored.
    pub async fn import(self: &Arc<Self>, mut claimed: ClaimedItem, stop: &CancellationToken) -> WorkOutcome {
        let result = match claimed.commit_error.take() {
            Some(error) => Err(ImportFailure::Service(error)),
            None => tokio::select! {
                result = self.fetch_and_store(&claimed, stop) => result,
                () = self.keep_import_lease(claimed.claim) => {
                    let Claim { job_id, position, .. } = claimed.claim;
                    tracing::warn!(%job_id, position, "another worker has taken over an import");
                    return WorkOutcome::Settled;
                }
            },
        };
        let Err(failure) = result else {
            self.metrics.count_import_items("complete", 1);
            return WorkOutcome::Settled;
        };
        // Retries until the outcome is recorded, because an outage must not cost an attempt.
        while let Err(error) = self.settle(&claimed, &failure).await {
            let job_id = claimed.claim.job_id;
            tracing::warn!(%job_id, "failed to record the outcome of an import, retrying: {}", chain(&error));
            self.import_state.record_outage();
            if stop.is_cancelled() {
                // The lease expires, and the item is claimed again.
                return WorkOutcome::Unavailable;
            }
            tokio::time::sleep(SETTLE_RETRY_DELAY).await;
        }
        if matches!(failure, ImportFailure::Service(_)) { WorkOutcome::Unavailable } else { WorkOutcome::Settled }
    }

    /// Returns when the claim is lost.
    async fn keep_import_lease(&self, claim: Claim) {
        let renew = || async move {
            let mut tx = self.db.begin().await?;
            let holds = store::jobs::import_queue::renew(&mut tx, claim, self.clock.now() + LEASE).await?;
            tx.commit().await.map(|()| holds)
        };
        keep_lease(RENEWAL, renew, |error| {
            self.repeated_failures.warn(format!("failed to renew the lease of an import: {}", chain(error)));
            self.import_state.record_outage();
        })
        .await;
    }

    /// Completes the item, in the transaction that stores its image.
    pub(in crate::service) async fn complete_import(&self, tx: &mut Tx, claim: Claim) -> Result<(), Error> {
        if store::jobs::import_queue::complete(tx, claim, self.clock.now()).await? {
            return Ok(());
        }
        Err(Error::Conflict { message: "Another worker has taken over this import.".to_owned() })
    }

    async fn settle(&self, claimed: &ClaimedItem, failure: &ImportFailure) -> Result<(), Error> {
        let now = self.clock.now();
        let attempt = claimed.item.attempts + 1;
        let limits = &self.limits.imports;
        let mut tx = self.db.begin().await?;
        let cancelled = store::jobs::imports::lock_job(&mut tx, claimed.claim.job_id).await?;
        // If the claim is lost, another worker settles the item.
        let counted = match failure {
            ImportFailure::Url { retry_after: Some(asked), .. } if attempt < limits.attempts && !cancelled => {
                let delay = self.retry_delay_after(limits.retry_delay, attempt);
                // The maximum applies to `Retry-After` too.
                let due_at = after(now, delay.max(*asked).min(MAX_RETRY_DELAY));
                store::jobs::import_queue::retry_at(&mut tx, claimed.claim, due_at).await?.then_some("retried")
            }
            ImportFailure::Url { reason, retry_after } => {
                let reason = if retry_after.is_some() && attempt > 1 {
                    format!("{reason} (tried {attempt} times)")
                } else {
                    reason.clone()
                };
                if !store::jobs::import_queue::fail(&mut tx, claimed.claim, &reason, now).await? {
                    return Ok(());
                }
                Some("failed")
            }
            _ if cancelled => {
                if !store::jobs::import_queue::fail(&mut tx, claimed.claim, CANCELLED, now).await? {
                    return Ok(());
                }
                Some("cancelled")
            }
            ImportFailure::Stopping => {
                store::jobs::import_queue::release(&mut tx, claimed.claim, now).await?;
                None
            }
            ImportFailure::Service(_) | ImportFailure::NoMemory => {
                store::jobs::import_queue::release(&mut tx, claimed.claim, after(now, self.with_jitter(UNAVAILABLE_DELAY)))
                    .await?;
                None
            }
        };
        tx.commit().await?;
        match counted {
            Some("retried") => drop(self.metrics.import_retries.inc()),
            Some(result) => self.metrics.count_import_items(result, 1),
            None => {}
        }
        if let ImportFailure::Service(error) = failure {
            tracing::warn!(job_id = %claimed.claim.job_id, "the service failed to process an import: {}", chain(error));
        }
        Ok(())
    }
}

/// The state of the import queue in this process.
#[derive(Debug, Default)]
pub(in crate::service) struct ImportQueueState {
    /// Running items by user.
    users: Arc<Mutex<HashMap<UserId, usize>>>,
    /// When the database was last unavailable.
    outage: Mutex<Option<Instant>>,
}

/// A running item; finished when dropped.
#[derive(Debug)]
struct ActiveImport {
    users: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
}

impl ImportQueueState {
    fn begin(&self, user: &UserId) -> ActiveImport {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner).entry(user.clone()).or_default() += 1;
        ActiveImport { users: Arc::clone(&self.users), user: user.clone() }
    }

    /// Returns the users with at least `count` running items.
    fn users_with_at_least(&self, count: usize) -> Vec<UserId> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.iter().filter(|(_, running)| **running >= count).map(|(user, _)| user.clone()).collect()
    }

    fn record_outage(&self) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns whether leases may have expired although their workers live.
    fn had_outage(&self) -> bool {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < OUTAGE_GRACE)
    }
}

impl Drop for ActiveImport {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = users.get_mut(&self.user) {
            *running -= 1;
            if *running == 0 {
                users.remove(&self.user);
            }
        }
    }
}

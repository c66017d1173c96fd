//! Imports are worked off: an item is claimed, fetched, and handed to the same upload as everything else.
//!
//! A claim is counted before anything is fetched, and has a lease that is renewed while its holder lives. The image's own
//! transaction marks the item, under the claim that stored it; so an item is stored once, whoever dies when. What may pass
//! is tried again, later and later. What is this service's own fault (no memory, a dependency that is down) costs no
//! attempt, and the worker waits until it is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::import_fetch::Trouble;
use super::imports::CANCELLED;
use super::queue::{Ended, INTERRUPTED, LONGEST_DELAY, OWN_DELAY, SETTLE_AGAIN, keep_lease};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::service::Service;
use crate::service::error::{Error, chain};
use crate::service::maintenance::sweep::after;
use crate::store::jobs::import_queue::{Claim, QueuedItem};
use crate::store::{self, Tx};

/// What bounds imports.
#[derive(Debug, Clone)]
pub struct ImportLimits {
    /// Items of one user that are not finished.
    pub max_pending: u32,
    /// Claims of one item.
    pub attempts: u32,
    /// Items that this process works on at once.
    pub concurrency: usize,
    /// Items of one host, over all instances.
    pub per_host: u32,
    /// Before an item is tried a second time; four times as long before each further time.
    pub retry_delay: Duration,
    /// How long a host that has begun its answer is kept waiting for memory.
    pub patience: Duration,
    /// How long a finished job is kept; `None` is for ever.
    pub retention: Option<Duration>,
}

/// Of [`ImportLimits::max_pending`], unless the operator says otherwise.
pub const DEFAULT_MAX_PENDING: u32 = 1000;

impl ImportLimits {
    /// Items of one user that this process works on at once: some room is left for the next one.
    fn per_user(&self) -> usize {
        (self.concurrency - self.concurrency.div_ceil(4)).max(1)
    }
}

/// After this long without a renewal a holder is taken for dead.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const RENEWAL: Duration = Duration::from_secs(10);

/// After the database did not answer, leases that ended meanwhile are left alone for so long: their holders are told first.
const LEASES_FIRST: Duration = Duration::from_secs(15);

/// Items woken in one step.
const BATCH: u32 = 100;

/// An item that this process works on.
#[derive(Debug)]
pub struct ClaimedItem {
    pub(in crate::service) item: QueuedItem,
    pub(in crate::service) claim: Claim,
    /// Why it is not known whether the claim was committed.
    doubt: Option<Error>,
    _running: Running,
}

/// What there was to claim.
#[derive(Debug)]
pub enum Claimed {
    Item(Box<ClaimedItem>),
    /// Nothing yet, but there may be more to do at once.
    Look,
    Nothing,
}

impl Service {
    /// Takes the next item, if there is one that may be worked on now.
    ///
    /// # Errors
    /// The database is unavailable; nothing has happened.
    pub async fn claim_import(&self) -> Result<Claimed, Error> {
        let claimed = self.try_to_claim().await;
        if claimed.is_err() {
            self.importing.note_outage();
        }
        claimed
    }

    async fn try_to_claim(&self) -> Result<Claimed, Error> {
        let now = self.clock.now();
        // Nothing is locked or written while there is nothing to do.
        let due = store::jobs::import_queue::due_work(&self.db, now).await?;
        if due.waiting {
            // In a transaction of its own: it takes items before their jobs.
            let mut tx = self.db.begin().await?;
            store::jobs::import_queue::lock(&mut tx).await?;
            store::jobs::import_queue::wake_waiting(&mut tx, now, BATCH).await?;
            tx.commit().await?;
            return Ok(Claimed::Look);
        }
        let take_lapsed = due.expired && !self.importing.had_outage();
        if !due.pending && !take_lapsed {
            return Ok(Claimed::Nothing);
        }
        let mut tx = self.db.begin().await?;
        let served = store::jobs::import_queue::lock(&mut tx).await?;
        if take_lapsed {
            let (limits, long_ago) = (&self.limits.imports, now - LEASE);
            if let Some(item) = store::jobs::import_queue::find_expired(&mut tx, limits.attempts, long_ago, now).await? {
                return self.take_up(tx, item, served, now).await;
            }
        }
        let busy = self.importing.users_with(self.limits.imports.per_user());
        match store::jobs::import_queue::find_next(&mut tx, self.limits.imports.per_host, &busy).await? {
            Some(item) => self.claim_item(tx, item, served, now).await,
            // Lanes that were found empty are forgotten.
            None => tx.commit().await.map(|()| Claimed::Nothing).map_err(Error::from),
        }
    }

    /// An item whose holder died.
    async fn take_up(&self, mut tx: Tx, item: QueuedItem, served: i64, now: DateTime<Utc>) -> Result<Claimed, Error> {
        let (reason, counted) = match store::jobs::imports::lock_job(&mut tx, item.job_id).await? {
            true => (CANCELLED, "cancelled"),
            false if item.attempts >= self.limits.imports.attempts => (INTERRUPTED, "failed"),
            false => return self.claim_item(tx, item, served, now).await,
        };
        let failed = store::jobs::import_queue::fail_expired(&mut tx, &item, reason, now).await?;
        tx.commit().await?;
        self.metrics.count_import_items(counted, u64::from(failed));
        Ok(Claimed::Look)
    }

    async fn claim_item(&self, mut tx: Tx, item: QueuedItem, served: i64, now: DateTime<Utc>) -> Result<Claimed, Error> {
        let image_id = ImageId::new(&*self.clock);
        if !store::jobs::import_queue::claim(&mut tx, &item, served, image_id, (now + LEASE, now)).await? {
            return Ok(Claimed::Look);
        }
        // When this fails, the item may be claimed or not: it is given back, if it is.
        let doubt = tx.commit().await.err().map(Error::from);
        let claim = Claim { job_id: item.job_id, position: item.position, image_id };
        let _running = self.importing.begin(&item.user_id);
        Ok(Claimed::Item(Box::new(ClaimedItem { item, claim, doubt, _running })))
    }

    /// Works on an item until it is settled, its claim is lost, or the service stops. What has been fetched by then is
    /// stored.
    pub async fn import(self: &Arc<Self>, mut claimed: ClaimedItem, stop: &CancellationToken) -> Ended {
        let result = match claimed.doubt.take() {
            Some(error) => Err(Trouble::Ours(error)),
            None => tokio::select! {
                result = self.fetch_and_store(&claimed, stop) => result,
                () = self.keep_import_lease(claimed.claim) => {
                    let Claim { job_id, position, .. } = claimed.claim;
                    tracing::warn!(%job_id, position, "another has taken an import over");
                    return Ended::Settled;
                }
            },
        };
        let Err(trouble) = result else {
            self.metrics.count_import_items("complete", 1);
            return Ended::Settled;
        };
        // Until the database has taken it: an outage must not cost an attempt.
        while let Err(error) = self.settle(&claimed, &trouble).await {
            tracing::warn!(job_id = %claimed.claim.job_id, "an import could not be settled yet: {}", chain(&error));
            self.importing.note_outage();
            if stop.is_cancelled() {
                // Its lease ends, and it is taken up again.
                return Ended::Unable;
            }
            tokio::time::sleep(SETTLE_AGAIN).await;
        }
        if matches!(trouble, Trouble::Ours(_)) { Ended::Unable } else { Ended::Settled }
    }

    /// Returns when the claim no longer holds.
    async fn keep_import_lease(&self, claim: Claim) {
        let renew = || async move {
            let mut tx = self.db.begin().await?;
            let holds = store::jobs::import_queue::renew(&mut tx, claim, self.clock.now() + LEASE).await?;
            tx.commit().await.map(|()| holds)
        };
        keep_lease(RENEWAL, renew, |error| {
            self.repeated.warn(format!("an import's lease was not renewed: {}", chain(error)));
            self.importing.note_outage();
        })
        .await;
    }

    /// Marks the item, in the transaction that stores its image.
    pub(in crate::service) async fn complete_import(&self, tx: &mut Tx, claim: Claim) -> Result<(), Error> {
        if store::jobs::import_queue::complete(tx, claim, self.clock.now()).await? {
            return Ok(());
        }
        Err(Error::Conflict { message: "Another has taken this import over.".to_owned() })
    }

    async fn settle(&self, claimed: &ClaimedItem, trouble: &Trouble) -> Result<(), Error> {
        let now = self.clock.now();
        let attempt = claimed.item.attempts + 1;
        let limits = &self.limits.imports;
        let mut tx = self.db.begin().await?;
        let cancelled = store::jobs::imports::lock_job(&mut tx, claimed.claim.job_id).await?;
        // Where a claim no longer holds, it is another's to settle.
        let counted = match trouble {
            Trouble::Its { again: Some(asked), .. } if attempt < limits.attempts && !cancelled => {
                let delay = self.delay_after(limits.retry_delay, attempt);
                // Whatever its `Retry-After` says.
                let due_at = after(now, delay.max(*asked).min(LONGEST_DELAY));
                store::jobs::import_queue::retry_at(&mut tx, claimed.claim, due_at).await?.then_some("retried")
            }
            Trouble::Its { reason, again } => {
                let reason =
                    if again.is_some() && attempt > 1 { format!("{reason} (tried {attempt} times)") } else { reason.clone() };
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
            Trouble::Stopping => {
                store::jobs::import_queue::release(&mut tx, claimed.claim, now).await?;
                None
            }
            Trouble::Ours(_) | Trouble::NoRoom => {
                store::jobs::import_queue::release(&mut tx, claimed.claim, after(now, self.spread(OWN_DELAY))).await?;
                None
            }
        };
        tx.commit().await?;
        match counted {
            Some("retried") => drop(self.metrics.import_retries.inc()),
            Some(result) => self.metrics.count_import_items(result, 1),
            None => {}
        }
        if let Trouble::Ours(error) = trouble {
            tracing::warn!(job_id = %claimed.claim.job_id, "the service could not take an import: {}", chain(error));
        }
        Ok(())
    }
}

/// What this process knows of its own part in the queue.
#[derive(Debug, Default)]
pub(in crate::service) struct Importing {
    /// Whose items it works on, and how many.
    users: Arc<Mutex<HashMap<UserId, usize>>>,
    /// When the database last did not answer.
    outage: Mutex<Option<Instant>>,
}

/// One of the items; over when dropped.
#[derive(Debug)]
struct Running {
    users: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
}

impl Importing {
    fn begin(&self, user: &UserId) -> Running {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner).entry(user.clone()).or_default() += 1;
        Running { users: Arc::clone(&self.users), user: user.clone() }
    }

    /// Users who have so many, or more.
    fn users_with(&self, count: usize) -> Vec<UserId> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.iter().filter(|(_, running)| **running >= count).map(|(user, _)| user.clone()).collect()
    }

    fn note_outage(&self) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether leases may have ended although their holders live.
    fn had_outage(&self) -> bool {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < LEASES_FIRST)
    }
}

impl Drop for Running {
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

//! The steps of the sweeper: they remove only what can no longer be used.
//!
//! An original is deleted only if the database rules out its image (the intent is in state `removing`, which no upload survives),
//! or if its objects were copied to other keys before. Every step may run twice, concurrently on several instances, and may be
//! interrupted at any point.

use chrono::TimeDelta;
use futures::future::try_join_all;

use crate::model::id::ImageId;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::variants::TOUCH_INTERVAL;
use crate::service::maintenance::step::Outcome;
use crate::service::time::before;
use crate::store;
use crate::store::images::intents::Removal;

/// Rows handled per step.
const BATCH: u32 = 100;

/// Idempotency keys removed per step. Removing a whole day's keys could exceed the statement timeout.
const KEY_BATCH: u32 = 1000;

/// For this time an expired link is reported as expired; after that it does not exist.
const EXPIRED_LINK_RETENTION: TimeDelta = TimeDelta::days(7);

impl Service {
    /// Abandons one upload whose intent is older than any upload can take.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn abandon_next_upload(&self) -> Result<Outcome, Error> {
        let mut tx = self.db.begin().await?;
        let abandoned =
            store::images::intents::abandon_oldest(&mut tx, before(self.clock.now(), self.limits.intent_grace)).await?;
        tx.commit().await?;
        Ok(if abandoned { Outcome::Done } else { Outcome::NothingToDo })
    }

    /// Deletes the objects of announced removals. Removals that fail go to the end of the queue, so that they do not delay the
    /// others.
    ///
    /// # Errors
    /// The first failure, after all removals were tried.
    pub async fn remove_objects(&self) -> Result<Outcome, Error> {
        let removals = store::images::intents::removals(&self.db, BATCH).await?;
        if removals.is_empty() {
            return Ok(Outcome::NothingToDo);
        }
        let mut failed = Vec::new();
        let mut first_error = None;
        for removal in removals {
            if let Err(error) = self.remove_image_objects(&removal).await {
                failed.push(removal.image_id);
                first_error.get_or_insert(error);
            }
        }
        let Some(first_error) = first_error else { return Ok(Outcome::Done) };
        self.postpone(&failed).await?;
        Err(first_error)
    }

    async fn postpone(&self, removals: &[ImageId]) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for id in removals {
            store::images::intents::postpone_removal(&mut tx, *id, self.clock.now()).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(in crate::service) async fn remove_image_objects(&self, removal: &Removal) -> Result<(), Error> {
        let keys: Vec<String> = removal.objects.iter().map(|name| layout::key(removal.image_id, name)).collect();
        try_join_all(keys.iter().map(|key| self.objects.delete(key))).await?;
        let mut tx = self.db.begin().await?;
        store::images::intents::finish_removal(&mut tx, removal.image_id).await?;
        Ok(tx.commit().await?)
    }

    /// Removes unused variants, and those whose renderers died. Each has its own transaction, because quota evictions lock
    /// several of the same rows.
    ///
    /// # Errors
    /// The database is unavailable; variants before the failure are removed.
    pub async fn expire_variants(&self) -> Result<Outcome, Error> {
        let now = self.clock.now();
        let stale = store::images::variants::stale(&self.db, before(now, self.limits.intent_grace), BATCH).await?;
        for (id, object) in &stale {
            let mut tx = self.db.begin().await?;
            store::images::variants::remove_stale(&mut tx, *id, object, now).await?;
            tx.commit().await?;
        }
        let Some(retention) = self.limits.variant_retention else { return Ok(Outcome::of(!stale.is_empty())) };
        // Use is recorded only once per interval.
        let cutoff = before(now, retention + TOUCH_INTERVAL.to_std().unwrap_or_default());
        let unused = store::images::variants::unused(&self.db, cutoff, BATCH).await?;
        for (id, object) in &unused {
            let mut tx = self.db.begin().await?;
            store::images::variants::remove_unused(&mut tx, *id, object, cutoff, now).await?;
            tx.commit().await?;
        }
        Ok(Outcome::of(!stale.is_empty() || !unused.is_empty()))
    }

    /// Charges the owners for variants of older versions, which did not record sizes.
    ///
    /// # Errors
    /// The first failure, after all variants were tried.
    pub async fn measure_variants(&self) -> Result<Outcome, Error> {
        let unmeasured = store::images::variants::unmeasured(&self.db, BATCH).await?;
        let mut first_error = None;
        for (id, object) in &unmeasured {
            if let Err(error) = self.measure_variant(*id, object).await {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(Outcome::of(!unmeasured.is_empty())), Err)
    }

    async fn measure_variant(&self, id: ImageId, object: &str) -> Result<(), Error> {
        let bytes = match self.objects.size(&layout::key(id, object)).await {
            Ok(bytes) => Some(bytes.max(1)),
            Err(objects::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let mut tx = self.db.begin().await?;
        match bytes {
            Some(bytes) => store::images::variants::measure(&mut tx, id, object, bytes).await?,
            None => store::images::variants::remove(&mut tx, id, object, self.clock.now()).await?,
        }
        Ok(tx.commit().await?)
    }

    /// Deletes the objects of removed variants. Those that fail go to the end of the queue.
    ///
    /// # Errors
    /// The first failure, after all objects were tried.
    pub async fn remove_variant_objects(&self) -> Result<Outcome, Error> {
        let removals = store::images::variants::removals(&self.db, self.clock.now(), BATCH).await?;
        if removals.is_empty() {
            return Ok(Outcome::NothingToDo);
        }
        let mut failed = Vec::new();
        let mut first_error = None;
        for (id, object) in removals {
            if let Err(error) = self.remove_variant_object(id, &object).await {
                failed.push((id, object));
                first_error.get_or_insert(error);
            }
        }
        let Some(first_error) = first_error else { return Ok(Outcome::Done) };
        let mut tx = self.db.begin().await?;
        for (id, object) in failed {
            store::images::variants::postpone_removal(&mut tx, id, &object, self.clock.now()).await?;
        }
        tx.commit().await?;
        Err(first_error)
    }

    pub(in crate::service) async fn remove_variant_object(&self, id: ImageId, object: &str) -> Result<(), Error> {
        self.objects.delete(&layout::key(id, object)).await?;
        let mut tx = self.db.begin().await?;
        store::images::variants::finish_removal(&mut tx, id, object).await?;
        Ok(tx.commit().await?)
    }

    /// Removes some of the jobs that finished before the retention. Their images and links stay.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn expire_imports(&self) -> Result<Outcome, Error> {
        let Some(retention) = self.limits.imports.retention else { return Ok(Outcome::NothingToDo) };
        let mut tx = self.db.begin().await?;
        let expired = store::jobs::imports::delete_finished(&mut tx, before(self.clock.now(), retention), BATCH).await?;
        tx.commit().await?;
        Ok(if expired > 0 { Outcome::Done } else { Outcome::NothingToDo })
    }

    /// Removes some of the expired sessions, and of the links and shares that expired long ago.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn expire_access(&self) -> Result<Outcome, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let sessions = store::identity::sessions::delete_expired(&mut tx, now, BATCH).await?;
        let links = store::sharing::expiring_links::delete_expired(&mut tx, now - EXPIRED_LINK_RETENTION, BATCH).await?;
        let shares = store::sharing::shares::delete_expired(&mut tx, now - EXPIRED_LINK_RETENTION, BATCH).await?;
        tx.commit().await?;
        Ok(if sessions + links + shares > 0 { Outcome::Done } else { Outcome::NothingToDo })
    }

    /// Removes some of the idempotency keys that are older than 24 hours.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn expire_keys(&self) -> Result<Outcome, Error> {
        let mut tx = self.db.begin().await?;
        let expired =
            store::images::idempotency::delete_expired(&mut tx, self.clock.now() - TimeDelta::hours(24), KEY_BATCH).await?;
        tx.commit().await?;
        Ok(if expired > 0 { Outcome::Done } else { Outcome::NothingToDo })
    }
}

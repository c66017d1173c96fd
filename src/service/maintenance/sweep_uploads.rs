//! The sweeper's step for uploads in several requests.
//!
//! An upload that expires releases its quota and loses its objects. A request that was signed or started before can still write them,
//! so they are deleted once more when that has become impossible, and only then are the rows deleted.

use chrono::{DateTime, Utc};

use crate::model::draft::UploadId;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::maintenance::step::Outcome;
use crate::service::time::after;
use crate::store;
use crate::store::images::uploads::DueUpload;

/// Uploads handled per step.
const BATCH: u32 = 100;

/// How long an upload waits whose objects could not be deleted, so that it does not delay the others.
const RETRY_DELAY: std::time::Duration = std::time::Duration::from_secs(60);

impl Service {
    /// Ends uploads that have expired, and deletes the objects and rows of uploads that have ended.
    ///
    /// # Errors
    /// The first failure, after all uploads were tried.
    pub async fn expire_uploads(&self) -> Result<Outcome, Error> {
        let due = store::images::uploads::due(&self.db, self.clock.now(), BATCH).await?;
        let mut first_error = None;
        for upload in &due {
            if let Err(error) = self.expire_upload(upload).await {
                self.postpone_upload(upload.id, after(self.clock.now(), RETRY_DELAY)).await?;
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(Outcome::of(!due.is_empty())), Err)
    }

    async fn expire_upload(&self, upload: &DueUpload) -> Result<(), Error> {
        let now = self.clock.now();
        if upload.is_open && upload.expires_at > now {
            // It was extended, because it is being completed.
            return self.postpone_upload(upload.id, upload.expires_at).await;
        }
        // Before the objects are deleted: an upload that is completed at this moment either is complete, or cannot be any more.
        let mut tx = self.db.begin().await?;
        store::images::uploads::expire(&mut tx, upload.id, now).await?;
        tx.commit().await?;
        self.remove_draft_objects(upload.id).await?;
        let writable_until = after(upload.expires_at, self.limits.intent_grace);
        if now < writable_until {
            return self.postpone_upload(upload.id, writable_until).await;
        }
        let mut tx = self.db.begin().await?;
        store::images::uploads::delete(&mut tx, upload.id).await?;
        Ok(tx.commit().await?)
    }

    async fn postpone_upload(&self, id: UploadId, due_at: DateTime<Utc>) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        store::images::uploads::postpone(&mut tx, id, due_at).await?;
        Ok(tx.commit().await?)
    }
}

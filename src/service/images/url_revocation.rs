//! Revocation of URLs. A presigned URL cannot be revoked, but its object can be moved. When an image is deleted, the objects of
//! its upload are copied to keys that were never signed, and the old ones are removed. A restored image stays at the new keys.
//! Files that the service itself serves (thumbnails, resized images, public links) need no revocation.
//!
//! The move is announced in the transaction that deletes the image, and done immediately. If the storage fails, the sweeper
//! continues. An image that is restored or purged in the meantime keeps its keys, and the copies are removed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;

use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::error::{Error, chain};
use crate::service::maintenance::step::Outcome;
use crate::service::time::after;
use crate::store::{self, Tx};

/// For this time a move belongs to the request that announced it. After that the sweeper retries at the same interval.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// The response to a deletion waits at most this long for the move.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Service {
    /// Announces that an image's objects move. The caller must then call [`Service::revoke_urls`].
    pub(in crate::service) async fn announce_move(&self, tx: &mut Tx, id: ImageId) -> Result<(), store::Error> {
        let to_prefix = hex::encode(self.clock.random());
        store::images::object_moves::announce(tx, id, &to_prefix, self.clock.now() + LEASE).await
    }

    /// Moves the objects of an image that was just deleted. If this fails the image stays deleted.
    pub(in crate::service) async fn revoke_urls(self: &Arc<Self>, id: ImageId) {
        let service = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            if let Err(error) = service.move_objects(id).await {
                tracing::warn!(image_id = %id, "failed to revoke the URLs of a deleted image, retrying later: {}", chain(&error));
            }
        });
        match tokio::time::timeout(RESPONSE_TIMEOUT, task).await {
            Ok(Ok(())) => {}
            Ok(Err(panicked)) => {
                tracing::error!(image_id = %id, "failed to revoke the URLs of a deleted image, retrying later: {panicked}")
            }
            Err(_) => tracing::debug!(image_id = %id, "a deletion was acknowledged before its URLs were revoked"),
        }
    }

    /// Moves the objects of the image whose move has been due for longest.
    ///
    /// # Errors
    /// The database or the storage is unavailable; the move is retried later.
    pub async fn move_next_objects(&self) -> Result<Outcome, Error> {
        let now = self.clock.now();
        let Some(id) = store::images::object_moves::find_due(&self.db, now).await? else { return Ok(Outcome::NothingToDo) };
        let mut tx = self.db.begin().await?;
        let claimed = store::images::object_moves::claim(&mut tx, id, now, now + LEASE).await?;
        tx.commit().await?;
        if claimed {
            self.move_objects(id).await?;
        }
        Ok(Outcome::Done)
    }

    async fn move_objects(&self, id: ImageId) -> Result<(), Error> {
        let Some(to_prefix) = store::images::object_moves::find(&self.db, id).await? else { return Ok(()) };
        let image = store::images::find(&self.db, id).await?;
        let image_names = image.as_ref().map(layout::names_at_upload).unwrap_or_default();
        if let Some(image) = &image {
            try_join_all(image_names.iter().map(|name| self.copy(image, name, &to_prefix))).await?;
        }
        let mut tx = self.db.begin().await?;
        let now = store::images::lock(&mut tx, id).await?;
        let finished = store::images::object_moves::finish(&mut tx, id, &to_prefix).await?;
        let Some(image) = image.filter(|_| finished) else {
            tx.commit().await?;
            // Unless another process finished the move, the image was restored or purged, and the copies are unused. Their
            // removal is announced for a later time only, because another process may still be copying. Removing them now frees
            // the space sooner.
            if now.is_none_or(|now| now.object_prefix != to_prefix) {
                let copies = image_names.iter().map(|name| layout::key(id, &layout::prefixed(&to_prefix, name)));
                try_join_all(copies.map(|key| async move { self.objects.delete(&key).await })).await?;
            }
            return Ok(());
        };
        store::images::set_object_prefix(&mut tx, id, &to_prefix).await?;
        let old = layout::stored_names(&image);
        self.announce_removals(&mut tx, id, &old, self.clock.now()).await?;
        tx.commit().await?;
        try_join_all(old.iter().map(|name| self.remove_variant_object(id, name))).await.map(drop)
    }

    /// Copies an object. A missing one was lost before, or was just moved by another process.
    async fn copy(&self, image: &Image, name: &str, to_prefix: &str) -> Result<(), Error> {
        let (from, to) = (layout::stored_key(image, name), layout::key(image.id, &layout::prefixed(to_prefix, name)));
        match self.objects.copy(&from, &to, image.file_size).await {
            Ok(()) | Err(objects::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels the move of a locked image, whose objects stay where they are. Copies, including those still in progress, are
    /// removed.
    pub(in crate::service) async fn cancel_move(
        &self,
        tx: &mut Tx,
        id: ImageId,
        names: &[impl AsRef<str>],
    ) -> Result<(), store::Error> {
        let Some(to_prefix) = store::images::object_moves::find(&mut *tx, id).await? else { return Ok(()) };
        store::images::object_moves::finish(tx, id, &to_prefix).await?;
        let copies: Vec<String> = names.iter().map(|name| layout::prefixed(&to_prefix, name.as_ref())).collect();
        self.announce_removals(tx, id, &copies, after(self.clock.now(), self.limits.intent_grace)).await
    }

    /// Uses the removal queue of variants.
    async fn announce_removals(
        &self,
        tx: &mut Tx,
        id: ImageId,
        names: &[String],
        due_at: DateTime<Utc>,
    ) -> Result<(), store::Error> {
        for name in names {
            store::images::variants::announce_removal(tx, id, name, due_at).await?;
        }
        Ok(())
    }
}

//! Revoking URLs: a presigned URL cannot be taken back, but what it leads to can be moved. When an image is deleted, the objects
//! that its upload made are copied to keys that were never signed, and removed where they were. Restored, it stays at the new
//! keys. What is shown by the service itself (thumbnails, other sizes, public links) needs none of it.
//!
//! The move is announced in the transaction that deletes the image, and done at once; where the storage fails, the sweeper goes on
//! with it. An image that is restored or purged meanwhile keeps its keys, and the copies go.

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

/// For so long a move is its announcer's, and then the sweeper's, which tries as often.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// A deletion is answered after so long, whether the storage was done by then or not.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Service {
    /// Announces that an image's objects move; [`Service::revoke_urls`] is to follow.
    pub(in crate::service) async fn announce_move(&self, tx: &mut Tx, id: ImageId) -> Result<(), store::Error> {
        let to_prefix = hex::encode(self.clock.random());
        store::images::object_moves::announce(tx, id, &to_prefix, self.clock.now() + LEASE).await
    }

    /// Moves the objects of an image that was just deleted. The deletion stands, whether this succeeds or not.
    pub(in crate::service) async fn revoke_urls(self: &Arc<Self>, id: ImageId) {
        let service = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            if let Err(error) = service.move_objects(id).await {
                tracing::warn!(image_id = %id, "URLs of a deleted image are revoked later: {}", chain(&error));
            }
        });
        match tokio::time::timeout(RESPONSE_TIMEOUT, task).await {
            Ok(Ok(())) => {}
            Ok(Err(panicked)) => tracing::error!(image_id = %id, "URLs of a deleted image are revoked later: {panicked}"),
            Err(_) => tracing::debug!(image_id = %id, "a deletion is answered before its URLs are revoked"),
        }
    }

    /// Moves the objects of the image whose move is due longest.
    ///
    /// # Errors
    /// The database or the storage is unavailable; it is tried again later.
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
            // Unless it was done elsewhere, the image has been restored or purged, and the copies are for nobody. That they go is announced,
            // but for later, as others may still be copying; until then they would take room.
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

    /// Copies an object; one that is not there was lost before, or moved by another process just now.
    async fn copy(&self, image: &Image, name: &str, to_prefix: &str) -> Result<(), Error> {
        let (from, to) = (layout::stored_key(image, name), layout::key(image.id, &layout::prefixed(to_prefix, name)));
        match self.objects.copy(&from, &to, image.file_size).await {
            Ok(()) | Err(objects::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves the objects of a locked image, as its upload named them, where they are. Copies that were made, or still are, go.
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

    /// The queue of removals is the same as that of variants.
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

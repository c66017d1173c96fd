//! The trash: deleted images until they are purged, by age, by their owner, or because the owner's trash is full.
//!
//! A plan's quota applies to the trash separately: it holds as many images and bytes as the live images may have. When it is full
//! the oldest images are purged first. Images below a minimum age in the trash are exempt, so that an attacker cannot use uploads
//! and deletions to push out an image that was deleted by mistake. Until images reach that age, further uploads are refused.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::live::{count_live, is_live};
use crate::model::caller::{Caller, UserId};
use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::page::TrashToken;
use crate::model::plan::{Features, Usage};
use crate::objects::layout;
use crate::service::Service;
use crate::service::error::{Error, Fields, chain};
use crate::service::identity::permissions;
use crate::service::maintenance::step::Outcome;
use crate::service::paging::{Page, list_fingerprint, parse_trash_token};
use crate::service::sharing::collection_items;
use crate::service::time::{self, after, before};
use crate::store::database::db::Run;
use crate::store::images::Expired;
use crate::store::images::intents::Removal;
use crate::store::{self, Tx};

/// The most images that one upload purges. Only a smaller plan makes more necessary.
const MAX_PURGES_PER_UPLOAD: usize = 20;

/// A deleted image that its owner can restore.
#[derive(Debug, Clone)]
pub struct TrashedImage {
    pub image: Arc<Image>,
    pub deleted_at: DateTime<Utc>,
    /// When the retention ends.
    pub purged_after: DateTime<Utc>,
}

impl Service {
    /// Lists a page of the images that the caller has deleted, the most recently deleted first, and counts all of them.
    ///
    /// # Errors
    /// The caller is not authenticated or may not read, or the page token is not of this list.
    pub async fn list_trash(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<(Page<TrashedImage>, u64), Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let list = list_fingerprint("trash", user.as_str());
        let after = parse_trash_token(token, &list)?.map(|token| (token.deleted_at, ImageId::from(token.last)));
        let mut reader = self.db.reader().await?;
        let images = store::images::trash::page(&mut reader, user, after, limit + 1).await?;
        let total = trash_usage(&mut reader, user).await?.images;
        let trashed = images.into_iter().filter_map(|image| {
            let deleted_at = image.deleted_at?;
            Some(TrashedImage {
                image: Arc::new(image),
                deleted_at,
                purged_after: time::after(deleted_at, self.limits.retention),
            })
        });
        let token = |last: &TrashedImage| TrashToken { deleted_at: last.deleted_at, last: last.image.id.uuid() }.encode(&list);
        Ok((Page::new(trashed.collect(), limit, token), total))
    }

    /// Lists up to `limit` images of the caller that administrators have taken down, the most recently deleted first. Their owner
    /// cannot restore them.
    ///
    /// # Errors
    /// The caller is not authenticated or may not read.
    pub async fn list_taken_down(&self, caller: &Caller, limit: u32) -> Result<Vec<Image>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        Ok(store::images::trash::taken_down(&mut self.db.reader().await?, user, limit).await?)
    }

    /// Finds an image that its owner has deleted.
    pub(super) async fn find_trashed(&self, id: ImageId) -> Result<Arc<Image>, Error> {
        let image = store::images::find(&self.db, id).await?;
        let is_trashed = |image: &Image| image.deleted_at.is_some() && image.taken_down.is_none();
        image.filter(is_trashed).map(Arc::new).ok_or_else(Error::no_such_image)
    }

    /// Purges one image that has been deleted for longer than the retention: removes its row and announces the removal of its
    /// objects.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn purge_next(&self) -> Result<Outcome, Error> {
        let cutoff = before(self.clock.now(), self.limits.retention);
        let Some(id) = store::images::find_expired(&self.db, cutoff).await? else { return Ok(Outcome::NothingToDo) };
        self.purge_expired(id, cutoff, |_| true).await?;
        Ok(Outcome::Done)
    }

    /// Purges an image that was deleted at `cutoff` or before, if it still `is_due`.
    async fn purge_expired(&self, id: ImageId, cutoff: DateTime<Utc>, is_due: fn(&Expired) -> bool) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        // Locks the image first, as restoring does. Otherwise a restored image could lose rows that were removed before the lock.
        if let Some(image) = store::images::lock_expired(&mut tx, id, cutoff).await?.filter(is_due) {
            self.purge(&mut tx, id, &image).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Removes the row of a locked deleted image, and announces the removal of its objects.
    async fn purge(&self, tx: &mut Tx, id: ImageId, image: &Expired) -> Result<Removal, Error> {
        // A user id that this version cannot parse has no account.
        if let Ok(user) = UserId::parse(&image.user_id) {
            store::identity::accounts::lock_by_user(tx, &user).await?;
        }
        let now = self.clock.now();
        store::images::variants::remove_all(tx, id, now, after(now, self.limits.intent_grace)).await?;
        store::sharing::expiring_links::delete_all(tx, id).await?;
        collection_items::remove_image(tx, id).await?;
        store::images::purge(tx, id).await?;
        if image.taken_down.is_none() {
            let counter = |kind| Counter { kind, key: image.user_id.clone() };
            let changes = vec![(counter(CounterKind::UserTrash), -1), (counter(CounterKind::UserTrashBytes), -image.file_size)];
            store::images::counters::add(tx, id, changes);
        }
        let names: Vec<&str> = std::iter::once(layout::ORIGINAL).chain(image.thumbnails()).collect();
        self.cancel_move(tx, id, &names).await?;
        let objects: Vec<String> = names.iter().map(|name| layout::prefixed(&image.object_prefix, name)).collect();
        store::images::intents::announce_removal(tx, id, &objects, self.clock.now()).await?;
        Ok(Removal { image_id: id, objects })
    }

    /// Purges an image immediately, live or deleted. It cannot be restored.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, the caller is not its owner, or an administrator has taken it
    /// down.
    pub async fn purge_image(&self, caller: &Caller, id: ImageId) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        if image.taken_down.is_some() {
            return Err(Error::forbidden("An administrator has deleted this image."));
        }
        let now = self.clock.now();
        if is_live(&image) {
            put_in_trash(&mut tx, &image, now).await?;
        }
        let expired = store::images::lock_expired(&mut tx, id, image.deleted_at.unwrap_or(now)).await?;
        let expired = expired.ok_or_else(|| Error::internal("a locked image is not deleted"))?;
        let removal = self.purge(&mut tx, id, &expired).await?;
        tx.commit().await?;
        // The sweeper would do this later, but a client that purges an image expects immediate removal.
        if let Err(error) = self.remove_image_objects(&removal).await {
            tracing::warn!(image_id = %id, "failed to remove the objects of a purged image, retrying later: {}", chain(&error));
        }
        Ok(())
    }

    /// Purges the oldest images in a user's trash until it is within the plan's quota.
    ///
    /// # Errors
    /// The trash is full and no image in it is old enough, or there is so much to purge that the next upload must continue.
    pub(in crate::service) async fn shrink_trash(&self, user: &UserId, features: &Features) -> Result<(), Error> {
        let cutoff = before(self.clock.now(), self.limits.trash_min_age);
        for _ in 0..MAX_PURGES_PER_UPLOAD {
            let full = require_trash_quota(features, trash_usage(&mut self.db.reader().await?, user).await?);
            let Err(full) = full else { return Ok(()) };
            let Some(id) = store::images::find_oldest_in_trash(&self.db, user, cutoff).await? else { return Err(full) };
            // An administrator may have taken the image down in the meantime, and may restore it.
            self.purge_expired(id, cutoff, |image| image.taken_down.is_none()).await?;
        }
        Err(Error::Overloaded { retry_after: Duration::from_secs(1) })
    }
}

/// Moves a locked live image from all lists and counters to the trash.
pub(in crate::service) async fn put_in_trash(tx: &mut Tx, image: &Image, now: DateTime<Utc>) -> Result<(), Error> {
    store::images::set_deleted_at(tx, image.id, Some(now), None).await?;
    leave_lists(tx, image, now).await?;
    count_trash(tx, image, 1);
    Ok(())
}

/// Updates lists and counters for the deletion of a live image, except the counters of the trash.
pub(in crate::service) async fn leave_lists(tx: &mut Tx, image: &Image, now: DateTime<Utc>) -> Result<(), Error> {
    store::images::tags::delete_all(tx, image.id).await?;
    count_live(tx, image, -1);
    collection_items::sync_image(tx, &Image { deleted_at: Some(now), ..image.clone() }).await
}

pub(in crate::service) fn count_trash(tx: &mut Tx, image: &Image, difference: i64) {
    let changes = Counter::of_trash(image).map(|(counter, number)| (counter, number * difference));
    store::images::counters::add(tx, image.id, changes);
}

/// Returns what a user has in the trash.
pub(in crate::service) async fn trash_usage<R>(run: &mut R, user: &UserId) -> Result<Usage, store::Error>
where
    for<'a> &'a mut R: Run,
{
    let images = store::images::counters::read(&mut *run, &Counter::user_trash(user)).await?;
    let bytes = store::images::counters::read(&mut *run, &Counter::user_trash_bytes(user)).await?;
    Ok(Usage { images, bytes, ..Usage::default() })
}

/// Checks that the trash is within the plan's quota.
pub(in crate::service) fn require_trash_quota(features: &Features, trash: Usage) -> Result<(), Error> {
    let mut details = Fields::new();
    let mut check = |name: &str, used: u64, max: Option<u64>| {
        if let Some(max) = max.filter(|max| used > *max) {
            let rule =
                format!("the trash has {used}, and the limit is {max}; purge images with DELETE /images/{{image_id}}?purge=true");
            details.insert(name.to_owned(), rule);
        }
    };
    check("trash_images", trash.images, features.max_images);
    check("trash_bytes", trash.bytes, features.max_bytes);
    if details.is_empty() { Ok(()) } else { Err(Error::QuotaExceeded(details)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trash_has_the_same_limits_as_the_quota() {
        let features = Features { max_images: Some(2), max_bytes: Some(100), ..Features::default() };
        let full = |images, bytes| match require_trash_quota(&features, Usage { images, bytes, ..Usage::default() }) {
            Ok(()) => Vec::new(),
            Err(Error::QuotaExceeded(details)) => details.into_keys().collect(),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(full(0, 0), [""; 0]);
        assert_eq!(full(2, 100), [""; 0]);
        assert_eq!(full(3, 100), ["trash_images"]);
        assert_eq!(full(1, 101), ["trash_bytes"]);
        assert_eq!(full(3, 101), ["trash_bytes", "trash_images"]);
        assert!(
            require_trash_quota(&Features::default(), Usage { images: u64::MAX, bytes: u64::MAX, ..Usage::default() }).is_ok()
        );
    }
}

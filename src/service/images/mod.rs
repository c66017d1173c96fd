//! Stored images: find, list, change, delete, restore.

pub mod active_pieces;
pub mod adoption;
pub mod adoption_sources;
pub mod bulk_adoption;
pub mod direct_uploads;
pub mod drafts;
pub mod idempotency;
pub mod idempotency_key;
pub mod listing;
pub(super) mod live;
pub(super) mod lost_objects;
pub(super) mod oversize;
pub mod presigned_urls;
pub mod resize_urls;
pub mod resumable_uploads;
pub mod thumbnails;
pub mod tiles;
pub mod total_count;
pub mod trash;
pub mod upload;
pub mod upload_request;
pub(super) mod url_revocation;
pub mod variant_request;
pub mod variants;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::live::{count_live, is_live};
use self::presigned_urls::{Disposition, Links};
use self::trash::{count_trash, leave_lists, put_in_trash};
use super::Service;
use super::error::Error;
use super::identity::permissions;
use super::identity::quota::reserve_quota;
use super::sharing::collection_items;
use super::time::truncate_to_micros;
use crate::model::caller::Caller;
use crate::model::counter::Counter;
use crate::model::id::ImageId;
use crate::model::image::{Image, TakenDown, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::objects::layout;
use crate::store::{self, Tx};

/// Changes to an image; a field that is `None` stays unchanged.
#[derive(Debug, Clone, Default)]
pub struct ImageChange {
    pub title: Option<Option<Title>>,
    pub description: Option<Option<Description>>,
    pub tags: Option<Vec<Tag>>,
    pub visibility: Option<Visibility>,
}

/// A presigned URL of an original.
#[derive(Debug, Clone)]
pub struct Download {
    pub image: Image,
    pub url: String,
}

impl Service {
    /// Finds a live image that the caller may see.
    ///
    /// # Errors
    /// There is no such image, or it is deleted.
    pub async fn find_image(&self, caller: &Caller, id: ImageId) -> Result<Arc<Image>, Error> {
        self.find_visible(caller, id).await
    }

    /// Creates a link to the original, valid for `expires_in_seconds`.
    ///
    /// # Errors
    /// There is no such image, it is deleted, or its owner's plan excludes originals.
    pub async fn download(
        &self,
        caller: &Caller,
        id: ImageId,
        expires_in_seconds: u32,
        how: Disposition,
    ) -> Result<Download, Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_original(&image)?;
        let url = self.download_link(&image, expires_in_seconds, how).await?;
        Ok(Download { image: Arc::unwrap_or_clone(image), url })
    }

    /// Changes an image's texts, tags or visibility.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, or the caller is not its owner.
    pub async fn update_image(&self, caller: &Caller, id: ImageId, change: ImageChange) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        let before = image.clone();
        image.tags = change.tags.unwrap_or(image.tags);
        image.visibility = change.visibility.unwrap_or(image.visibility);
        update_lists(&mut tx, &before, &image).await?;
        image.title = change.title.unwrap_or(image.title);
        image.description = change.description.unwrap_or(image.description);
        image.updated_at = truncate_to_micros(self.clock.now());
        store::images::update(&mut tx, &image).await?;
        if image.visibility != before.visibility {
            collection_items::sync_image(&mut tx, &image).await?;
        }
        tx.commit().await?;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Deletes an image. It can be restored until it is purged.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, the caller is neither its owner nor an administrator, or it is
    /// already deleted.
    pub async fn delete_image(self: &Arc<Self>, caller: &Caller, id: ImageId) -> Result<(), Error> {
        let user = permissions::deleter(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        let admin = permissions::as_admin(caller).filter(|_| user.id != image.user_id);
        if admin.is_none() {
            permissions::require_owner(&user.id, &image)?;
            permissions::writer(caller)?;
        }
        // An administrator can still take down an image that its owner has deleted, which prevents restoring it.
        let was_live = is_live(&image);
        if !was_live && (admin.is_none() || image.taken_down.is_some()) {
            return Err(Error::Gone { id });
        }
        if let Some(admin) = admin {
            self.audit(&mut tx, admin, "image.deleted", id, owner_of(&image)).await?;
        }
        let now = self.clock.now();
        match (was_live, admin) {
            (true, None) => put_in_trash(&mut tx, &image, now).await?,
            (true, Some(_)) => {
                store::images::set_deleted_at(&mut tx, id, Some(now), Some(TakenDown::Live)).await?;
                leave_lists(&mut tx, &image, now).await?;
            }
            (false, _) => {
                store::images::set_deleted_at(&mut tx, id, image.deleted_at, Some(TakenDown::Deleted)).await?;
                count_trash(&mut tx, &image, -1);
            }
        }
        let revokes_urls = admin.is_some() || self.limits.delete_revokes_urls;
        if revokes_urls {
            self.announce_move(&mut tx, id).await?;
        }
        tx.commit().await?;
        if revokes_urls {
            self.revoke_urls(id).await;
        }
        Ok(())
    }

    /// Restores a deleted image, and returns it if the caller may see it. If an administrator took down an image that its owner
    /// had deleted, it returns to the owner's trash.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, the caller is not its owner, it is not deleted, its owner's quota
    /// is exhausted, or an administrator took it down and the caller is not an administrator.
    pub async fn restore_image(&self, caller: &Caller, id: ImageId) -> Result<Option<(Image, Links)>, Error> {
        let user = permissions::deleter(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        let admin = permissions::as_admin(caller).filter(|_| image.taken_down.is_some());
        if admin.is_none() {
            permissions::require_owner(&user.id, &image)?;
            permissions::writer(caller)?;
        }
        if is_live(&image) {
            return Err(Error::Conflict { message: format!("Image {id} is not deleted.") });
        }
        match admin {
            Some(admin) => self.audit(&mut tx, admin, "image.restored", id, owner_of(&image)).await?,
            None if image.taken_down.is_some() => {
                return Err(Error::forbidden("An administrator has deleted this image. Only administrators can restore it."));
            }
            None => {}
        }
        if image.taken_down == Some(TakenDown::Deleted) {
            // Back to the state in which the owner left it; the owner can restore it now.
            store::images::set_deleted_at(&mut tx, id, image.deleted_at, None).await?;
            count_trash(&mut tx, &image, 1);
            tx.commit().await?;
            return Ok(None);
        }
        reserve_quota(&mut tx, &image.user_id, image.file_size).await?;
        self.cancel_move(&mut tx, id, &layout::names_at_upload(&image)).await?;
        store::images::set_deleted_at(&mut tx, id, None, None).await?;
        if image.taken_down.is_none() {
            count_trash(&mut tx, &image, -1);
        }
        store::images::tags::insert(&mut tx, &image).await?;
        store::jobs::caption_jobs::resume(&mut tx, id, self.clock.now()).await?;
        count_live(&mut tx, &image, 1);
        (image.deleted_at, image.taken_down) = (None, None);
        collection_items::sync_image(&mut tx, &image).await?;
        tx.commit().await?;
        if !image.is_visible_to(Some(&user.id)) {
            return Ok(None);
        }
        let links = self.links(&mut signer, &image);
        Ok(Some((image, links)))
    }

    /// Finds a live image that the caller may see.
    pub(super) async fn find_visible(&self, caller: &Caller, id: ImageId) -> Result<Arc<Image>, Error> {
        let viewer = permissions::viewer(caller)?;
        let image = self.find_live(id).await?;
        if image.is_visible_to(viewer) { Ok(image) } else { Err(Error::no_such_image()) }
    }

    pub(super) async fn find_live(&self, id: ImageId) -> Result<Arc<Image>, Error> {
        self.image_cache.find(&self.db, id).await?.filter(|image| is_live(image)).ok_or_else(Error::no_such_image)
    }
}

/// Returns the owner as details for the audit trail.
fn owner_of(image: &Image) -> BTreeMap<String, String> {
    BTreeMap::from([("user_id".to_owned(), image.user_id.to_string())])
}

/// Updates counters and rewrites tags if the tags or the visibility changed.
async fn update_lists(tx: &mut Tx, before: &Image, after: &Image) -> Result<(), store::Error> {
    if before.tags == after.tags && before.visibility == after.visibility {
        return Ok(());
    }
    let (left, joined) = (Counter::of_visibility(before), Counter::of_visibility(after));
    let changes = |from: &[Counter], except: &[Counter], difference| {
        let moved: Vec<(Counter, i64)> =
            from.iter().filter(|counter| !except.contains(counter)).map(|counter| (counter.clone(), difference)).collect();
        moved
    };
    store::images::counters::add(tx, after.id, [changes(&left, &joined, -1), changes(&joined, &left, 1)].concat());
    store::images::tags::delete_all(tx, before.id).await?;
    store::images::tags::insert(tx, after).await
}

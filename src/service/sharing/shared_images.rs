//! The images of a share: listed, shown, sent, and added by visitors.

use std::sync::Arc;

use super::collection_items;
use super::collections::{counters, parts};
use super::public_links::{Original, RangeRequest};
use super::share_access::OpenShare;
use crate::model::collection::{CollectionId, CollectionName};
use crate::model::id::ImageId;
use crate::model::image::{Image, ThumbnailSize, Visibility};
use crate::model::share::ShareTarget;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::idempotency_key::IdempotencyKey;
use crate::service::images::thumbnails::{SendOptions, ServedImage};
use crate::service::images::tiles::LargeSize;
use crate::service::images::upload_request::{GuestOrigin, Origin, Upload, Uploaded};
use crate::service::images::variant_request::FormatRequest;
use crate::store::{self, Tx};

/// A page of the images of a share, in the order of the collection.
#[derive(Debug, Clone)]
pub struct SharedImages {
    pub images: Vec<Arc<Image>>,
    /// The exact number of images of the share.
    pub total: u64,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
    /// That of the collection, and of the images that visitors add to it; or that of the only image.
    pub visibility: Visibility,
}

/// A size in which a share shows an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedSize {
    Thumbnail(ThumbnailSize),
    Large(LargeSize),
}

impl Service {
    /// Lists a page of the images of a share: those that its owner sees.
    ///
    /// # Errors
    /// The image was deleted, or the page token is not of this list.
    pub async fn list_shared_images(&self, share: &OpenShare, limit: u32, token: Option<&str>) -> Result<SharedImages, Error> {
        let (id, name) = match &share.share.target {
            ShareTarget::Image(id) => {
                let image = self.find_shared_image(share, *id).await?;
                let visibility = image.visibility;
                return Ok(SharedImages { images: vec![image], total: 1, next: None, visibility });
            }
            ShareTarget::Collection(id, name) => (*id, name),
        };
        let parts = parts(&share.share.owner);
        let collection = store::sharing::collections::find(&self.db, name).await?.filter(|found| found.id == id);
        let collection = collection.ok_or_else(Error::no_such_share)?;
        let mut reader = self.db.reader().await?;
        let page = collection_items::images_of(&mut reader, &collection, &parts, limit, token).await?;
        let total = store::images::counters::read_sum(&mut reader, &counters(id, &parts)).await?;
        let images = page.images.into_iter().map(Arc::new).collect();
        Ok(SharedImages { images, total, next: page.next, visibility: collection.visibility })
    }

    /// Finds an image of a share.
    ///
    /// # Errors
    /// The image was deleted, or does not belong to the share.
    pub async fn find_shared_image(&self, share: &OpenShare, id: ImageId) -> Result<Arc<Image>, Error> {
        let is_shared = match &share.share.target {
            ShareTarget::Image(shared) => *shared == id,
            ShareTarget::Collection(collection, _) => {
                store::sharing::collection_items::contains(&self.db, *collection, id).await?
            }
        };
        if is_shared { self.find_image(&share.owner, id).await } else { Err(Error::no_such_image()) }
    }

    /// Serves an image of a share in one of its sizes. Large ones are created when they are first requested, when it is the turn
    /// of `key`.
    ///
    /// # Errors
    /// As for [`Service::find_shared_image`], the plan of the image's owner excludes the size, or it is not available right now.
    pub async fn send_shared_size(
        self: &Arc<Self>,
        share: &OpenShare,
        key: &TurnKey,
        id: ImageId,
        (size, format): (SharedSize, FormatRequest),
        sending: &SendOptions<'_>,
    ) -> Result<ServedImage, Error> {
        let image = self.find_shared_image(share, id).await?;
        match size {
            SharedSize::Thumbnail(size) => self.thumbnail(&share.owner, key, id, size, sending).await,
            SharedSize::Large(size) => self.send_permitted_variant(key, &image, &size.request(format), sending).await,
        }
    }

    /// Serves the original of an image of a share, or a part of it.
    ///
    /// # Errors
    /// As for [`Service::find_shared_image`] and [`Service::original`].
    pub async fn send_shared_original(
        &self,
        share: &OpenShare,
        id: ImageId,
        request: &RangeRequest,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        self.find_shared_image(share, id).await?;
        self.original(&share.owner, id, request, sending).await
    }

    /// Checks that visitors may add images to a share, before the body of the request is read. A request that repeats one with this
    /// key adds none, so it is permitted even if the share is full.
    ///
    /// # Errors
    /// They may not, or may not add more.
    pub async fn require_guest_uploads(
        &self,
        share: &OpenShare,
        key: Option<&IdempotencyKey>,
    ) -> Result<(CollectionId, CollectionName), Error> {
        let share = &share.share;
        let (ShareTarget::Collection(id, name), Some(max)) = (&share.target, share.terms.max_guest_images) else {
            return Err(Error::forbidden("Visitors of this share cannot add images."));
        };
        if share.guest_images_left() == 0 {
            let key = key.ok_or_else(|| too_many_guest_images(max))?.of_share(share.id);
            if !self.is_key_in_use(&share.owner, &key).await? {
                return Err(too_many_guest_images(max));
            }
        }
        Ok((*id, name.clone()))
    }

    /// Stores an image that a visitor adds. It belongs to the owner of the share, and is visible as the collection is.
    ///
    /// # Errors
    /// As for [`Service::upload`], or visitors may not add more images.
    pub async fn upload_to_share(
        self: &Arc<Self>,
        share: &OpenShare,
        admitted: Admitted,
        mut upload: Upload,
    ) -> Result<Uploaded, Error> {
        let Origin::Form(key) = upload.origin else { return Err(Error::internal("visitors of a share send forms")) };
        let (id, name) = self.require_guest_uploads(share, key.as_ref()).await?;
        let collection = store::sharing::collections::find(&self.db, &name).await?.filter(|found| found.id == id);
        let collection = collection.ok_or_else(Error::no_such_share)?;
        upload.user_id = share.share.owner.clone();
        upload.properties.visibility = collection.visibility;
        let key = key.map(|key| key.of_share(share.share.id));
        upload.origin = Origin::Guest(GuestOrigin { share: share.share.id, collection: id, key });
        self.store_upload(admitted, upload).await.map_err(without_quota)
    }

    /// Counts an image that a visitor adds, and adds it to the collection, in the transaction that stores it.
    pub(in crate::service) async fn record_guest_image(
        &self,
        tx: &mut Tx,
        guest: &GuestOrigin,
        image: &Image,
    ) -> Result<(), Error> {
        let collection = store::sharing::collections::lock_by_id(tx, guest.collection).await?;
        let collection = collection.ok_or_else(Error::no_such_share)?;
        // The owner may have made the collection private while the image was processed.
        if collection.visibility != image.visibility {
            return Err(Error::Conflict { message: "The collection was changed at the same time. Try again.".to_owned() });
        }
        let now = self.clock.now();
        if !store::sharing::shares::count_guest_image(tx, guest.share, now).await? {
            return Err(Error::forbidden("Visitors of this share cannot add more images."));
        }
        collection_items::append(tx, guest.collection, image, now).await
    }
}

/// Visitors do not learn how much the owner stores.
fn without_quota(error: Error) -> Error {
    match error {
        Error::QuotaExceeded(_) => Error::forbidden("The owner of this share has no space left for more images."),
        error => error,
    }
}

fn too_many_guest_images(max: u32) -> Error {
    let images = crate::model::plural::counted(max.into(), "image");
    Error::forbidden(format!("Visitors of this share can add {images} in total, and have done so."))
}

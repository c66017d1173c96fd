//! Serving thumbnails and resized images.
//!
//! Equal requests share one object. A request is first normalized to a [`Rendering`], which leaves nothing to decide. If that
//! equals a stored thumbnail, the thumbnail is served.

use std::sync::Arc;

use super::live::is_live;
use super::resize_urls::VerifiedSignature;
use super::variant_request::{FormatRequest, VariantRequest, is_transparent};
use super::variants::ReadyVariant;
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::{Format, Image, Thumbnail, ThumbnailSize, Visibility};
use crate::model::rendering::Rendering;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::downloads::{Download, DownloadError};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::store;

/// What to send of an image.
pub struct SendOptions<'a> {
    /// Whether the client has the version with this entity tag.
    pub is_known: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// Whether to send the bytes, and not only their number.
    pub with_body: bool,
    /// Whose turn to use when files must wait.
    pub requested_by: &'a TurnKey,
}

/// A thumbnail or resized image to send.
pub struct ServedImage {
    /// An entity tag without quotes: equal only for equal bytes.
    pub etag: String,
    pub format: Format,
    /// The visibility of the image.
    pub visibility: Visibility,
    pub content: Content,
}

pub enum Content {
    /// The client has this version.
    Unchanged,
    /// Only the length in bytes.
    Length(u64),
    Body(Download),
}

/// How often to retry when the object of a variant is missing although its row existed.
const ATTEMPTS: usize = 3;

impl Service {
    /// Returns the sizes that [`Service::thumbnail`] supports, by the names that clients use.
    pub fn thumbnail_sizes(&self) -> impl Iterator<Item = (String, ThumbnailSize)> {
        let heights = self.limits.imaging.thumbnail_heights.iter();
        let sizes = ThumbnailSize::STANDARD.into_iter().chain(heights.map(|&height| ThumbnailSize::Height(height)));
        sizes.map(|size| (size.public_name().into_owned(), size))
    }

    /// Serves a thumbnail of a live image. A height that was not configured when the image was uploaded is rendered now, when it
    /// is the turn of `key`.
    ///
    /// # Errors
    /// There is no such image, its owner's plan excludes this size, or the thumbnail is not available right now.
    pub async fn thumbnail(
        self: &Arc<Self>,
        caller: &Caller,
        key: &TurnKey,
        id: ImageId,
        size: ThumbnailSize,
        sending: &SendOptions<'_>,
    ) -> Result<ServedImage, Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_thumbnail(&image, size)?;
        let pixels = size.of((image.width, image.height));
        let stored = image.thumbnails.iter();
        let same = stored.clone().find(|stored| stored.size == size);
        if let Some(stored) = same.or_else(|| stored.clone().find(|stored| (stored.width, stored.height) == pixels)) {
            return self.serve_thumbnail(&image, stored, sending).await;
        }
        let format = if is_transparent(&image) { Format::Webp } else { Format::Jpeg };
        let rendering = Rendering { width: pixels.0, height: pixels.1, crop: false, format, quality: Rendering::DEFAULT_QUALITY };
        self.serve_variant(key, &image, &rendering, sending).await
    }

    /// Serves a resized version of a live image, rendered on the first request, or a thumbnail of a deleted one, if a signature
    /// grants it. Without a signature the operator's restrictions apply.
    ///
    /// # Errors
    /// There is no such image, its owner's plan or the operator excludes this size, or the resized image is not available right
    /// now.
    pub async fn variant(
        self: &Arc<Self>,
        caller: &Caller,
        key: &TurnKey,
        id: ImageId,
        (request, signed): (&VariantRequest, Option<VerifiedSignature>),
        sending: &SendOptions<'_>,
    ) -> Result<ServedImage, Error> {
        let (request, image) = match signed {
            Some(signed) => (request.clone(), self.find_signed(caller, id, signed).await?),
            None => (self.restrict_unsigned(request)?, self.find_visible(caller, id).await?),
        };
        if signed.is_none() {
            permissions::require_custom_sizes(&image)?;
        }
        self.send_permitted_variant(key, &image, &request, sending).await
    }

    /// Serves a resized version that the operator permits. A plan without other sizes includes the stored thumbnails, which pages
    /// that show private images request in this way.
    pub(in crate::service) async fn send_permitted_variant(
        self: &Arc<Self>,
        key: &TurnKey,
        image: &Image,
        request: &VariantRequest,
        sending: &SendOptions<'_>,
    ) -> Result<ServedImage, Error> {
        let format = match &request.format {
            FormatRequest::Named(format) => *format,
            FormatRequest::Accepted(accept) => accept.choose(is_transparent(image)),
        };
        let (size, quality) = ((image.width, image.height), request.quality.unwrap_or(Rendering::DEFAULT_QUALITY));
        let rendering = Rendering::new(size, (request.width, request.height), request.fit, format, quality);
        let rendering = rendering.ok_or_else(|| Error::invalid("fit", "cover requires width and height"))?;
        let is_same = |stored: &&Thumbnail| {
            (stored.width, stored.height, stored.format) == (rendering.width, rendering.height, rendering.format)
                && !rendering.crop
                && rendering.quality == Rendering::DEFAULT_QUALITY
        };
        let stored = image.thumbnails.iter().find(is_same);
        if !stored.is_some_and(|stored| image.plan_includes_thumbnail(stored.size)) {
            permissions::require_custom_sizes(image)?;
        }
        match stored {
            Some(stored) => self.serve_thumbnail(image, stored, sending).await,
            None if !is_live(image) => Err(Error::no_such_image()),
            None => self.serve_variant(key, image, &rendering, sending).await,
        }
    }

    async fn serve_thumbnail(&self, image: &Image, stored: &Thumbnail, sending: &SendOptions<'_>) -> Result<ServedImage, Error> {
        let name = stored.size.name();
        // Under this name the thumbnail never changes.
        let etag = format!("{}-{name}", image.id);
        let content = match (sending.is_known)(&etag) {
            true => Content::Unchanged,
            false => {
                let key = layout::stored_key(image, &name);
                match self.read_content(&key, sending).await {
                    Ok(content) => content,
                    Err(failed) => return Err(self.explain_missing(image.id, &key, failed).await),
                }
            }
        };
        // Shared caches must not keep what is in the trash.
        let visibility = if is_live(image) { image.visibility } else { Visibility::Private };
        Ok(ServedImage { etag, format: stored.format, visibility, content })
    }

    async fn serve_variant(
        self: &Arc<Self>,
        key: &TurnKey,
        image: &Image,
        rendering: &Rendering,
        sending: &SendOptions<'_>,
    ) -> Result<ServedImage, Error> {
        let format = rendering.format;
        for _ in 0..ATTEMPTS {
            let made = self.find_or_render(key, image, rendering).await?;
            let etag = match &made {
                ReadyVariant::Stored(object) | ReadyVariant::JustStored { object, .. } => {
                    layout::variant_token(object).to_owned()
                }
                ReadyVariant::NotStored { etag, .. } => etag.clone(),
            };
            let content = match made {
                _ if (sending.is_known)(&etag) => Content::Unchanged,
                ReadyVariant::JustStored { bytes, .. } | ReadyVariant::NotStored { bytes, .. } if !sending.with_body => {
                    Content::Length(bytes.len() as u64)
                }
                ReadyVariant::JustStored { object, bytes } => {
                    self.objects.cache(&layout::key(image.id, &object), bytes.clone());
                    Content::Body(Download::Bytes(bytes))
                }
                ReadyVariant::NotStored { bytes, memory: None, .. } => Content::Body(Download::Bytes(bytes)),
                ReadyVariant::NotStored { bytes, memory: Some(memory), .. } => {
                    Content::Body(self.send_from_memory(key, bytes, memory).await?)
                }
                ReadyVariant::Stored(object) => match self.read_content(&layout::key(image.id, &object), sending).await {
                    Ok(content) => content,
                    Err(DownloadError::Storage(objects::Error::NotFound { .. })) => {
                        self.variant_cache.remove(image.id, &rendering.name());
                        self.remove_lost_variant(image.id, &object).await?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            return Ok(ServedImage { etag, format, visibility: image.visibility, content });
        }
        Err(Error::ResizeInProgress)
    }

    async fn read_content(&self, key: &str, sending: &SendOptions<'_>) -> Result<Content, DownloadError> {
        if sending.with_body {
            return Ok(Content::Body(self.send_object(sending.requested_by, key.to_owned(), None).await?));
        }
        Ok(Content::Length(match self.objects.cached(key) {
            Some(object) => object.length(),
            None => self.objects.size(key).await?,
        }))
    }

    /// Removes a variant whose object is missing: removed since the row was read, or lost.
    async fn remove_lost_variant(&self, id: ImageId, object: &str) -> Result<(), Error> {
        tracing::warn!(image_id = %id, object, "the object of a variant is missing");
        let mut tx = self.db.begin().await?;
        store::images::variants::remove(&mut tx, id, object, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

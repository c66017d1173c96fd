//! Pictures of images as they are shown: thumbnails made at upload, and variants of any other size.
//!
//! What equal requests would give is one object. A request is brought down to a [`Rendering`] first, in which nothing is
//! left to decide; where that is a thumbnail which is stored anyway, it is served.

use std::sync::Arc;

use bytes::Bytes;

use super::resize_urls::Signed;
use super::variants::Made;
use crate::model::accept::Accept;
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::{Format, Image, Thumbnail, ThumbnailSize, Visibility};
use crate::model::rendering::{Fit, Rendering};
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::downloads::{Failed, Sent};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::store;

/// A picture of any size, as it is asked for.
#[derive(Debug, Clone)]
pub struct VariantRequest {
    /// In pixels; at least one of both, and both for [`Fit::Cover`].
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Fit,
    pub format: FormatRequest,
    /// 1 to 100; `None` is the default.
    pub quality: Option<u8>,
}

#[derive(Debug, Clone)]
pub enum FormatRequest {
    /// This one, of those that [`Rendering`] has.
    Named(Format),
    /// One that the client takes.
    Accepted(Accept),
}

/// What of a picture is to be sent.
pub struct Sending<'a> {
    /// Whether the client has the picture with this entity tag.
    pub is_known: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// Whether it wants the bytes, and not only their number.
    pub with_body: bool,
    /// Whose turn it is to be when files are waited for.
    pub asked_by: &'a TurnKey,
}

/// A picture to be sent.
pub struct Shown {
    /// An entity tag without its quotes: the same for the same bytes only.
    pub etag: String,
    pub format: Format,
    /// Of the image that it is of.
    pub visibility: Visibility,
    pub content: Content,
}

pub enum Content {
    /// The client has it.
    Unchanged,
    /// Only its length in bytes.
    Length(u64),
    Bytes(Bytes),
    /// As fast as the client takes it, with its length in bytes.
    Stored(u64, Sent),
}

/// A variant whose object is gone although its row was there is looked for anew, this often.
const ATTEMPTS: usize = 3;

impl Service {
    /// The sizes that [`Service::thumbnail`] knows, by the names that clients use.
    pub fn thumbnail_sizes(&self) -> impl Iterator<Item = (String, ThumbnailSize)> {
        let heights = self.limits.imaging.thumbnail_heights.iter();
        let shown = ThumbnailSize::STANDARD.map(|size| (size.name().into_owned(), size)).into_iter();
        shown.chain(heights.map(|&height| (height.to_string(), ThumbnailSize::Height(height))))
    }

    /// A thumbnail of a live image. One of a height that was not configured when the image was uploaded is made now, when it is the
    /// turn of `key`.
    ///
    /// # Errors
    /// There is no such image, its owner's plan does not give this, or the thumbnail cannot be had right now.
    pub async fn thumbnail(
        self: &Arc<Self>,
        caller: &Caller,
        key: &TurnKey,
        id: ImageId,
        size: ThumbnailSize,
        sending: &Sending<'_>,
    ) -> Result<Shown, Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_thumbnail(&image, size)?;
        let pixels = size.of((image.width, image.height));
        let stored = image.thumbnails.iter();
        let same = stored.clone().find(|stored| stored.size == size);
        if let Some(stored) = same.or_else(|| stored.clone().find(|stored| (stored.width, stored.height) == pixels)) {
            return self.show_stored(&image, stored, sending).await;
        }
        let format = if is_transparent(&image) { Format::Webp } else { Format::Jpeg };
        let rendering = Rendering { width: pixels.0, height: pixels.1, crop: false, format, quality: Rendering::DEFAULT_QUALITY };
        self.show_variant(key, &image, &rendering, sending).await
    }

    /// A picture of any size of a live image; made when it is first asked for. Without a signature it is what the operator allows.
    ///
    /// # Errors
    /// There is no such image, its owner's plan or the operator does not give this, or the picture cannot be had right now.
    pub async fn variant(
        self: &Arc<Self>,
        caller: &Caller,
        key: &TurnKey,
        id: ImageId,
        (request, signed): (&VariantRequest, Option<Signed>),
        sending: &Sending<'_>,
    ) -> Result<Shown, Error> {
        let (request, image) = match signed {
            Some(signed) => (request.clone(), self.find_signed(caller, id, signed).await?),
            None => (self.without_signature(request)?, self.find_visible(caller, id).await?),
        };
        permissions::require_custom_sizes(&image)?;
        let format = match &request.format {
            FormatRequest::Named(format) => *format,
            FormatRequest::Accepted(accept) => accept.choose(is_transparent(&image)),
        };
        let (size, quality) = ((image.width, image.height), request.quality.unwrap_or(Rendering::DEFAULT_QUALITY));
        let rendering = Rendering::new(size, (request.width, request.height), request.fit, format, quality);
        let rendering = rendering.ok_or_else(|| Error::invalid("fit", "cover needs width and height"))?;
        let is_same = |stored: &&Thumbnail| {
            (stored.width, stored.height, stored.format) == (rendering.width, rendering.height, rendering.format)
                && !rendering.crop
                && rendering.quality == Rendering::DEFAULT_QUALITY
        };
        match image.thumbnails.iter().find(is_same) {
            Some(stored) => self.show_stored(&image, stored, sending).await,
            None => self.show_variant(key, &image, &rendering, sending).await,
        }
    }

    async fn show_stored(&self, image: &Image, stored: &Thumbnail, sending: &Sending<'_>) -> Result<Shown, Error> {
        let name = stored.size.name();
        // Never made again under this name.
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
        Ok(Shown { etag, format: stored.format, visibility: image.visibility, content })
    }

    async fn show_variant(
        self: &Arc<Self>,
        key: &TurnKey,
        image: &Image,
        rendering: &Rendering,
        sending: &Sending<'_>,
    ) -> Result<Shown, Error> {
        let format = rendering.format;
        for _ in 0..ATTEMPTS {
            let made = self.find_or_make(key, image, rendering).await?;
            let etag = match &made {
                Made::Stored(object) | Made::Fresh { object, .. } => layout::variant_token(object).to_owned(),
                Made::Passing { etag, .. } => etag.clone(),
            };
            let content = match made {
                _ if (sending.is_known)(&etag) => Content::Unchanged,
                Made::Fresh { bytes, .. } | Made::Passing { bytes, .. } if !sending.with_body => {
                    Content::Length(bytes.len() as u64)
                }
                Made::Fresh { bytes, .. } | Made::Passing { bytes, memory: None, .. } => Content::Bytes(bytes),
                Made::Passing { bytes, memory: Some(memory), .. } => {
                    let (length, sent) = self.send_from_memory(key, bytes, memory).await?;
                    Content::Stored(length, sent)
                }
                Made::Stored(object) => match self.read_content(&layout::key(image.id, &object), sending).await {
                    Ok(content) => content,
                    Err(Failed::Storage(objects::Error::NotFound { .. })) => {
                        self.give_up_lost(image.id, &object).await?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            return Ok(Shown { etag, format, visibility: image.visibility, content });
        }
        Err(Error::ResizeInProgress)
    }

    async fn read_content(&self, key: &str, sending: &Sending<'_>) -> Result<Content, Failed> {
        if !sending.with_body {
            return Ok(Content::Length(self.objects.size(key).await?));
        }
        let (length, bytes) = self.send_object(sending.asked_by, key.to_owned(), None).await?;
        Ok(Content::Stored(length, bytes))
    }

    /// A variant whose object the storage does not have: given up between our look and our reading, or lost.
    async fn give_up_lost(&self, id: ImageId, object: &str) -> Result<(), Error> {
        tracing::warn!(image_id = %id, object, "a variant's object is gone");
        let mut tx = self.db.begin().await?;
        store::images::variants::remove(&mut tx, id, object, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// The format for a client that says nothing about those it takes.
pub(in crate::service) fn default_format(image: &Image) -> Format {
    Accept::default().choose(is_transparent(image))
}

/// Whether something shows through: thumbnails are WebP then, whatever channels the file has.
fn is_transparent(image: &Image) -> bool {
    image.thumbnails.iter().any(|thumbnail| thumbnail.format == Format::Webp)
}

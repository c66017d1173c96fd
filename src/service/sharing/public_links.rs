//! Public links: they serve the original of a public image to all clients who know its id, and of a private image to its owner.
//! Pages, which cannot send a header with each image request, show it by a signed URL.
//!
//! The bytes are streamed, never held in memory as a whole. A link to an image stops working when the image is deleted.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::model::byte_range::ByteRange;
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::plural::counted;
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::downloads::Download;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::resize_urls::VerifiedSignature;
use crate::service::images::thumbnails::{Content, SendOptions};

/// An original to send.
pub struct Original {
    pub image: Arc<Image>,
    /// The hash of the file, without quotes.
    pub etag: String,
    /// The bytes to send; `None` means the whole file.
    pub part: Option<RangeInclusive<u64>>,
    pub content: Content,
}

/// The `Range` and `If-Range` header fields of a request.
#[derive(Debug, Clone, Default)]
pub struct RangeRequest {
    pub range: Option<ByteRange>,
    /// The entity tag that the file must have. Otherwise the whole file is sent.
    pub if_range: Option<String>,
}

impl RangeRequest {
    /// Returns the requested bytes of the image's file; `None` means the whole file.
    pub(in crate::service) fn resolve(&self, image: &Image, etag: &str) -> Result<Option<RangeInclusive<u64>>, Error> {
        let length = image.file_size;
        let Some(range) = self.range.filter(|_| self.if_range.as_ref().is_none_or(|only| only == etag)) else { return Ok(None) };
        range.within(length).map(Some).ok_or(Error::NoSuchRange { length })
    }
}

impl Service {
    /// Serves the original of a live image, or a part of it.
    ///
    /// # Errors
    /// There is no such image, its owner's plan excludes originals, the range is not satisfiable, or the storage is unavailable.
    pub async fn original(
        &self,
        caller: &Caller,
        id: ImageId,
        request: &RangeRequest,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        let image = self.find_visible(caller, id).await?;
        self.send_permitted_original(image, request, sending).await
    }

    /// Serves the original of a live image, or a part of it, if a signature grants it.
    ///
    /// # Errors
    /// As for [`Service::original`], or the signature is for something else.
    pub async fn signed_original(
        &self,
        id: ImageId,
        signed: VerifiedSignature,
        request: &RangeRequest,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        let image = self.find_signed_original(id, signed).await?;
        self.send_permitted_original(image, request, sending).await
    }

    async fn send_permitted_original(
        &self,
        image: Arc<Image>,
        request: &RangeRequest,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        permissions::require_original(&image)?;
        let etag = hex::encode(image.sha256);
        if (sending.is_known)(&etag) {
            return Ok(Original { image, etag, part: None, content: Content::Unchanged });
        }
        let part = request.resolve(&image, &etag)?;
        if !sending.with_body {
            let length = length_of(&image, part.as_ref());
            return Ok(Original { image, etag, part, content: Content::Length(length) });
        }
        let body = self.send_original(sending.requested_by, &image, part.clone()).await?;
        Ok(Original { image, etag, part, content: Content::Body(body) })
    }

    /// Sends the original or a part of it. An original that does not have the length in the database is damaged.
    pub(in crate::service) async fn send_original(
        &self,
        requested_by: &TurnKey,
        image: &Image,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Download, Error> {
        let key = layout::stored_key(image, layout::ORIGINAL);
        let wanted = length_of(image, part.as_ref());
        let body = match self.send_object(requested_by, key.clone(), part).await {
            Ok(body) => body,
            Err(failed) => return Err(self.explain_missing(image.id, &key, failed).await),
        };
        if body.length() != wanted {
            self.objects.discard_cached(&key);
            let (id, stored) = (image.id, counted(body.length(), "byte"));
            return Err(Error::internal(format!("the storage has {stored} of image {id}, but the database has {wanted}")));
        }
        Ok(body)
    }
}

/// Returns the length of the original or of a part of it.
pub(super) fn length_of(image: &Image, part: Option<&RangeInclusive<u64>>) -> u64 {
    part.map_or(image.file_size, |part| part.end() - part.start() + 1)
}

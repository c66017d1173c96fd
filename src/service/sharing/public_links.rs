//! Public links: a public image's original to anybody who has its id, from this service's own address; a private one's to its
//! owner.
//!
//! The bytes pass through: they are never in memory as a whole, and a link to a deleted image ends with its deletion.

use std::ops::RangeInclusive;

use crate::model::byte_range::ByteRange;
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::downloads::BodyStream;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::thumbnails::{Content, SendOptions};

/// An original to be sent.
pub struct Original {
    pub image: Image,
    /// Without its quotes; the hash of the file.
    pub etag: String,
    /// The bytes that are sent, when it is not all of them.
    pub part: Option<RangeInclusive<u64>>,
    pub content: Content,
}

/// Which part of a file a client asks for.
#[derive(Debug, Clone, Default)]
pub struct RangeRequest {
    pub range: Option<ByteRange>,
    /// The entity tag that the file must have; with another one all of it is sent.
    pub if_range: Option<String>,
}

impl RangeRequest {
    /// The bytes of the image's file that are asked for; `None` is all of them.
    pub(in crate::service) fn resolve(&self, image: &Image, etag: &str) -> Result<Option<RangeInclusive<u64>>, Error> {
        let length = image.file_size;
        let Some(range) = self.range.filter(|_| self.if_range.as_ref().is_none_or(|only| only == etag)) else { return Ok(None) };
        range.within(length).map(Some).ok_or(Error::NoSuchRange { length })
    }
}

impl Service {
    /// The original of a live image, or a part of it.
    ///
    /// # Errors
    /// There is no such image, its owner's plan gives no originals, its file has none of the bytes that are asked for, or the storage does not answer.
    pub async fn original(
        &self,
        caller: &Caller,
        id: ImageId,
        request: &RangeRequest,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_original(&image)?;
        let etag = hex::encode(image.sha256);
        if (sending.is_known)(&etag) {
            return Ok(Original { image, etag, part: None, content: Content::Unchanged });
        }
        let length = image.file_size;
        let part = request.resolve(&image, &etag)?;
        let wanted = part.as_ref().map_or(length, |part| part.end() - part.start() + 1);
        if !sending.with_body {
            return Ok(Original { image, etag, part, content: Content::Length(wanted) });
        }
        let (stored, bytes) = self.send_original(sending.requested_by, &image, part.clone()).await?;
        if stored != wanted {
            let found = format!("the storage gives {stored} bytes of image {id} where {wanted} are known");
            return Err(Error::internal(found));
        }
        Ok(Original { image, etag, part, content: Content::Stored(stored, bytes) })
    }

    /// The bytes of an original, or of a part of it, and their number.
    pub(in crate::service) async fn send_original(
        &self,
        requested_by: &TurnKey,
        image: &Image,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<(u64, BodyStream), Error> {
        let key = layout::stored_key(image, layout::ORIGINAL);
        match self.send_object(requested_by, key.clone(), part).await {
            Ok(sent) => Ok(sent),
            Err(failed) => Err(self.explain_missing(image.id, &key, failed).await),
        }
    }
}

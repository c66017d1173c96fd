//! Uploads that exceed the limits, with `OVERSIZE=shrink`: a smaller version replaces the file before anything is stored.

use std::time::Instant;

use bytes::Bytes;

use super::upload_request::Upload;
use crate::imaging::{self, Header};
use crate::model::image::PixelSize;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::Turn;
use crate::service::admission::threads;
use crate::service::error::Error;

/// An upload whose file was replaced.
#[derive(Debug)]
pub(in crate::service) struct Shrunk {
    /// The header of the new file.
    pub header: Header,
    /// The original size in pixels, as displayed.
    pub from: PixelSize,
    /// Whether the file had Content Credentials, which are valid for the original bytes only.
    pub dropped_credentials: bool,
    /// Memory for the bytes by which the new file exceeds the reservation of the old one. PNG files can grow.
    _growth: Option<Admitted>,
}

impl Service {
    /// Scales the image down on a decode thread and replaces the file of the upload. `header` is of an oversized image.
    ///
    /// # Errors
    /// The file is damaged, the result exceeds the maximum file size, or no memory is free in time.
    pub(in crate::service) async fn shrink(&self, upload: &mut Upload, turn: &Turn, header: &Header) -> Result<Shrunk, Error> {
        let slot = self.admission.reserve_decode(turn, header.weight_bytes).await?;
        let started = Instant::now();
        let (bytes, oversize, limits) = (upload.bytes.clone(), header.clone(), self.limits.imaging.clone());
        let shrinking = move || (imaging::shrink(&bytes, &oversize, &limits), slot);
        let (shrunk, slot) = threads::run(turn.class.priority(), shrinking).await?;
        let imaging::Shrunk { file, dropped_credentials } = shrunk?;
        let file = Bytes::from(file);
        self.observe_stage(upload.properties.visibility, "shrink", started.elapsed());
        let length = file.len() as u64;
        // The minimum file size does not apply to the result.
        if length > self.limits.max_file_bytes {
            self.check_size(length)?;
        }
        // The result is within the limits.
        let small = imaging::inspect(&file, &self.limits.imaging).map_err(Error::internal)?;
        let small = self.check_weight(small)?;
        let grown = length.saturating_sub(upload.bytes.len() as u64);
        // The slot covers the file until then. This does not wait, because others wait for the slot.
        let _growth = if grown > 0 { Some(self.admission.try_reserve_file(turn, grown)?) } else { None };
        drop(slot);
        upload.bytes = file;
        let from = PixelSize { width: header.width, height: header.height };
        Ok(Shrunk { header: small, from, dropped_credentials, _growth })
    }
}

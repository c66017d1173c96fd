//! Uploads that are larger than the limits, where `OVERSIZE` is `shrink`: the smaller picture takes the place of the file
//! that came, before anything of it is stored.

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
    /// Of the new file.
    pub header: Header,
    /// What the picture was, as displayed.
    pub from: PixelSize,
    /// Whether the file had Content Credentials, which hold for its old bytes alone.
    pub dropped_credentials: bool,
    /// Memory for the bytes that the new file has more than the old one, which was reserved for. PNG may grow.
    _growth: Option<Admitted>,
}

impl Service {
    /// Scales the upload's picture down on a decode thread, and gives the upload the smaller file. `header` is of an oversize
    /// picture.
    ///
    /// # Errors
    /// The file is damaged, the smaller one has more bytes than are accepted, or there is no memory in time.
    pub(in crate::service) async fn shrink(&self, upload: &mut Upload, turn: &Turn, header: &Header) -> Result<Shrunk, Error> {
        let slot = self.admission.reserve_decode(turn, header.weight_bytes).await?;
        let started = Instant::now();
        let (bytes, oversize, limits) = (upload.bytes.clone(), header.clone(), self.limits.imaging.clone());
        let shrinking = move || (imaging::shrink(&bytes, &oversize, &limits), slot);
        let (shrunk, slot) = threads::run(turn.class.priority(), shrinking).await?;
        let imaging::Shrunk { file, dropped_credentials } = shrunk?;
        let file = Bytes::from(file);
        self.observe_stage(upload.visibility, "shrink", started.elapsed());
        let length = file.len() as u64;
        // One that became smaller than files need to be is as good as any.
        if length > self.limits.max_file_bytes {
            self.check_size(length)?;
        }
        // What was made here is within the limits.
        let small = imaging::inspect(&file, &self.limits.imaging).map_err(Error::internal)?;
        let small = self.check_weight(small)?;
        let grown = length.saturating_sub(upload.bytes.len() as u64);
        // The slot has room for the file until then. Nothing waits here, because others wait for the slot.
        let _growth = if grown > 0 { Some(self.admission.try_reserve_file(turn, grown)?) } else { None };
        drop(slot);
        upload.bytes = file;
        let from = PixelSize { width: header.width, height: header.height };
        Ok(Shrunk { header: small, from, dropped_credentials, _growth })
    }
}

//! PNG's compressed texts, with a bound: 10 MB of deflate can hold 10 GB of zeros.

use super::block::MAX_BLOCK_BYTES;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// What may be inflated in one file. Honest ones hold two or three profiles of some 100 KB.
const MAX_FILE_BYTES: usize = 2 * MAX_BLOCK_BYTES;

/// What is left of that.
pub(super) struct Inflater {
    left_bytes: usize,
}

impl Inflater {
    pub fn new() -> Self {
        Inflater { left_bytes: MAX_FILE_BYTES }
    }

    /// `None` when the data is damaged or above the bound.
    pub fn inflate(&mut self, zlib: &[u8]) -> Option<Vec<u8>> {
        let limit = self.left_bytes.min(MAX_BLOCK_BYTES);
        let mut inflated = Vec::new();
        let read = ZlibDecoder::new(zlib).take(limit as u64 + 1).read_to_end(&mut inflated);
        self.left_bytes = self.left_bytes.saturating_sub(inflated.len());
        (read.is_ok() && inflated.len() <= limit).then_some(inflated)
    }
}

pub(super) fn deflate(text: &[u8]) -> Option<Vec<u8>> {
    let mut zlib = Vec::new();
    ZlibEncoder::new(text, Compression::best()).read_to_end(&mut zlib).ok()?;
    Some(zlib)
}

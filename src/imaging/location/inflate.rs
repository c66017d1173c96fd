//! Inflates compressed PNG text within a limit: 10 MB of deflate can hold 10 GB of zeros.

use super::block::MAX_BLOCK_BYTES;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use flate2::{Compression, Decompress, FlushDecompress, Status};
use std::io::Read;

/// The total inflated size for one file. Ordinary files hold two or three profiles of some 100 KB.
const MAX_FILE_BYTES: usize = 2 * MAX_BLOCK_BYTES;

/// The rest of that budget.
pub(super) struct Inflater {
    left_bytes: usize,
}

impl Inflater {
    pub fn new() -> Self {
        Inflater { left_bytes: MAX_FILE_BYTES }
    }

    /// Inflates a zlib stream. `None` if the data is damaged or exceeds the limit.
    pub fn inflate(&mut self, zlib: &[u8]) -> Option<Vec<u8>> {
        let limit = self.left_bytes.min(MAX_BLOCK_BYTES);
        let mut inflated = Vec::new();
        let read = ZlibDecoder::new(zlib).take(limit as u64 + 1).read_to_end(&mut inflated);
        self.left_bytes = self.left_bytes.saturating_sub(inflated.len());
        (read.is_ok() && inflated.len() <= limit).then_some(inflated)
    }
}

/// The zlib header; a deflate stream and its checksum follow.
const ZLIB_HEADER_BYTES: usize = 2;

impl Inflater {
    /// Same as [`Inflater::inflate`], for data that may be damaged. Also returns whether it is: then the result is what a lenient
    /// reader gets, everything up to the damage, whatever the checksum. `None` if it exceeds the limit.
    pub fn inflate_readable(&mut self, zlib: &[u8]) -> Option<(Vec<u8>, bool)> {
        let before = self.left_bytes;
        if let Some(inflated) = self.inflate(zlib) {
            return Some((inflated, false));
        }
        let is_too_large = self.left_bytes == 0 || before - self.left_bytes > MAX_BLOCK_BYTES;
        if is_too_large { None } else { self.inflate_damaged(zlib).map(|inflated| (inflated, true)) }
    }

    fn inflate_damaged(&mut self, zlib: &[u8]) -> Option<Vec<u8>> {
        const STEP_BYTES: usize = 4096;
        let limit = self.left_bytes.min(MAX_BLOCK_BYTES);
        let deflated = zlib.get(ZLIB_HEADER_BYTES..).unwrap_or_default();
        let mut inflated = Vec::new();
        let mut decoder = Decompress::new(false);
        while inflated.len() <= limit {
            inflated.reserve(STEP_BYTES);
            let (read, written) = (decoder.total_in(), decoder.total_out());
            let rest = usize::try_from(read).ok().and_then(|read| deflated.get(read..)).unwrap_or_default();
            let status = decoder.decompress_vec(rest, &mut inflated, FlushDecompress::None);
            let stands_still = (decoder.total_in(), decoder.total_out()) == (read, written);
            if !matches!(status, Ok(Status::Ok | Status::BufError)) || stands_still {
                break;
            }
        }
        self.left_bytes = self.left_bytes.saturating_sub(inflated.len());
        (inflated.len() <= limit).then_some(inflated)
    }
}

pub(super) fn deflate(text: &[u8]) -> Option<Vec<u8>> {
    let mut zlib = Vec::new();
    ZlibEncoder::new(text, Compression::best()).read_to_end(&mut zlib).ok()?;
    Some(zlib)
}

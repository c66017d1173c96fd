//! Compressed manifests: Brotli (RFC 7932) in a `brob` box, within a limit, because a few bytes of it can hold gigabytes.

use super::boxes::Malformed;
use brotli_decompressor::Decompressor as Brotli;
use std::io::Read;

/// The total decompressed size for one store. Manifests of cameras and editors hold some 100 KB.
const MAX_BYTES: usize = 4 << 20;

/// The decoder's read buffer.
const BUFFER_BYTES: usize = 4096;

/// The rest of that budget.
pub(super) struct Decompressor {
    left_bytes: usize,
}

impl Decompressor {
    pub fn new() -> Self {
        Decompressor { left_bytes: MAX_BYTES }
    }

    /// Decompresses one box. Fails if the data is damaged or exceeds the limit.
    pub fn decompress(&mut self, brotli: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut inside = Vec::new();
        let read = Brotli::new(brotli, BUFFER_BYTES).take(self.left_bytes as u64 + 1).read_to_end(&mut inside);
        let fits = inside.len() <= self.left_bytes;
        self.left_bytes = self.left_bytes.saturating_sub(inside.len());
        if read.is_ok() && fits { Ok(inside) } else { Err(Malformed) }
    }
}

//! Compressed manifests: Brotli (RFC 7932) in a `brob` box, with a bound, for a few bytes of it can hold gigabytes.

use super::boxes::Malformed;
use brotli_decompressor::Decompressor as Brotli;
use std::io::Read;

/// What may be decompressed in one store. Manifests of cameras and editors hold some 100 KB.
const MAX_BYTES: usize = 4 << 20;

/// What the decoder reads at once.
const BUFFER_BYTES: usize = 4096;

/// What is left of that.
pub(super) struct Decompressor {
    left_bytes: usize,
}

impl Decompressor {
    pub fn new() -> Self {
        Decompressor { left_bytes: MAX_BYTES }
    }

    /// An error when the data is damaged or above the bound.
    pub fn decompress(&mut self, brotli: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut inside = Vec::new();
        let read = Brotli::new(brotli, BUFFER_BYTES).take(self.left_bytes as u64 + 1).read_to_end(&mut inside);
        let fits = inside.len() <= self.left_bytes;
        self.left_bytes = self.left_bytes.saturating_sub(inside.len());
        if read.is_ok() && fits { Ok(inside) } else { Err(Malformed) }
    }
}

//! Buffers for blocks of data. Large ones are reused: a new one would cost page faults, and time to fill it with zeros.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::trailer::BLOCK_BYTES;

/// A shorter block gets a buffer of its own length.
const REUSED_BYTES_MIN: usize = BLOCK_BYTES / 2;

/// The unused buffers that are kept.
const UNUSED_MAX: usize = 32;

/// Unused buffers of [`BLOCK_BYTES`].
static UNUSED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer of at most [`BLOCK_BYTES`]. Its content is undefined until it is filled.
pub(super) struct BlockBuffer {
    buffer: Vec<u8>,
    length: usize,
}

impl BlockBuffer {
    pub(super) fn new(length: usize) -> Self {
        let reused = || UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| vec![0; BLOCK_BYTES]);
        let buffer = if (REUSED_BYTES_MIN..=BLOCK_BYTES).contains(&length) { reused() } else { vec![0; length] };
        Self { buffer, length }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl From<BlockBuffer> for Bytes {
    fn from(mut block: BlockBuffer) -> Self {
        if block.buffer.len() == BLOCK_BYTES { Bytes::from_owner(block) } else { std::mem::take(&mut block.buffer).into() }
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        if self.buffer.len() == BLOCK_BYTES {
            let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
            if unused.len() < UNUSED_MAX {
                unused.push(std::mem::take(&mut self.buffer));
            }
        }
    }
}

//! The pieces of files that are passed to connections.
//!
//! A slice of a chunk keeps the whole chunk in memory until the client has taken it, which a slow client delays. So a few
//! chunks may be passed on as they are, and beyond that small pieces are copied.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per piece that is copied.
pub(super) const COPIED_BYTES: usize = 16 << 10;

/// Bytes per piece that is not copied, at most.
const SLICE_BYTES: usize = 256 << 10;

/// Bytes of all chunks that are passed on without copying them.
const CHUNKS_BYTES: usize = 32 << 20;

/// The memory for chunks that are passed on without copying them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ChunkMemory(Arc<Semaphore>);

/// A chunk of a file, from which pieces are taken.
#[derive(Default)]
pub(super) struct Chunk {
    bytes: Bytes,
    is_counted: bool,
}

/// A chunk, until the last slice of it is dropped.
struct Counted {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for ChunkMemory {
    fn default() -> Self {
        Self::new(CHUNKS_BYTES)
    }
}

impl ChunkMemory {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Counts a chunk, if it is worth it and there is memory for it.
    pub fn chunk(&self, bytes: Bytes) -> Chunk {
        // A part of a block is a slice, which keeps the whole block in memory.
        let kept_bytes = bytes.len().max(SLICE_BYTES);
        let memory = match u32::try_from(kept_bytes) {
            Ok(kept_bytes) if bytes.len() > COPIED_BYTES => Arc::clone(&self.0).try_acquire_many_owned(kept_bytes).ok(),
            _ => None,
        };
        match memory {
            Some(memory) => Chunk { bytes: Bytes::from_owner(Counted { bytes, _memory: memory }), is_counted: true },
            None => Chunk { bytes, is_counted: false },
        }
    }
}

impl Chunk {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next piece, of at most `max_bytes`.
    pub fn take_piece(&mut self, max_bytes: usize) -> Bytes {
        let piece_bytes = if self.is_counted { SLICE_BYTES } else { COPIED_BYTES };
        let piece = self.bytes.split_to(self.bytes.len().min(piece_bytes).min(max_bytes));
        if self.is_counted { piece } else { Bytes::copy_from_slice(&piece) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_copied_once_their_memory_is_used_up() {
        let memory = ChunkMemory::new(500 << 10);
        let data = Bytes::from(vec![7; 300 << 10]);
        let mut first = memory.chunk(data.clone());
        let slice = first.take_piece(usize::MAX);
        assert_eq!((slice.len(), slice.as_ptr()), (SLICE_BYTES, data.as_ptr()), "not copied");
        let mut second = memory.chunk(data.clone());
        let copy = second.take_piece(usize::MAX);
        assert!(copy.len() == COPIED_BYTES && copy.as_ptr() != data.as_ptr(), "copied");
        // The memory is free again after the last slice.
        drop(first);
        assert!(!memory.chunk(data.clone()).is_counted);
        drop(slice);
        assert!(memory.chunk(data.clone()).is_counted);
        assert!(!memory.chunk(data.slice(..COPIED_BYTES)).is_counted, "too small to be worth it");
    }

    #[test]
    fn pieces_end_with_their_chunk_and_the_range() {
        for memory in [ChunkMemory::default(), ChunkMemory::new(0)] {
            let data: Vec<u8> = (0..100_000_u32).map(|place| place as u8).collect();
            let mut chunk = memory.chunk(data.clone().into());
            let mut taken = Vec::new();
            while !chunk.is_empty() && taken.len() < 90_000 {
                taken.extend_from_slice(&chunk.take_piece(90_000 - taken.len()));
            }
            assert_eq!(taken, data[..90_000]);
        }
    }
}

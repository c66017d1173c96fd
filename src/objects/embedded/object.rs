//! An object's file, open for reading: the metadata, and the data in verified blocks.
//!
//! It keeps the file that it opened: a later upload of the same key puts another file in its place and does not disturb this one.
//! Everything here blocks, unless it reads from the page cache.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::block_buffer::BlockBuffer;
use super::page_cache::{self, ReadFrom};
use super::storage_error::StorageError;
use super::trailer::{self, BLOCK_BYTES, FOOTER_BYTES, Footer, ObjectMetadata};

/// Large enough for the trailer of almost every object, so that opening one takes a single read.
const FIRST_READ_BYTES: u64 = 4096;

/// An open object with a verified trailer.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) metadata: ObjectMetadata,
    block_checksums: Vec<u32>,
    file: File,
    path: PathBuf,
}

impl Object {
    /// Opens a file without checking its key; `None` if the file does not exist.
    ///
    /// # Errors
    /// `Damaged` if the file is truncated or its trailer is wrong.
    pub(super) fn open(path: &Path, from: ReadFrom) -> Result<Option<Self>, StorageError> {
        let file = match page_cache::open(path, from) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(path)(error)),
        };
        let damaged = |reason| StorageError::Damaged { path: path.to_owned(), reason };
        let file_bytes = file.metadata().map_err(StorageError::io(path))?.len();

        let mut tail = read_tail(&file, file_bytes, FIRST_READ_BYTES, from).map_err(StorageError::io(path))?;
        let footer_start = tail.len().checked_sub(FOOTER_BYTES).ok_or_else(|| damaged("shorter than a footer"))?;
        let footer = Footer::decode(&tail[footer_start..], file_bytes).map_err(damaged)?;
        if footer.trailer_bytes() > tail.len() as u64 {
            tail = read_tail(&file, file_bytes, footer.trailer_bytes(), from).map_err(StorageError::io(path))?;
        }
        let trailer_bytes = usize::try_from(footer.trailer_bytes()).unwrap_or(usize::MAX);
        let trailer_start = tail.len().checked_sub(trailer_bytes).ok_or_else(|| damaged("shorter than its trailer"))?;
        let (metadata, block_checksums) = footer.decode_trailer(&tail[trailer_start..]).map_err(damaged)?;
        Ok(Some(Self { metadata, block_checksums, file, path: path.to_owned() }))
    }

    /// Reads the part of `range` that lies in its first block; empty if the range is empty.
    ///
    /// # Errors
    /// `Damaged` if the block's checksum is wrong.
    pub(super) fn read_first(&self, range: &Range<u64>, from: ReadFrom) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let block = self.first_block(range);
        let mut buffer = BlockBuffer::new((block.end - block.start) as usize);
        let data = buffer.as_mut_slice();
        page_cache::read_exact_at(&self.file, data, block.start, from).map_err(StorageError::io(&self.path))?;
        let index = usize::try_from(block.start / BLOCK_BYTES as u64).ok();
        let expected = index.and_then(|index| self.block_checksums.get(index));
        if expected != Some(&trailer::block_checksum(data)) {
            return Err(StorageError::Damaged { path: self.path.clone(), reason: "data with a wrong checksum" });
        }
        let selected = (range.start - block.start) as usize..(range.end.min(block.end) - block.start) as usize;
        Ok(Bytes::from(buffer).slice(selected))
    }

    /// Returns the byte range of the block that contains the first byte of `range`.
    pub(super) fn first_block(&self, range: &Range<u64>) -> Range<u64> {
        let block_bytes = BLOCK_BYTES as u64;
        let start = range.start / block_bytes * block_bytes;
        start..(start + block_bytes).min(self.metadata.length)
    }
}

/// Reads the last `tail_bytes` of the file, or all of it if it is shorter.
fn read_tail(file: &File, file_bytes: u64, tail_bytes: u64, from: ReadFrom) -> io::Result<Vec<u8>> {
    let tail_bytes = tail_bytes.min(file_bytes);
    let mut tail = vec![0; tail_bytes as usize];
    page_cache::read_exact_at(file, &mut tail, file_bytes - tail_bytes, from)?;
    Ok(tail)
}

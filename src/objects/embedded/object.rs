//! An object's file, open for reading: its description, and its data a proved block at a time.
//!
//! It keeps the file that it opened: a later upload of the same key puts another file in its place and does not
//! disturb this one. Everything here blocks.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::storage::StorageError;
use super::trailer::{self, BLOCK_BYTES, Description, FOOTER_BYTES, Footer};

/// Enough for the whole trailer of almost every object, so that opening one takes a single read.
const FIRST_READ_BYTES: u64 = 4096;

/// An open object whose trailer has been proved.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) description: Description,
    blocks: Vec<u32>,
    file: File,
    path: PathBuf,
}

impl Object {
    /// Opens a file, whatever key it is for.
    ///
    /// # Errors
    /// `Damaged` when it is not whole; `None` when there is no such file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StorageError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(path)(error)),
        };
        let damaged = |reason| StorageError::Damaged { path: path.to_owned(), reason };
        let file_bytes = file.metadata().map_err(StorageError::io(path))?.len();

        let mut tail = read_tail(&file, file_bytes, FIRST_READ_BYTES).map_err(StorageError::io(path))?;
        let footer_start = tail.len().checked_sub(FOOTER_BYTES).ok_or_else(|| damaged("shorter than a footer"))?;
        let footer = Footer::decode(&tail[footer_start..], file_bytes).map_err(damaged)?;
        if footer.trailer_bytes() > tail.len() as u64 {
            tail = read_tail(&file, file_bytes, footer.trailer_bytes()).map_err(StorageError::io(path))?;
        }
        let trailer_bytes = usize::try_from(footer.trailer_bytes()).unwrap_or(usize::MAX);
        let trailer_start = tail.len().checked_sub(trailer_bytes).ok_or_else(|| damaged("shorter than its trailer"))?;
        let (description, blocks) = footer.decode_trailer(&tail[trailer_start..]).map_err(damaged)?;
        Ok(Some(Self { description, blocks, file, path: path.to_owned() }))
    }

    /// The piece of `range` that lies in the block of its first byte; empty when the range is.
    ///
    /// # Errors
    /// `Damaged` when that block is not what was written.
    pub(super) fn read_first(&self, range: &Range<u64>) -> Result<Bytes, StorageError> {
        self.read_first_into(Vec::new(), range)
    }

    /// As [`Self::read_first`], in a buffer that the caller has. It needs room for the [block](Self::first_block).
    pub(super) fn read_first_into(&self, mut buffer: Vec<u8>, range: &Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let block = self.first_block(range);
        buffer.resize((block.end - block.start) as usize, 0);
        self.file.read_exact_at(&mut buffer, block.start).map_err(StorageError::io(&self.path))?;
        let expected = usize::try_from(block.start / BLOCK_BYTES as u64).ok().and_then(|number| self.blocks.get(number));
        if expected != Some(&trailer::block_checksum(&buffer)) {
            return Err(StorageError::Damaged { path: self.path.clone(), reason: "data whose checksum is wrong" });
        }
        let wanted = (range.start - block.start) as usize..(range.end.min(block.end) - block.start) as usize;
        Ok(Bytes::from(buffer).slice(wanted))
    }

    /// Where the block lies that has the first byte of `range`.
    pub(super) fn first_block(&self, range: &Range<u64>) -> Range<u64> {
        let block_bytes = BLOCK_BYTES as u64;
        let start = range.start / block_bytes * block_bytes;
        start..(start + block_bytes).min(self.description.length)
    }
}

fn read_tail(file: &File, file_bytes: u64, wanted: u64) -> io::Result<Vec<u8>> {
    let wanted = wanted.min(file_bytes);
    let mut tail = vec![0; wanted as usize];
    file.read_exact_at(&mut tail, file_bytes - wanted)?;
    Ok(tail)
}

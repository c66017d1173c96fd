//! An upload on its way: a temporary file that becomes an object, or nothing.
//!
//! Dropping a draft removes its file, so every way out of an upload but success leaves nothing behind; what a killed
//! process leaves is removed at the next start. Everything here blocks.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;

use super::disk;
use super::storage::StorageError;
use super::trailer::{self, BLOCK_BYTES, Description};

/// A temporary file and what is known of the data in it so far.
pub(super) struct Draft {
    path: PathBuf,
    file: File,
    length: u64,
    stored_at_ms: u64,
    blocks: Vec<u32>,
    md5: Md5,
    hasher: ChecksumHasher,
    in_place: bool,
}

/// What the data turned out to be.
pub(super) struct Digests {
    /// 16 bytes.
    pub(super) md5: [u8; 16],
    /// Those that the hasher given to [`Draft::create`] was set up for, in base64.
    pub(super) checksums: s3s::dto::Checksum,
}

impl Draft {
    /// Makes an empty one in `directory`, which must be on the objects' file system.
    pub(super) fn create(directory: &Path, hasher: ChecksumHasher) -> Result<Self, StorageError> {
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|error| StorageError::io(directory)(io::Error::other(error.to_string())))?;
        let path = directory.join(hex::encode(name));
        let file = disk::create_new(&path).map_err(StorageError::io(&path))?;
        // The file system's time, taken from the new file: the one place here that needs to know what time it is.
        let made = file.metadata().and_then(|metadata| metadata.modified()).map_err(StorageError::io(&path))?;
        let since_1970 = made.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            path,
            file,
            length: 0,
            stored_at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            blocks: Vec::new(),
            md5: Md5::new(),
            hasher,
            in_place: false,
        })
    }

    /// Adds one block: [`BLOCK_BYTES`], or less for the last one only.
    pub(super) fn write_block(&mut self, block: &[u8]) -> Result<(), StorageError> {
        debug_assert!(block.len() <= BLOCK_BYTES && self.length.is_multiple_of(BLOCK_BYTES as u64));
        self.file.write_all(block).map_err(StorageError::io(&self.path))?;
        self.blocks.push(trailer::block_checksum(block));
        self.md5.update(block);
        self.hasher.update(block);
        self.length += block.len() as u64;
        Ok(())
    }

    /// The digests of all that was written. Ask once: the hashers start anew.
    pub(super) fn take_digests(&mut self) -> Digests {
        Digests { md5: std::mem::take(&mut self.md5).finalize().into(), checksums: std::mem::take(&mut self.hasher).finalize() }
    }

    /// Bytes of data so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// When it was made, in milliseconds since 1970.
    pub(super) fn stored_at_ms(&self) -> u64 {
        self.stored_at_ms
    }

    /// Writes the trailer and puts the file's content on the disk; it has no name yet that anybody looks for.
    pub(super) fn seal(&mut self, description: &Description) -> Result<(), StorageError> {
        let trailer = trailer::encode(description, &self.blocks).map_err(|error| StorageError::io(&self.path)(error.into()))?;
        self.file.write_all(&trailer).map_err(StorageError::io(&self.path))?;
        self.file.sync_all().map_err(StorageError::io(&self.path))
    }

    /// Gives the sealed file its place. The place's directory is still to be synced.
    pub(super) fn rename(mut self, to: &Path) -> Result<(), StorageError> {
        std::fs::rename(&self.path, to).map_err(StorageError::io(to))?;
        self.in_place = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.in_place {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), "cannot remove the file of an upload that failed: {error}");
        }
    }
}

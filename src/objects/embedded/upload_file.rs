//! The temporary file of an upload in progress, which becomes an object or is removed.
//!
//! Dropping an upload removes its file, so an upload that fails leaves nothing behind. The next start removes the files that a
//! killed process leaves. All functions block.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;

use super::disk;
use super::storage_error::StorageError;
use super::trailer::{self, BLOCK_BYTES, ObjectMetadata};

/// A temporary file, with the length and digests of the data written so far.
pub(super) struct UploadFile {
    path: PathBuf,
    file: File,
    length: u64,
    stored_at_ms: u64,
    block_checksums: Vec<u32>,
    hashers: Hashers,
    renamed: bool,
}

/// What is computed of the data while it is written.
#[derive(Default)]
pub(super) struct Hashers {
    pub(super) md5: Option<Md5>,
    pub(super) checksums: ChecksumHasher,
}

/// The digests of the data.
pub(super) struct Digests {
    pub(super) md5: Option<[u8; 16]>,
    /// In base64.
    pub(super) checksums: s3s::dto::Checksum,
}

impl UploadFile {
    /// Creates an empty file in `directory`, which must be on the same file system as the objects.
    pub(super) fn create(directory: &Path, hashers: Hashers) -> Result<Self, StorageError> {
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|error| StorageError::io(directory)(io::Error::other(error.to_string())))?;
        let path = directory.join(hex::encode(name));
        let file = disk::create_new(&path).map_err(StorageError::io(&path))?;
        // The new file's own time serves as the clock: nothing else in this module needs the current time.
        let created_at = file.metadata().and_then(|metadata| metadata.modified()).map_err(StorageError::io(&path))?;
        let since_1970 = created_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            path,
            file,
            length: 0,
            stored_at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            block_checksums: Vec::new(),
            hashers,
            renamed: false,
        })
    }

    /// Appends one block of [`BLOCK_BYTES`]; only the last one may be shorter.
    pub(super) fn write_block(&mut self, block: &[u8]) -> Result<(), StorageError> {
        debug_assert!(block.len() <= BLOCK_BYTES && self.length.is_multiple_of(BLOCK_BYTES as u64));
        self.file.write_all(block).map_err(StorageError::io(&self.path))?;
        self.block_checksums.push(trailer::block_checksum(block));
        if let Some(md5) = &mut self.hashers.md5 {
            md5.update(block);
        }
        self.hashers.checksums.update(block);
        self.length += block.len() as u64;
        Ok(())
    }

    /// Returns the digests of all data written, and resets the hashers: call it once, after the last block.
    pub(super) fn take_digests(&mut self) -> Digests {
        let Hashers { md5, checksums } = std::mem::take(&mut self.hashers);
        Digests { md5: md5.map(|md5| md5.finalize().into()), checksums: checksums.finalize() }
    }

    /// Returns the number of bytes written.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Returns when the upload began, in milliseconds since 1970.
    pub(super) fn stored_at_ms(&self) -> u64 {
        self.stored_at_ms
    }

    /// Writes the trailer and syncs the file. The object is not visible yet.
    pub(super) fn seal(&mut self, metadata: &ObjectMetadata) -> Result<(), StorageError> {
        let trailer =
            trailer::encode(metadata, &self.block_checksums).map_err(|error| StorageError::io(&self.path)(error.into()))?;
        self.file.write_all(&trailer).map_err(StorageError::io(&self.path))?;
        self.file.sync_all().map_err(StorageError::io(&self.path))
    }

    /// Moves the sealed file to the object's path. The caller must sync the directory.
    pub(super) fn rename(mut self, to: &Path) -> Result<(), StorageError> {
        std::fs::rename(&self.path, to).map_err(StorageError::io(to))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for UploadFile {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), "cannot remove the file of a failed upload: {error}");
        }
    }
}

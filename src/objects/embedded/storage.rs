//! The directory: maps keys to files, and orders the steps of each change so that it is atomic and durable.
//!
//! ```text
//! lock                                      locked while a process uses the directory
//! credentials.json
//! incoming/<random>                         uploads in progress
//! buckets/<bucket>/<2 digits>/<64 digits>   objects, named by the SHA-256 of their keys
//! ```
//!
//! A change holds its shard's write lock until the directory is synced, and objects are opened under the read lock. So every
//! object that a client has seen survives a power failure. All functions block.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sha2::{Digest, Sha256};

use super::index::{Index, Page, Query};
use super::object::Object;
use super::page_cache::ReadFrom;
use super::storage_error::StorageError;
use super::trailer::ObjectMetadata;
use super::upload_file::{Hashers, UploadFile};
use super::{Error, disk};

/// Number of subdirectories for objects. All are created at startup, so that no upload has to create one.
const SHARDS: usize = 256;

/// An open, locked directory.
pub(super) struct Storage {
    bucket: PathBuf,
    incoming: PathBuf,
    shards: Vec<RwLock<()>>,
    index: Index,
    /// Closing it unlocks the directory.
    _lock: File,
}

/// The precondition of a write or deletion: the required state of the current object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Any state.
    None,
    /// The object does not exist.
    Absent,
    /// The object exists.
    Present,
    /// The object exists and has this ETag.
    ETag(String),
}

/// The result of a conditional change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Not changed: the condition requires an object, and none exists.
    Missing,
    /// Not changed: an object exists that does not meet the condition.
    Conflict,
}

impl Storage {
    /// Locks the directory, creates missing subdirectories, and removes the files of unfinished uploads.
    pub(super) fn open(directory: &Path, bucket: &str) -> Result<Self, Error> {
        disk::create_directory(directory)?;
        let lock = lock(directory)?;
        let incoming = directory.join("incoming");
        disk::create_directory(&incoming)?;
        remove_files(&incoming)?;
        let bucket = directory.join("buckets").join(bucket);
        disk::create_directory(&bucket)?;
        create_shards(&bucket)?;
        Ok(Self {
            bucket,
            incoming,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: Index::default(),
            _lock: lock,
        })
    }

    /// Creates the file of an upload.
    pub(super) fn begin_upload(&self, hashers: Hashers) -> Result<UploadFile, StorageError> {
        UploadFile::create(&self.incoming, hashers)
    }

    /// Makes an upload the object with the key in `metadata`, if `condition` holds. The change is durable when this returns.
    ///
    /// If the last step, the sync of the directory, fails, either version may survive a power failure.
    pub(super) fn commit(
        &self,
        mut upload: UploadFile,
        metadata: &ObjectMetadata,
        condition: &Condition,
    ) -> Result<Outcome, StorageError> {
        // Syncing the data takes the longest, so it happens before the lock.
        upload.seal(metadata)?;
        let file = ObjectFile::of(&metadata.key);
        let path = self.path(&file);
        let _guard = self.write_lock(file.shard);
        let outcome = check(condition, &path)?;
        if outcome == Outcome::Done {
            upload.rename(&path)?;
            self.index.record(&metadata.key, true);
            self.sync_shard(file.shard)?;
        }
        Ok(outcome)
    }

    /// Opens an object; `None` if it does not exist.
    pub(super) fn find(&self, key: &str) -> Result<Option<Object>, StorageError> {
        self.find_in(key, ReadFrom::Disk)
    }

    /// Like [`Self::find`]. From the page cache, it does not wait for a writer either.
    pub(super) fn find_in(&self, key: &str, from: ReadFrom) -> Result<Option<Object>, StorageError> {
        let file = ObjectFile::of(key);
        let path = self.path(&file);
        let found = {
            let _guard = match from {
                ReadFrom::Disk => self.read_lock(file.shard),
                ReadFrom::PageCache => {
                    let guard = self.shards[usize::from(file.shard)].try_read();
                    guard.map_err(|_| StorageError::io(&path)(io::ErrorKind::WouldBlock.into()))?
                }
            };
            Object::open(&path, from)?
        };
        match found {
            Some(object) if object.metadata.key != key => {
                Err(StorageError::Damaged { path, reason: "another key in its trailer" })
            }
            found => Ok(found),
        }
    }

    /// Removes an object if `condition` holds. Without a condition, the outcome is `Done` even if no object exists.
    pub(super) fn remove(&self, key: &str, condition: &Condition) -> Result<Outcome, StorageError> {
        let file = ObjectFile::of(key);
        let _guard = self.write_lock(file.shard);
        let outcome = check(condition, &self.path(&file))?;
        if outcome == Outcome::Done && self.unlink(key, &file)? {
            self.sync_shard(file.shard)?;
        }
        Ok(outcome)
    }

    /// Removes many objects and syncs each shard once. Returns one result per key, in no particular order.
    pub(super) fn remove_all(&self, keys: Vec<String>) -> Vec<(String, Result<(), StorageError>)> {
        let mut by_shard: BTreeMap<u8, Vec<(String, ObjectFile)>> = BTreeMap::new();
        for key in keys {
            let file = ObjectFile::of(&key);
            by_shard.entry(file.shard).or_default().push((key, file));
        }
        let mut results = Vec::new();
        for (shard, keys) in by_shard {
            let _guard = self.write_lock(shard);
            let first = results.len();
            for (key, file) in keys {
                let removed = self.unlink(&key, &file).map(|_| ());
                results.push((key, removed));
            }
            if let Err(error) = self.sync_shard(shard) {
                let path = self.shard_path(shard);
                for (_, removed) in &mut results[first..] {
                    let source = match &error {
                        StorageError::Io { source, .. } => source.kind().into(),
                        StorageError::Damaged { .. } => io::ErrorKind::Other.into(),
                    };
                    *removed = Err(StorageError::io(&path)(source));
                }
            }
        }
        results
    }

    /// Returns one page of a listing. Reads every object's trailer if the index has to be built; see [`Index`].
    pub(super) fn page(&self, query: &Query) -> Result<Page, StorageError> {
        let shards: Vec<PathBuf> = (0..=u8::MAX).map(|shard| self.shard_path(shard)).collect();
        self.index.page(&shards, query)
    }

    fn unlink(&self, key: &str, file: &ObjectFile) -> Result<bool, StorageError> {
        let path = self.path(file);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                self.index.record(key, false);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StorageError::io(&path)(error)),
        }
    }

    fn sync_shard(&self, shard: u8) -> Result<(), StorageError> {
        let path = self.shard_path(shard);
        disk::sync_directory(&path).map_err(StorageError::io(&path))
    }

    fn shard_path(&self, shard: u8) -> PathBuf {
        self.bucket.join(shard_name(shard))
    }

    fn path(&self, file: &ObjectFile) -> PathBuf {
        self.shard_path(file.shard).join(&file.name)
    }

    // The locks protect no data that a panic could leave inconsistent, so poisoning is ignored.

    fn read_lock(&self, shard: u8) -> RwLockReadGuard<'_, ()> {
        self.shards[usize::from(shard)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self, shard: u8) -> RwLockWriteGuard<'_, ()> {
        self.shards[usize::from(shard)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file for a key. No byte of the key itself becomes part of the path.
pub(super) struct ObjectFile {
    pub(super) shard: u8,
    /// The SHA-256 of the key: 64 hex digits.
    pub(super) name: String,
}

impl ObjectFile {
    pub(super) fn of(key: &str) -> Self {
        let hash = Sha256::digest(key.as_bytes());
        Self { shard: hash[0], name: hex::encode(hash) }
    }
}

fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// Checks a condition. A damaged object counts as `Present` but matches no ETag: it can be replaced or removed, but not by
/// accident.
fn check(condition: &Condition, path: &Path) -> Result<Outcome, StorageError> {
    if *condition == Condition::None {
        return Ok(Outcome::Done);
    }
    let current_etag = match Object::open(path, ReadFrom::Disk) {
        Ok(None) => None,
        Ok(Some(object)) => Some(object.metadata.etag),
        Err(StorageError::Damaged { .. }) => Some(String::new()),
        Err(error) => return Err(error),
    };
    Ok(match (condition, current_etag) {
        (Condition::None, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => Outcome::Done,
        (Condition::ETag(required), Some(etag)) if *required == etag => Outcome::Done,
        (Condition::Present | Condition::ETag(_), None) => Outcome::Missing,
        (Condition::Absent | Condition::ETag(_), Some(_)) => Outcome::Conflict,
    })
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let file = disk::open_or_create(&path).map_err(disk::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DirectoryLocked { directory: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(disk::at(&path)(error)),
    }
}

fn remove_files(directory: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(directory).map_err(disk::at(directory))? {
        let path = entry.map_err(disk::at(directory))?.path();
        std::fs::remove_file(&path).map_err(disk::at(&path))?;
    }
    Ok(())
}

/// Creates the missing shards, with one sync for all of them.
fn create_shards(bucket: &Path) -> Result<(), Error> {
    let mut created = false;
    for shard in 0..=u8::MAX {
        let path = bucket.join(shard_name(shard));
        created |= disk::create_missing(&path).map_err(disk::at(&path))?;
    }
    if created {
        disk::sync_directory(bucket).map_err(disk::at(bucket))?;
    }
    Ok(())
}

//! The directory: which file an object lives in, and the order of steps that makes a change whole and lasting.
//!
//! ```text
//! lock                                      held while a process uses the directory
//! credentials.json
//! incoming/<random>                         uploads under way
//! buckets/<bucket>/<2 digits>/<64 digits>   objects, named by the SHA-256 of their keys
//! ```
//!
//! A change is made under its shard's write lock, directory sync included, and objects are opened under the read
//! lock: so what anybody was shown, or was told exists, outlives a power cut. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use s3s::checksum::ChecksumHasher;
use sha2::{Digest, Sha256};

use super::draft::Draft;
use super::index::{Index, Page, Query};
use super::object::Object;
use super::trailer::Description;
use super::{Error, disk};

/// Folders that the objects are spread over: all made at start, so that no upload has to.
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

/// What a change asks of the object that is there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// There is one with this MD5 in hex.
    Md5(String),
}

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// There is no object, and the condition asks for one.
    Missing,
    /// There is an object, and it is not what the condition asks for.
    Conflict,
}

/// Why the storage could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StorageError {
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged: it has {reason}", path.display())]
    Damaged { path: PathBuf, reason: &'static str },
}

impl StorageError {
    /// Names the path in an error.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl Storage {
    /// Locks the directory, makes what is missing in it, and removes what unfinished uploads left.
    pub(super) fn open(directory: &Path, bucket: &str) -> Result<Self, Error> {
        disk::make_directory(directory)?;
        let lock = lock(directory)?;
        let incoming = directory.join("incoming");
        disk::make_directory(&incoming)?;
        remove_files(&incoming)?;
        let bucket = directory.join("buckets").join(bucket);
        disk::make_directory(&bucket)?;
        make_shards(&bucket)?;
        Ok(Self {
            bucket,
            incoming,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: Index::default(),
            _lock: lock,
        })
    }

    /// An empty upload, which takes the checksums that `hasher` is set up for.
    pub(super) fn draft(&self, hasher: ChecksumHasher) -> Result<Draft, StorageError> {
        Draft::create(&self.incoming, hasher)
    }

    /// Makes a draft the object of its description's key, if `condition` holds. On the disk when this returns.
    ///
    /// After an error from the last step, the directory's sync, either version may survive a power cut.
    pub(super) fn commit(
        &self,
        mut draft: Draft,
        description: &Description,
        condition: &Condition,
    ) -> Result<Outcome, StorageError> {
        // The long part, before the lock: the data's own sync.
        draft.seal(description)?;
        let place = Place::of(&description.key);
        let path = self.path(&place);
        let _changing = self.write_lock(place.shard);
        let outcome = check(condition, &path)?;
        if outcome == Outcome::Done {
            draft.rename(&path)?;
            self.index.note(&description.key, true);
            self.sync_shard(place.shard)?;
        }
        Ok(outcome)
    }

    /// Opens an object; `None` when there is none.
    pub(super) fn find(&self, key: &str) -> Result<Option<Object>, StorageError> {
        let place = Place::of(key);
        let path = self.path(&place);
        let found = {
            let _reading = self.read_lock(place.shard);
            Object::open(&path)?
        };
        match found {
            Some(object) if object.description.key != key => {
                Err(StorageError::Damaged { path, reason: "another key in its trailer" })
            }
            found => Ok(found),
        }
    }

    /// Removes an object, if `condition` holds; `Done` too when there was none and the condition does not ask.
    pub(super) fn remove(&self, key: &str, condition: &Condition) -> Result<Outcome, StorageError> {
        let place = Place::of(key);
        let _changing = self.write_lock(place.shard);
        let outcome = check(condition, &self.path(&place))?;
        if outcome == Outcome::Done && self.unlink(key, &place)? {
            self.sync_shard(place.shard)?;
        }
        Ok(outcome)
    }

    /// Removes many objects, each shard synced once. One result a key, in no particular order.
    pub(super) fn remove_all(&self, keys: Vec<String>) -> Vec<(String, Result<(), StorageError>)> {
        let mut by_shard: BTreeMap<u8, Vec<(String, Place)>> = BTreeMap::new();
        for key in keys {
            let place = Place::of(&key);
            by_shard.entry(place.shard).or_default().push((key, place));
        }
        let mut results = Vec::new();
        for (shard, keys) in by_shard {
            let _changing = self.write_lock(shard);
            let first = results.len();
            for (key, place) in keys {
                let removed = self.unlink(&key, &place).map(|_| ());
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

    /// One page of a listing. The first after a while reads every object's trailer; see [`Index`].
    pub(super) fn page(&self, query: &Query) -> Result<Page, StorageError> {
        let shards: Vec<PathBuf> = (0..=u8::MAX).map(|shard| self.shard_path(shard)).collect();
        self.index.page(&shards, query)
    }

    fn unlink(&self, key: &str, place: &Place) -> Result<bool, StorageError> {
        let path = self.path(place);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                self.index.note(key, false);
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

    fn path(&self, place: &Place) -> PathBuf {
        self.shard_path(place.shard).join(&place.name)
    }

    // The locks guard no data that a panic could leave half-made, so a poisoned one is as good as another.

    fn read_lock(&self, shard: u8) -> RwLockReadGuard<'_, ()> {
        self.shards[usize::from(shard)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self, shard: u8) -> RwLockWriteGuard<'_, ()> {
        self.shards[usize::from(shard)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a key's object lives. No byte of the key itself gets into a path.
pub(super) struct Place {
    pub(super) shard: u8,
    /// 64 hex digits.
    pub(super) name: String,
}

impl Place {
    pub(super) fn of(key: &str) -> Self {
        let hash = Sha256::digest(key.as_bytes());
        Self { shard: hash[0], name: hex::encode(hash) }
    }
}

fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// A damaged object satisfies `Present` and no MD5: it may be replaced or removed, but not by accident.
fn check(condition: &Condition, path: &Path) -> Result<Outcome, StorageError> {
    if *condition == Condition::None {
        return Ok(Outcome::Done);
    }
    let there = match Object::open(path) {
        Ok(None) => None,
        Ok(Some(object)) => Some(object.description.md5),
        Err(StorageError::Damaged { .. }) => Some(String::new()),
        Err(error) => return Err(error),
    };
    Ok(match (condition, there) {
        (Condition::None, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => Outcome::Done,
        (Condition::Md5(wanted), Some(md5)) if *wanted == md5 => Outcome::Done,
        (Condition::Present | Condition::Md5(_), None) => Outcome::Missing,
        (Condition::Absent | Condition::Md5(_), Some(_)) => Outcome::Conflict,
    })
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(disk::at(&path))?;
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

/// Makes the shards that are missing, with one sync for all of them.
fn make_shards(bucket: &Path) -> Result<(), Error> {
    let mut made = false;
    for shard in 0..=u8::MAX {
        let path = bucket.join(shard_name(shard));
        match std::fs::create_dir(&path) {
            Ok(()) => made = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(disk::at(&path)(error)),
        }
    }
    if made {
        disk::sync_directory(bucket).map_err(disk::at(bucket))?;
    }
    Ok(())
}

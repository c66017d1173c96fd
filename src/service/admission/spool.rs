//! The spool: temporary files for bodies that arrive while no memory is free.
//!
//! Files have no name, so a killed process leaves nothing behind. Disk space has its own budget, of which one caller holds at
//! most half. All disk access runs on blocking threads, and only a few at a time, so that a hanging disk cannot occupy the
//! threads that decode.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::BudgetUsage;
use super::fair_queue::{Amount, FairQueue, Permit, Turn};
use crate::service::error::Error;

/// The spool directory and its limits.
#[derive(Debug, Clone)]
pub struct SpoolLimits {
    /// 0 disables spilling.
    pub disk_bytes: u64,
    pub directory: PathBuf,
}

#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    disk: FairQueue,
    /// Held while reading or writing.
    io_slots: Arc<Semaphore>,
    has_warned: AtomicBool,
}

/// Concurrent reads and writes.
const MAX_CONCURRENT_IO: usize = 8;

/// A file without a name. Its disk space is released when it is dropped.
#[derive(Debug)]
pub struct SpoolFile {
    /// `None` while a thread uses it.
    open_file: Option<OpenFile>,
    io_slots: Arc<Semaphore>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    // Dropped after the file.
    space: Permit,
}

impl Spool {
    /// One caller may always hold `largest_file_bytes` on disk, even if half of the budget is less.
    pub fn new(limits: &SpoolLimits, largest_file_bytes: u64) -> Self {
        let max_per_caller_bytes = (limits.disk_bytes / 2).max(largest_file_bytes);
        Self {
            directory: limits.directory.clone(),
            disk: FairQueue::with_max_per_key(Amount::bytes(limits.disk_bytes), Amount::bytes(max_per_caller_bytes)),
            io_slots: Arc::new(Semaphore::new(MAX_CONCURRENT_IO)),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Reserves space for arriving bytes, if some is free.
    pub fn try_acquire(&self, turn: &Turn, bytes: u64) -> Option<Permit> {
        self.disk.try_acquire(turn, Amount::bytes(bytes))
    }

    /// Waits without a time limit for space for arriving bytes.
    pub async fn acquire(&self, turn: &Turn, bytes: u64) -> Permit {
        self.disk.acquire(turn, Amount::bytes(bytes)).await
    }

    pub fn in_use(&self) -> BudgetUsage {
        BudgetUsage::of(&self.disk)
    }

    /// Creates a file. Returns `None` if the directory does not permit it, which is logged once.
    ///
    /// # Errors
    /// The blocking task failed.
    pub async fn create(&self, space: Permit) -> Result<Option<SpoolFile>, Error> {
        let directory = self.directory.clone();
        match run_blocking(&self.io_slots, move || create_in(&directory)).await? {
            Ok(file) => Ok(Some(SpoolFile { open_file: Some(OpenFile { file, space }), io_slots: Arc::clone(&self.io_slots) })),
            Err(error) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    let directory = self.directory.display();
                    tracing::warn!(
                        %directory,
                        "failed to create a temporary file in UPLOAD_DISK_DIR, so uploads wait for memory: {error}"
                    );
                }
                Ok(None)
            }
        }
    }
}

fn create_in(directory: &Path) -> std::io::Result<File> {
    match tempfile::tempfile_in(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The files are private images of users.
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            tempfile::tempfile_in(directory)
        }
        created => created,
    }
}

impl SpoolFile {
    /// Takes over more space.
    pub fn grow(&mut self, space: Permit) {
        if let Some(open_file) = &mut self.open_file {
            open_file.space.absorb(space);
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The write failed, for example because the disk is full.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut open_file = self.open_file.take().ok_or_else(|| Error::internal("a temporary file was used after an error"))?;
        let writing = run_blocking(&self.io_slots, move || {
            let written = open_file.file.write_all(&bytes);
            (open_file, written)
        });
        let (open_file, written) = writing.await?;
        self.open_file = Some(open_file);
        written.map_err(|error| disk_error("write", &error))
    }

    /// Reads the whole file; memory for it must be reserved.
    ///
    /// # Errors
    /// The read failed, or the file is shorter than what was written.
    pub async fn read_back(mut self, length: u64) -> Result<Bytes, Error> {
        let mut open_file = self.open_file.take().ok_or_else(|| Error::internal("a temporary file was used after an error"))?;
        let reading = run_blocking(&self.io_slots, move || {
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            open_file.file.seek(SeekFrom::Start(0))?;
            Read::by_ref(&mut open_file.file).take(length).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        });
        let bytes = reading.await?.map_err(|error| disk_error("read", &error))?;
        if bytes.len() as u64 == length {
            Ok(bytes.into())
        } else {
            Err(Error::internal("a temporary file is shorter than what was written"))
        }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // Freeing a large file takes time.
        if let (Some(open_file), Ok(runtime)) = (self.open_file.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(open_file));
        }
    }
}

/// A full disk is not the client's fault, and may have space again soon.
fn disk_error(what: &str, error: &std::io::Error) -> Error {
    tracing::error!("failed to {what} an upload's temporary file in UPLOAD_DISK_DIR: {error}");
    Error::Overloaded { retry_after: RETRY_AFTER }
}

const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

async fn run_blocking<T: Send + 'static>(
    threads: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let permit = Arc::clone(threads).acquire_owned().await.map_err(Error::internal)?;
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    working.await.map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::service::admission::fair_queue::{Class, TurnKey};

    fn turn() -> Turn {
        Turn::new(TurnKey::Network("192.0.2.1".parse().unwrap()), Class::Request)
    }

    fn spool(directory: PathBuf) -> Spool {
        Spool::new(&SpoolLimits { disk_bytes: 1000, directory }, 100)
    }

    #[tokio::test]
    async fn a_file_returns_what_was_written_and_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path().join("deep/spool"));
        let mut file = spool.create(spool.try_acquire(&turn(), 5).unwrap()).await.unwrap().unwrap();
        file.append(Bytes::from_static(b"hello")).await.unwrap();
        file.grow(spool.try_acquire(&turn(), 6).unwrap());
        file.append(Bytes::from_static(b" world")).await.unwrap();
        assert_eq!(spool.in_use().in_use_bytes, 11);
        assert_eq!(std::fs::read_dir(&spool.directory).unwrap().count(), 0);
        assert_eq!(std::fs::metadata(&spool.directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(file.read_back(11).await.unwrap(), "hello world");
        assert_eq!(spool.in_use().in_use_bytes, 0);
    }

    #[tokio::test]
    async fn a_directory_that_is_not_writable_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let spool = spool(file.join("spool"));
        for _ in 0..2 {
            assert!(spool.create(spool.try_acquire(&turn(), 5).unwrap()).await.unwrap().is_none());
        }
        assert_eq!(spool.in_use().in_use_bytes, 0);
        assert!(spool.has_warned.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_full_disk_is_reported_as_overloaded() {
        let space = spool(PathBuf::new()).try_acquire(&turn(), 5).unwrap();
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut file = SpoolFile { open_file: Some(OpenFile { file, space }), io_slots: Arc::new(Semaphore::new(1)) };
        assert!(matches!(file.append(Bytes::from_static(b"hello")).await, Err(Error::Overloaded { .. })));
    }
}

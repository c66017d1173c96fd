//! An index of the keys in order, for listings: files are named by hashes, so their order is meaningless.
//!
//! Only an operator's check lists objects. So the first listing builds the index from the trailers of all files, every later
//! change updates it, and the first change after a period without listings drops it. The index takes about 100 bytes per object
//! plus the key, in memory only, and costs nothing at startup.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::object::Object;
use super::page_cache::ReadFrom;
use super::storage_error::StorageError;

/// An index that was not used for this time is dropped: between an operator's listings, memory is worth more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Opening files is mostly waiting for the disk, which handles several requests in parallel.
const SCAN_THREADS: usize = 4;

/// The parameters of a listing. Keys are sorted by their UTF-8 bytes, as in S3.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Keys that contain this after the prefix are grouped into common prefixes; empty for no grouping.
    pub(super) delimiter: String,
    pub(super) after: StartAfter,
    /// Maximum number of keys and common prefixes on a page.
    pub(super) limit: usize,
}

/// The position after which a page starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum StartAfter {
    #[default]
    Beginning,
    Key(String),
    /// After all keys that begin with this prefix.
    CommonPrefix(String),
}

/// One page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) common_prefixes: Vec<String>,
    /// The position of the next page; `None` on the last page.
    pub(super) next: Option<StartAfter>,
}

/// The index, which exists only while it is in use.
#[derive(Default)]
pub(super) struct Index {
    state: Mutex<State>,
    /// Held while the files are scanned, so that concurrent listings scan them only once.
    scanning: Mutex<()>,
}

#[derive(Default)]
enum State {
    #[default]
    Absent,
    /// The changes since the scan began, oldest first. They override the result of the scan.
    Scanning(Vec<(String, bool)>),
    Ready {
        keys: BTreeSet<String>,
        used: Instant,
    },
}

impl Index {
    /// Records that a key now exists or not. Call it while holding the write lock of the key's shard.
    pub(super) fn record(&self, key: &str, present: bool) {
        let mut state = self.lock();
        match &mut *state {
            State::Absent => {}
            State::Scanning(changes) => changes.push((key.to_owned(), present)),
            State::Ready { used, .. } if used.elapsed() > IDLE_TIMEOUT => *state = State::Absent,
            State::Ready { keys, .. } => apply(keys, key.to_owned(), present),
        }
    }

    /// Returns one page. Scans all `directories` first if the index does not exist.
    pub(super) fn page(&self, directories: &[PathBuf], query: &Query) -> Result<Page, StorageError> {
        if let Some(page) = self.page_if_ready(query) {
            return Ok(page);
        }
        let _scanning = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = self.page_if_ready(query) {
            return Ok(page);
        }
        *self.lock() = State::Scanning(Vec::new());
        let found = scan(directories);
        let mut state = self.lock();
        let changes = match std::mem::take(&mut *state) {
            State::Scanning(changes) => changes,
            State::Absent | State::Ready { .. } => Vec::new(),
        };
        let mut keys = found?;
        for (key, present) in changes {
            apply(&mut keys, key, present);
        }
        let page = select(&keys, query);
        *state = State::Ready { keys, used: Instant::now() };
        Ok(page)
    }

    fn page_if_ready(&self, query: &Query) -> Option<Page> {
        match &mut *self.lock() {
            State::Ready { keys, used } => {
                *used = Instant::now();
                Some(select(keys, query))
            }
            State::Absent | State::Scanning(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(keys: &mut BTreeSet<String>, key: String, present: bool) {
    if present {
        keys.insert(key);
    } else {
        keys.remove(&key);
    }
}

/// Reads the key in every file's trailer. Damaged files are logged and skipped: their key cannot be trusted.
fn scan(directories: &[PathBuf]) -> Result<BTreeSet<String>, StorageError> {
    let share = directories.len().div_ceil(SCAN_THREADS).max(1);
    let mut keys = BTreeSet::new();
    std::thread::scope(|scope| {
        let readers: Vec<_> = directories.chunks(share).map(|share| scope.spawn(|| scan_share(share))).collect();
        for reader in readers {
            let found = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            keys.extend(found);
        }
        Ok(keys)
    })
}

fn scan_share(directories: &[PathBuf]) -> Result<Vec<String>, StorageError> {
    let mut keys = Vec::new();
    for directory in directories {
        for entry in std::fs::read_dir(directory).map_err(StorageError::io(directory))? {
            let path = entry.map_err(StorageError::io(directory))?.path();
            match Object::open(&path, ReadFrom::Disk) {
                Ok(Some(object)) => keys.push(object.metadata.key),
                Ok(None) => {}
                Err(error @ StorageError::Damaged { .. }) => tracing::error!("skipping an object in a listing: {error}"),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(keys)
}

fn select(keys: &BTreeSet<String>, query: &Query) -> Page {
    let mut page = Page::default();
    if query.limit == 0 {
        return page;
    }
    let mut start = match &query.after {
        StartAfter::Beginning => Bound::Included(query.prefix.clone()),
        StartAfter::Key(key) if *key < query.prefix => Bound::Included(query.prefix.clone()),
        StartAfter::Key(key) => Bound::Excluded(key.clone()),
        StartAfter::CommonPrefix(prefix) => after_prefix(prefix),
    };
    let mut last = StartAfter::Beginning;
    while let Some(key) = keys.range((start, Bound::Unbounded)).next() {
        let Some(rest) = key.strip_prefix(&query.prefix) else {
            // A key before the prefix: the page started early. Otherwise all keys with the prefix are done.
            if *key < query.prefix {
                start = Bound::Included(query.prefix.clone());
                continue;
            }
            break;
        };
        if page.keys.len() + page.common_prefixes.len() == query.limit {
            page.next = Some(last);
            break;
        }
        let delimiter_at = if query.delimiter.is_empty() { None } else { rest.find(&query.delimiter) };
        if let Some(at) = delimiter_at {
            let common_prefix = key[..query.prefix.len() + at + query.delimiter.len()].to_owned();
            start = after_prefix(&common_prefix);
            last = StartAfter::CommonPrefix(common_prefix.clone());
            page.common_prefixes.push(common_prefix);
        } else {
            start = Bound::Excluded(key.clone());
            last = StartAfter::Key(key.clone());
            page.keys.push(key.clone());
        }
    }
    page
}

/// Returns the bound after all strings that begin with `prefix`.
fn after_prefix(prefix: &str) -> Bound<String> {
    // The first string after them is the prefix with its last character incremented, or removed if it is the highest character.
    let mut text = prefix.to_owned();
    while let Some(character) = text.pop() {
        let code = u32::from(character) + 1;
        // U+D800 to U+DFFF are surrogates, not characters: continue with U+E000.
        let code = if code == 0xD800 { 0xE000 } else { code };
        if let Some(next) = char::from_u32(code) {
            text.push(next);
            return Bound::Included(text);
        }
    }
    // The prefix consists of the highest character only: start after the highest string that can be a key.
    Bound::Excluded(char::MAX.to_string().repeat(256))
}

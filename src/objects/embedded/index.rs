//! The keys in order, for listings: files are named by hashes, so their order says nothing.
//!
//! Only an operator's check lists, so the index is made by the first listing, from the trailers of all files, kept
//! true by every change after that, and dropped by the first change when no listing came for a while. It
//! costs about 100 bytes an object plus its key while it is there; nothing at start, nothing on the disk.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::object::Object;
use super::storage::StorageError;

/// Between an operator's listings, the memory is worth more than the index.
const KEPT_UNUSED: Duration = Duration::from_secs(10 * 60);

/// Opening a file is mostly waiting for the disk, which likes to be asked several things at once.
const SCAN_THREADS: usize = 4;

/// Which keys a listing wants. Order is that of the keys' UTF-8 bytes, as in S3.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Keys that go on after the prefix and then have this are folded into one name; empty: none are.
    pub(super) delimiter: String,
    pub(super) after: After,
    /// The most names of a page, keys and folded ones together.
    pub(super) limit: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum After {
    #[default]
    Nothing,
    Key(String),
    /// After all the keys that begin so.
    Folded(String),
}

/// One page of names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) folded: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub(super) next: Option<After>,
}

/// The index, if it is there.
#[derive(Default)]
pub(super) struct Index {
    state: Mutex<State>,
    /// Held while the files are read, so that two listings do not both do it.
    scanning: Mutex<()>,
}

#[derive(Default)]
enum State {
    #[default]
    Absent,
    /// The changes since the scan began, in the order of their making: they win over what it found.
    Scanning(Vec<(String, bool)>),
    Ready {
        keys: BTreeSet<String>,
        used: Instant,
    },
}

impl Index {
    /// Notes that a key now is, or is not. Call it while the key's shard is locked for writing.
    pub(super) fn note(&self, key: &str, present: bool) {
        let mut state = self.lock();
        match &mut *state {
            State::Absent => {}
            State::Scanning(changes) => changes.push((key.to_owned(), present)),
            State::Ready { used, .. } if used.elapsed() > KEPT_UNUSED => *state = State::Absent,
            State::Ready { keys, .. } => apply(keys, key.to_owned(), present),
        }
    }

    /// One page, from the index or, when there is none, after reading all of `folders`.
    pub(super) fn page(&self, folders: &[PathBuf], query: &Query) -> Result<Page, StorageError> {
        if let Some(page) = self.page_if_ready(query) {
            return Ok(page);
        }
        let _scanning = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = self.page_if_ready(query) {
            return Ok(page);
        }
        *self.lock() = State::Scanning(Vec::new());
        let found = scan(folders);
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

/// Reads the key in every file's trailer. A damaged file has no key that could be trusted: it is logged and left out.
fn scan(folders: &[PathBuf]) -> Result<BTreeSet<String>, StorageError> {
    let share = folders.len().div_ceil(SCAN_THREADS).max(1);
    let mut keys = BTreeSet::new();
    std::thread::scope(|scope| {
        let readers: Vec<_> = folders.chunks(share).map(|share| scope.spawn(|| scan_share(share))).collect();
        for reader in readers {
            let found = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            keys.extend(found);
        }
        Ok(keys)
    })
}

fn scan_share(folders: &[PathBuf]) -> Result<Vec<String>, StorageError> {
    let mut keys = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).map_err(StorageError::io(folder))? {
            let path = entry.map_err(StorageError::io(folder))?.path();
            match Object::open(&path) {
                Ok(Some(object)) => keys.push(object.description.key),
                Ok(None) => {}
                Err(error @ StorageError::Damaged { .. }) => tracing::error!("left out of a listing: {error}"),
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
        After::Nothing => Bound::Included(query.prefix.clone()),
        After::Key(key) if *key < query.prefix => Bound::Included(query.prefix.clone()),
        After::Key(key) => Bound::Excluded(key.clone()),
        After::Folded(folded) => past(folded),
    };
    let mut last = After::Nothing;
    while let Some(key) = keys.range((start, Bound::Unbounded)).next() {
        let Some(rest) = key.strip_prefix(&query.prefix) else {
            // Before the prefix when a page began early, past its last key otherwise.
            if *key < query.prefix {
                start = Bound::Included(query.prefix.clone());
                continue;
            }
            break;
        };
        if page.keys.len() + page.folded.len() == query.limit {
            page.next = Some(last);
            break;
        }
        let folds = if query.delimiter.is_empty() { None } else { rest.find(&query.delimiter) };
        if let Some(at) = folds {
            let folded = key[..query.prefix.len() + at + query.delimiter.len()].to_owned();
            start = past(&folded);
            last = After::Folded(folded.clone());
            page.folded.push(folded);
        } else {
            start = Bound::Excluded(key.clone());
            last = After::Key(key.clone());
            page.keys.push(key.clone());
        }
    }
    page
}

/// The bound after every string that begins with `folded`.
fn past(folded: &str) -> Bound<String> {
    // The next string that is not a continuation: the last character raised by one, or dropped if there is none higher.
    let mut text = folded.to_owned();
    while let Some(character) = text.pop() {
        let code = u32::from(character) + 1;
        // U+D800 to U+DFFF are no characters; the next one is U+E000.
        let code = if code == 0xD800 { 0xE000 } else { code };
        if let Some(next) = char::from_u32(code) {
            text.push(next);
            return Bound::Included(text);
        }
    }
    // Nothing but highest characters: past it is past the highest string that can be a key.
    Bound::Excluded(char::MAX.to_string().repeat(256))
}

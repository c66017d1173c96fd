//! A cache of objects in memory, bounded by its size.
//!
//! The bytes of an object never change, so a cached object is never outdated. The service checks for each request whether the
//! client may have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Objects above this fraction of the cache are not cached: a few of them would drive out everything else.
const MAX_OBJECT_SHARE: u64 = 32;

/// The number of objects that are read into memory concurrently, to be cached.
const MAX_FILLING: usize = 8;

/// What an entry takes besides its key and its bytes, approximately.
const ENTRY_BYTES: u64 = 128;

/// Bytes per segment of a cached object.
const SEGMENT_BYTES: usize = 256 << 10;

/// The typical size of a cached object, for the initial size of the table, which grows if needed.
const TYPICAL_BYTES: u64 = 16 << 10;

#[derive(Debug)]
pub(super) struct ObjectCache {
    /// `None` if caching is off.
    objects: Option<Cache<String, CachedObject, BySize>>,
    max_bytes: u64,
    filling: Arc<Semaphore>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The use of the cache, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct CacheUse {
    pub used_bytes: u64,
    pub max_bytes: u64,
    pub hits: u64,
    pub misses: u64,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<String, CachedObject> for BySize {
    fn weight(&self, key: &String, object: &CachedObject) -> u64 {
        ENTRY_BYTES + key.len() as u64 + object.length()
    }
}

/// An object in memory, in segments that are freed separately: a slice of one does not keep the others in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CachedObject {
    /// All but the last have [`SEGMENT_BYTES`].
    segments: Arc<[Bytes]>,
    length: usize,
}

impl CachedObject {
    /// Splits an object, which copies it if it has more than one segment.
    fn new(bytes: Bytes) -> Self {
        let length = bytes.len();
        let segments: Arc<[Bytes]> = match length {
            0..=SEGMENT_BYTES => [bytes].into(),
            _ => bytes.chunks(SEGMENT_BYTES).map(Bytes::copy_from_slice).collect(),
        };
        Self { segments, length }
    }

    pub fn length(&self) -> u64 {
        self.length as u64
    }

    /// Returns the bytes from `start` to the end of their segment; empty after the end of the object.
    pub fn rest_of_segment(&self, start: u64) -> Bytes {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let segment = self.segments.get(start / SEGMENT_BYTES);
        segment.map(|segment| segment.slice((start % SEGMENT_BYTES).min(segment.len())..)).unwrap_or_default()
    }
}

impl ObjectCache {
    /// Creates a cache of `max_bytes`; 0 turns caching off.
    pub fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        let objects = (max_bytes > 0).then(|| Cache::with_weighter(entries, max_bytes, BySize));
        Self {
            objects,
            max_bytes,
            filling: Arc::new(Semaphore::new(MAX_FILLING)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Returns a permit to read an object of this size into memory, if it is small enough for the cache and few others are being
    /// read.
    pub fn begin_fill(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if self.accepts(bytes) { Arc::clone(&self.filling).try_acquire_owned().ok() } else { None }
    }

    fn accepts(&self, bytes: u64) -> bool {
        bytes <= self.max_bytes / MAX_OBJECT_SHARE
    }

    pub fn get(&self, key: &str) -> Option<CachedObject> {
        let found = self.objects.as_ref()?.get(key);
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Like [`ObjectCache::get`], but counts as neither a hit nor a miss.
    pub fn peek(&self, key: &str) -> Option<CachedObject> {
        self.objects.as_ref()?.get(key)
    }

    /// Adds an object, which may evict others. The cache keeps the whole allocation of `bytes`.
    pub fn insert(&self, key: &str, bytes: Bytes) {
        if let Some(objects) = self.objects.as_ref().filter(|_| self.accepts(bytes.len() as u64)) {
            objects.insert(key.to_owned(), CachedObject::new(bytes));
        }
    }

    pub fn remove(&self, key: &str) {
        if let Some(objects) = &self.objects {
            objects.remove(key);
        }
    }

    pub fn in_use(&self) -> CacheUse {
        CacheUse {
            used_bytes: self.objects.as_ref().map_or(0, Cache::weight),
            max_bytes: self.max_bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_size_and_keeps_what_is_requested_often() {
        let cache = ObjectCache::new(8 << 20);
        cache.insert("popular", Bytes::from(vec![7; 100 << 10]));
        for number in 0..10_000_u32 {
            assert!(cache.get("popular").is_some(), "evicted after {number} objects");
            cache.insert(&format!("object {number}"), Bytes::from(vec![0; 20 << 10]));
            assert!(cache.in_use().used_bytes <= 8 << 20);
        }
        assert!(cache.in_use().used_bytes > 4 << 20);
        assert_eq!((cache.in_use().hits, cache.in_use().misses), (10_000, 0));
        let kept = (0..10_000).filter(|number| cache.get(&format!("object {number}")).is_some()).count();
        assert!((200..410).contains(&kept), "{kept} of the others");
    }

    #[test]
    fn large_and_removed_objects_are_not_cached_and_a_cache_of_0_bytes_is_off() {
        let cache = ObjectCache::new(8 << 20);
        cache.insert("large", Bytes::from(vec![0; (256 << 10) + 1]));
        cache.insert("removed", Bytes::from_static(b"bytes"));
        cache.remove("removed");
        assert!(cache.get("large").is_none() && cache.get("removed").is_none());
        assert_eq!(cache.in_use().used_bytes, 0);
        let off = ObjectCache::new(0);
        off.insert("key", Bytes::new());
        assert!(off.get("key").is_none() && off.in_use().misses == 0);
    }

    #[test]
    fn a_slice_of_a_large_object_keeps_only_its_segment_in_memory() {
        let data: Bytes = (0..600_000_u32).map(|place| place as u8).collect();
        let object = CachedObject::new(data.clone());
        let mut read = Vec::new();
        while read.len() < data.len() {
            read.extend_from_slice(&object.rest_of_segment(read.len() as u64));
        }
        assert_eq!(read, data);
        let slice = object.rest_of_segment(SEGMENT_BYTES as u64 + 7);
        let expected = &data[SEGMENT_BYTES + 7..2 * SEGMENT_BYTES];
        assert_eq!(slice, expected);
        let segments: Vec<usize> = object.segments.iter().map(Bytes::len).collect();
        assert_eq!(segments, [SEGMENT_BYTES, SEGMENT_BYTES, 600_000 - 2 * SEGMENT_BYTES]);
        for beyond in [600_000, 786_432, u64::MAX] {
            assert!(object.rest_of_segment(beyond).is_empty(), "{beyond}");
        }
    }
}

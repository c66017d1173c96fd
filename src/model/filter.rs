//! Filters of image lists.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::caller::UserId;
use super::id::CollectionId;
use super::tag::Tag;

/// A filter. All conditions must hold; an empty filter matches every image that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    pub user_id: Option<UserId>,
    /// Only images that have all of these tags.
    pub tags: Vec<Tag>,
    /// Only images in this collection.
    pub collection: Option<CollectionId>,
    /// Only images created at or after this time.
    pub start: Option<DateTime<Utc>>,
    /// Only images created at or before this time.
    pub end: Option<DateTime<Utc>>,
}

/// A list covers one or two parts, each of which has its own indexes and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Public images.
    Public,
    /// Private images of this user, which only this user sees.
    PrivateOf(UserId),
}

/// A set that a filter requires images to be in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    Tag(Tag),
    Collection(CollectionId),
}

/// How one part of a list is searched: images are read from the first set and looked up in the others, so the first set should be
/// the smallest. Without sets, all images of the part are scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    pub part: Part,
    pub sets: Vec<Set>,
}

impl ImageFilter {
    /// Returns the sets that images must all be in.
    pub fn sets(&self) -> Vec<Set> {
        self.tags.iter().cloned().map(Set::Tag).chain(self.collection.map(Set::Collection)).collect()
    }

    /// Returns the parts that contain what `viewer` sees of this list.
    pub fn parts(&self, viewer: Option<&UserId>) -> Vec<Part> {
        let own = viewer.filter(|viewer| self.user_id.as_ref().is_none_or(|user| user == *viewer));
        std::iter::once(Part::Public).chain(own.cloned().map(Part::PrivateOf)).collect()
    }

    /// Returns a hash that is equal for filters that select the same images, whatever the order of their tags. It binds a page
    /// token to its filter.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut tags: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
        tags.sort_unstable();
        let mut hash = Sha256::new();
        // Neither user ids nor tags can contain a NUL or a comma, so this text is unambiguous.
        hash.update(self.user_id.as_ref().map_or("", UserId::as_str));
        hash.update("\0");
        hash.update(tags.join(","));
        // Hashed only if present, so that page tokens from before collections existed stay valid.
        if let Some(collection) = self.collection {
            hash.update("\0");
            hash.update(collection.uuid().as_bytes());
        }
        for time in [self.start, self.end] {
            hash.update("\0");
            hash.update(time.map_or_else(String::new, |time| time.to_rfc3339()));
        }
        hash.finalize().into()
    }
}

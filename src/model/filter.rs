//! Which images a list shows.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::caller::UserId;
use super::id::CollectionId;
use super::tag::Tag;

/// All conditions must hold; an empty filter is every image that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    pub user_id: Option<UserId>,
    /// Images that have all of these.
    pub tags: Vec<Tag>,
    /// Images that are in this one.
    pub collection: Option<CollectionId>,
    /// Created at or after.
    pub start: Option<DateTime<Utc>>,
    /// Created at or before.
    pub end: Option<DateTime<Utc>>,
}

/// The images that a list shows are of one or two parts, each of which has indexes and counters of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What anybody sees.
    Public,
    /// What this user alone sees.
    PrivateOf(UserId),
}

/// What a filter asks images to be in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    Tag(Tag),
    Collection(CollectionId),
}

/// How a part of a list is searched: its images are taken from the first set, and looked up in the others. So the first should be
/// the one with the fewest; without any, all of the part's images are looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    pub part: Part,
    pub sets: Vec<Set>,
}

impl ImageFilter {
    /// The sets that images must all be in.
    pub fn sets(&self) -> Vec<Set> {
        self.tags.iter().cloned().map(Set::Tag).chain(self.collection.map(Set::Collection)).collect()
    }

    /// The parts that may hold what `viewer` sees of this list.
    pub fn parts(&self, viewer: Option<&UserId>) -> Vec<Part> {
        let own = viewer.filter(|viewer| self.user_id.as_ref().is_none_or(|user| user == *viewer));
        std::iter::once(Part::Public).chain(own.cloned().map(Part::PrivateOf)).collect()
    }

    /// Equal for filters that select the same images, whatever the order of their tags; binds a page token to its filter.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut tags: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
        tags.sort_unstable();
        let mut hash = Sha256::new();
        // Neither user ids nor tags can contain a NUL or a comma, so this text is unambiguous.
        hash.update(self.user_id.as_ref().map_or("", UserId::as_str));
        hash.update("\0");
        hash.update(tags.join(","));
        // Lists of before there were collections keep their page tokens.
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

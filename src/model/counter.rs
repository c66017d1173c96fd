//! Which counters an image moves. They make `total_count` exact without counting rows.
//!
//! A counter is spread over slots, so that no row is hot under concurrent uploads; the slot comes from the image's id,
//! so that what adds an image and what takes it away again move the same row, and every row stays the true number of
//! the live images of its slot.

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::id::ImageId;
use super::image::Image;
use super::tag::Tag;

/// One counted set of live images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    pub kind: CounterKind,
    /// Which one of its kind: a user, a tag, a day; empty for the one of all images.
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterKind {
    /// All images.
    All,
    /// Images of a UTC day, for lists by date.
    Day,
    /// Images ever uploaded, deleted ones too; never taken back. For statistics.
    Stored,
    /// Microseconds ever spent on processing; never taken back. For statistics.
    ProcessingMicros,
    Tag,
    User,
    UserTag,
}

impl CounterKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Day => "day",
            Self::Stored => "stored",
            Self::ProcessingMicros => "processing_us",
            Self::Tag => "tag",
            Self::User => "user",
            Self::UserTag => "user_tag",
        }
    }
}

impl Counter {
    /// Rows that a counter is spread over.
    pub const SLOTS: u8 = 8;

    pub fn all() -> Self {
        Self { kind: CounterKind::All, key: String::new() }
    }

    pub fn day(time: DateTime<Utc>) -> Self {
        Self { kind: CounterKind::Day, key: time.format("%Y-%m-%d").to_string() }
    }

    pub fn user(user: &UserId) -> Self {
        Self { kind: CounterKind::User, key: user.to_string() }
    }

    pub fn tag(tag: &Tag) -> Self {
        Self { kind: CounterKind::Tag, key: tag.to_string() }
    }

    /// A user id has no comma, so the key is unambiguous.
    pub fn user_tag(user: &UserId, tag: &Tag) -> Self {
        Self { kind: CounterKind::UserTag, key: format!("{user},{tag}") }
    }

    pub fn slot(id: ImageId) -> u8 {
        id.spread() % Self::SLOTS
    }

    /// The counters of a live image: one more in each when it is stored or restored, one less when it is deleted.
    pub fn of_live(image: &Image) -> Vec<Self> {
        let mut counters = vec![Self::all(), Self::day(image.id.created_at()), Self::user(&image.user_id)];
        counters.extend(Self::of_tags(&image.user_id, &image.tags));
        counters
    }

    /// The part of [`Counter::of_live`] that follows the tags.
    pub fn of_tags<'a>(user: &'a UserId, tags: &'a [Tag]) -> impl Iterator<Item = Self> + 'a {
        tags.iter().flat_map(move |tag| [Self::tag(tag), Self::user_tag(user, tag)])
    }
}

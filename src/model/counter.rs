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
    /// Files ever refused, by the error's name. For statistics.
    Failed,
    /// Images ever uploaded, deleted ones too; never taken back. For statistics.
    Stored,
    /// Microseconds ever spent on processing; never taken back. For statistics.
    ProcessingMicros,
    /// How often a stage of uploads ever ran to its end. For statistics.
    StageCount,
    /// Microseconds ever spent in a stage. For statistics.
    StageMicros,
    Tag,
    User,
    UserTag,
}

impl CounterKind {
    /// Those that tell of all that ever was, and are never taken back.
    pub const STATISTICS: [Self; 5] = [Self::Stored, Self::ProcessingMicros, Self::Failed, Self::StageCount, Self::StageMicros];

    const ALL: [Self; 10] = [
        Self::All,
        Self::Day,
        Self::Failed,
        Self::Stored,
        Self::ProcessingMicros,
        Self::StageCount,
        Self::StageMicros,
        Self::Tag,
        Self::User,
        Self::UserTag,
    ];

    /// Reads [`CounterKind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Day => "day",
            Self::Failed => "failed",
            Self::Stored => "stored",
            Self::ProcessingMicros => "processing_us",
            Self::StageCount => "stage",
            Self::StageMicros => "stage_us",
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

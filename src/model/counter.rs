//! The counters that an image changes. They make `total_count` exact without counting rows.
//!
//! Public and private images have separate counters: totals shown to other users include only public images.
//!
//! A counter is spread over slots, so that concurrent uploads do not contend for one row. The slot is derived from the image's
//! id, so that adding and removing an image changes the same row, and every row is the exact number of live images in its slot.
//! (The exception are the bytes of users from before they were counted, which are all in one slot: only their sum is exact.)

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::collection::{CollectionItem, ItemVisibility};
use super::filter::Part;
use super::id::{CollectionId, ImageId};
use super::image::{Image, Visibility};
use super::tag::Tag;

/// A counter of one set of live images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    pub kind: CounterKind,
    /// Identifies the counter among those of its kind: a user, a tag or a day; empty for the counter of all images.
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterKind {
    /// All public images.
    All,
    /// Public images of a collection.
    Collection,
    /// Public images of a UTC day, for lists by date.
    Day,
    /// Files rejected since installation, by the error's name. For statistics.
    Failed,
    /// A user's private images in a collection.
    PrivateCollection,
    /// A user's private images.
    PrivateUser,
    /// A user's private images with a tag.
    PrivateUserTag,
    /// Images ever uploaded as public, including deleted ones; never decreases. For statistics.
    Stored,
    /// As `Stored`, for private images.
    StoredPrivate,
    /// Microseconds spent on processing the images of `Stored`; never decreases. For statistics.
    ProcessingMicros,
    /// As `ProcessingMicros`, for private images.
    ProcessingMicrosPrivate,
    /// How often an upload stage has completed. For statistics.
    StageCount,
    /// Microseconds spent in an upload stage. For statistics.
    StageMicros,
    /// Public images with a tag.
    Tag,
    /// A user's public images.
    User,
    /// Bytes of a user's originals, public and private.
    UserBytes,
    /// A user's collections.
    UserCollections,
    /// A user's public images with a tag.
    UserTag,
    /// A user's images in the trash; images deleted by an administrator are not included.
    UserTrash,
    /// Bytes of the originals of `UserTrash`.
    UserTrashBytes,
    /// Bytes of the resized images of a user.
    UserVariantBytes,
}

impl CounterKind {
    /// Cumulative counters, which never decrease.
    pub const STATISTICS: [Self; 7] = [
        Self::Stored,
        Self::StoredPrivate,
        Self::ProcessingMicros,
        Self::ProcessingMicrosPrivate,
        Self::Failed,
        Self::StageCount,
        Self::StageMicros,
    ];

    /// Counters of the current number of images, bytes or collections, except the counters of days.
    pub const CURRENT: [Self; 13] = [
        Self::All,
        Self::Collection,
        Self::PrivateCollection,
        Self::User,
        Self::Tag,
        Self::UserTag,
        Self::PrivateUser,
        Self::PrivateUserTag,
        Self::UserBytes,
        Self::UserCollections,
        Self::UserTrash,
        Self::UserTrashBytes,
        Self::UserVariantBytes,
    ];

    const ALL: [Self; 21] = [
        Self::All,
        Self::Collection,
        Self::PrivateCollection,
        Self::Day,
        Self::Failed,
        Self::PrivateUser,
        Self::PrivateUserTag,
        Self::Stored,
        Self::StoredPrivate,
        Self::ProcessingMicros,
        Self::ProcessingMicrosPrivate,
        Self::StageCount,
        Self::StageMicros,
        Self::Tag,
        Self::User,
        Self::UserBytes,
        Self::UserCollections,
        Self::UserTag,
        Self::UserTrash,
        Self::UserTrashBytes,
        Self::UserVariantBytes,
    ];

    /// Parses [`CounterKind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Collection => "collection",
            Self::PrivateCollection => "private_collection",
            Self::Day => "day",
            Self::Failed => "failed",
            Self::PrivateUser => "private_user",
            Self::PrivateUserTag => "private_user_tag",
            Self::Stored => "stored",
            Self::StoredPrivate => "stored_private",
            Self::ProcessingMicros => "processing_us",
            Self::ProcessingMicrosPrivate => "processing_us_private",
            Self::StageCount => "stage",
            Self::StageMicros => "stage_us",
            Self::Tag => "tag",
            Self::User => "user",
            Self::UserBytes => "user_bytes",
            Self::UserCollections => "user_collections",
            Self::UserTag => "user_tag",
            Self::UserTrash => "user_trash",
            Self::UserTrashBytes => "user_trash_bytes",
            Self::UserVariantBytes => "user_variant_bytes",
        }
    }
}

impl Counter {
    /// Number of rows that a counter is spread over.
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

    /// A user id contains no comma, so the key is unambiguous.
    pub fn user_tag(user: &UserId, tag: &Tag) -> Self {
        Self { kind: CounterKind::UserTag, key: format!("{user},{tag}") }
    }

    pub fn private_user(user: &UserId) -> Self {
        Self { kind: CounterKind::PrivateUser, key: user.to_string() }
    }

    pub fn private_user_tag(user: &UserId, tag: &Tag) -> Self {
        Self { kind: CounterKind::PrivateUserTag, key: format!("{user},{tag}") }
    }

    pub fn collection(id: CollectionId) -> Self {
        Self { kind: CounterKind::Collection, key: id.to_string() }
    }

    pub fn private_collection(id: CollectionId, user: &UserId) -> Self {
        Self { kind: CounterKind::PrivateCollection, key: format!("{id},{user}") }
    }

    /// Returns the counter of one part of a collection.
    pub fn collection_part(id: CollectionId, part: &Part) -> Self {
        match part {
            Part::Public => Self::collection(id),
            Part::PrivateOf(user) => Self::private_collection(id, user),
        }
    }

    /// Returns the counter that an item of a collection changes; `None` while its image is deleted.
    pub fn of_item(item: &CollectionItem) -> Option<Self> {
        match item.visibility {
            ItemVisibility::Public => Some(Self::collection(item.collection)),
            ItemVisibility::Private => Some(Self::private_collection(item.collection, &item.owner)),
            ItemVisibility::Hidden => None,
        }
    }

    pub fn user_collections(user: &UserId) -> Self {
        Self { kind: CounterKind::UserCollections, key: user.to_string() }
    }

    pub fn user_bytes(user: &UserId) -> Self {
        Self { kind: CounterKind::UserBytes, key: user.to_string() }
    }

    pub fn user_trash(user: &UserId) -> Self {
        Self { kind: CounterKind::UserTrash, key: user.to_string() }
    }

    pub fn user_trash_bytes(user: &UserId) -> Self {
        Self { kind: CounterKind::UserTrashBytes, key: user.to_string() }
    }

    pub fn user_variant_bytes(user: &UserId) -> Self {
        Self { kind: CounterKind::UserVariantBytes, key: user.to_string() }
    }

    pub fn slot(id: ImageId) -> u8 {
        id.spread() % Self::SLOTS
    }

    /// Returns the counters of a live image and the amounts that it adds to each when it is stored or restored; they are
    /// subtracted when it is deleted.
    pub fn of_live(image: &Image) -> Vec<(Self, i64)> {
        let bytes = i64::try_from(image.file_size).unwrap_or(i64::MAX);
        let mut counters = vec![(Self::user_bytes(&image.user_id), bytes)];
        counters.extend(Self::of_visibility(image).into_iter().map(|counter| (counter, 1)));
        counters
    }

    /// Returns the counters of an image in the trash, and the amounts that it adds to each.
    pub fn of_trash(image: &Image) -> [(Self, i64); 2] {
        let bytes = i64::try_from(image.file_size).unwrap_or(i64::MAX);
        [(Self::user_trash(&image.user_id), 1), (Self::user_trash_bytes(&image.user_id), bytes)]
    }

    /// Returns those of [`Counter::of_live`] that depend on the visibility.
    pub fn of_visibility(image: &Image) -> Vec<Self> {
        let mut counters = match image.visibility {
            Visibility::Public => vec![Self::all(), Self::day(image.id.created_at()), Self::user(&image.user_id)],
            Visibility::Private => vec![Self::private_user(&image.user_id)],
        };
        counters.extend(Self::of_tags(image, &image.tags));
        counters
    }

    /// Returns those of [`Counter::of_visibility`] that depend on the tags.
    pub fn of_tags(image: &Image, tags: &[Tag]) -> Vec<Self> {
        let user = &image.user_id;
        match image.visibility {
            Visibility::Public => tags.iter().flat_map(|tag| [Self::tag(tag), Self::user_tag(user, tag)]).collect(),
            Visibility::Private => tags.iter().map(|tag| Self::private_user_tag(user, tag)).collect(),
        }
    }
}

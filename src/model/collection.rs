//! Collections: images under a name.

use std::fmt;

use chrono::{DateTime, Utc};

use super::caller::UserId;
pub use super::id::CollectionId;
use super::id::ImageId;
use super::image::{Image, Visibility};

/// A collection's name: 1–64 letters A-Z and a-z, digits, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CollectionName(String);

impl CollectionName {
    pub const MAX_CHARS: usize = 64;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if plain && (1..=Self::MAX_CHARS).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("must have 1 to {} letters A-Z and a-z, digits, hyphens and underscores", Self::MAX_CHARS))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A collection, but for its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub id: CollectionId,
    pub name: CollectionName,
    pub user_id: UserId,
    pub visibility: Visibility,
    pub updated_at: DateTime<Utc>,
}

impl Collection {
    /// Whether `viewer` may know of it.
    pub fn is_visible_to(&self, viewer: Option<&UserId>) -> bool {
        self.visibility == Visibility::Public || viewer == Some(&self.user_id)
    }
}

/// An image in a collection, but for its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub collection: CollectionId,
    pub image: ImageId,
    /// The image's owner.
    pub owner: UserId,
    pub sight: Sight,
}

/// Who sees an image where it is in a collection: follows the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Public,
    Private,
    /// It is deleted.
    Hidden,
}

impl Sight {
    pub fn of(image: &Image) -> Self {
        match (image.deleted_at, image.visibility) {
            (Some(_), _) => Self::Hidden,
            (None, Visibility::Public) => Self::Public,
            (None, Visibility::Private) => Self::Private,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Hidden => "hidden",
        }
    }

    /// Reads [`Sight::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::Hidden].into_iter().find(|sight| sight.name() == name)
    }
}

//! The image: the metadata of a stored original.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::caption::Caption;
use super::color::Color;
pub use super::format::Format;
use super::id::ImageId;
use super::plan::Features;
use super::tag::Tag;
use super::text::{Description, FileName, Title};
pub use super::thumbnail::{Thumbnail, ThumbnailSize};
use super::user_id::UserId;

/// A stored image with its metadata, without its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub id: ImageId,
    pub updated_at: DateTime<Utc>,
    pub user_id: UserId,
    pub visibility: Visibility,
    /// What the owner's plan allows; `None` means everything.
    pub features: Option<Features>,
    pub title: Option<Title>,
    pub description: Option<Description>,
    pub tags: Vec<Tag>,
    pub file_name: FileName,
    /// Size of the stored original, in bytes.
    pub file_size: u64,
    pub format: Format,
    /// In pixels, as displayed: the EXIF orientation is applied.
    pub width: u32,
    pub height: u32,
    /// Hash of the stored original.
    pub sha256: [u8; 32],
    /// `small`, `medium`, then heights; heights that result in the same size are stored once.
    pub thumbnails: Vec<Thumbnail>,
    /// Dominant colours, most common first.
    pub colors: Vec<Color>,
    /// A ThumbHash (<https://evanw.github.io/thumbhash/>), at most 25 bytes.
    pub placeholder: Vec<u8>,
    pub metadata: Metadata,
    pub caption: Caption,
    /// Time spent on decoding and on creating thumbnails.
    pub processing_time: Duration,
    /// Set while the image is deleted and not yet purged.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The image's state when an administrator deleted it, if one did.
    pub taken_down: Option<TakenDown>,
    /// Prefix of the names of the uploaded objects; empty until they are moved.
    pub object_prefix: String,
}

impl Image {
    /// Bytes that the texts and tags take in memory.
    pub fn text_bytes(&self) -> usize {
        let texts = [
            self.title.as_ref().map_or(0, |title| title.as_str().len()),
            self.description.as_ref().map_or(0, |description| description.as_str().len()),
            self.caption.text.as_ref().map_or(0, String::len),
            self.file_name.as_str().len(),
            self.tags.iter().map(|tag| tag.as_str().len() + size_of::<String>()).sum(),
        ];
        texts.iter().sum()
    }

    /// Returns whether `viewer` may see the image, while it is not deleted.
    pub fn is_visible_to(&self, viewer: Option<&UserId>) -> bool {
        self.visibility == Visibility::Public || viewer == Some(&self.user_id)
    }

    /// Returns whether its owner's plan includes the original.
    pub fn plan_includes_original(&self) -> bool {
        self.features.as_ref().is_none_or(|features| features.original)
    }

    /// Returns whether its owner's plan includes this thumbnail.
    pub fn plan_includes_thumbnail(&self, size: ThumbnailSize) -> bool {
        self.features.as_ref().is_none_or(|features| features.thumbnails.contains(&size))
    }
}

/// The state of an image before an administrator deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenDown {
    Live,
    /// Its owner had already deleted it.
    Deleted,
}

impl TakenDown {
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Live, Self::Deleted].into_iter().find(|before| before.name() == name)
    }
}

/// Who may see an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Everyone.
    #[default]
    Public,
    /// Its owner, and clients with an expiring link to it.
    Private,
}

impl Visibility {
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// # Errors
    /// The rule, in words for the client.
    pub fn parse(name: &str) -> Result<Self, String> {
        let known = [Self::Public, Self::Private].into_iter().find(|visibility| name.eq_ignore_ascii_case(visibility.name()));
        known.ok_or_else(|| "must be public or private".to_owned())
    }
}

/// Size in pixels, as displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelSize {
    pub width: u32,
    pub height: u32,
}

/// Metadata read from the file. None of it reveals a location.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The capture time as the file states it: `2019-04-16T18:19:50`, with the offset if the file has one.
    pub created_at: Option<String>,
    pub modified_at: Option<String>,
    pub camera: Option<String>,
    /// EXIF orientation, 1–8; 1 if the file has none.
    pub orientation: u8,
    pub has_alpha: bool,
    pub animated: bool,
    pub frames: u32,
    /// `None` for images stored before this was recorded.
    pub credentials: Option<Credentials>,
    /// The original size, if the image was scaled down to the limits.
    pub shrunk_from: Option<PixelSize>,
}

/// What happened to a file's Content Credentials (C2PA) when it was stored. They are not validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Kept unchanged: the manifest, or the URL of one.
    Kept,
    /// Removed, because they contained the location, or removing the location invalidated them.
    Removed,
    /// The file had none.
    None,
}

impl Credentials {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Removed => "removed",
            Self::None => "none",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Kept, Self::Removed, Self::None].into_iter().find(|credentials| credentials.name() == name)
    }
}

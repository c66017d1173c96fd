//! The image: what the service knows of a picture that it keeps.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::caption::Caption;
use super::color::Color;
use super::id::ImageId;
use super::plan::Features;
use super::rendering::contain;
use super::tag::Tag;
use super::text::{Description, FileName, Title};

/// A stored picture with everything that is told of it, but for its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub id: ImageId,
    pub updated_at: DateTime<Utc>,
    pub user_id: UserId,
    pub visibility: Visibility,
    /// What the plan of the image's owner gives; `None` is everything.
    pub features: Option<Features>,
    pub title: Option<Title>,
    pub description: Option<Description>,
    pub tags: Vec<Tag>,
    pub file_name: FileName,
    /// Of the stored original, in bytes.
    pub file_size: u64,
    pub format: Format,
    /// In pixels, as displayed: the EXIF orientation is applied.
    pub width: u32,
    pub height: u32,
    /// Of the stored original.
    pub sha256: [u8; 32],
    /// `small`, `medium`, then heights; of two heights with the same pixels only one.
    pub thumbnails: Vec<Thumbnail>,
    /// Dominant colours, most common first.
    pub colors: Vec<Color>,
    /// A ThumbHash (<https://evanw.github.io/thumbhash/>), at most 25 bytes.
    pub placeholder: Vec<u8>,
    pub metadata: Metadata,
    pub caption: Caption,
    /// What decoding and thumbnails took.
    pub processing_time: Duration,
    /// Set while the image is deleted and not yet purged.
    pub deleted_at: Option<DateTime<Utc>>,
    /// What it was when an administrator deleted it, if one did.
    pub taken_down: Option<TakenDown>,
    /// What the names of its uploaded objects begin with; empty until they are moved.
    pub object_prefix: String,
}

impl Image {
    /// Whether `viewer` may know of it, while it is not deleted.
    pub fn is_visible_to(&self, viewer: Option<&UserId>) -> bool {
        self.visibility == Visibility::Public || viewer == Some(&self.user_id)
    }

    /// Whether its owner's plan gives the original.
    pub fn gives_original(&self) -> bool {
        self.features.as_ref().is_none_or(|features| features.original)
    }

    /// Whether its owner's plan gives this thumbnail.
    pub fn gives_thumbnail(&self, size: ThumbnailSize) -> bool {
        self.features.as_ref().is_none_or(|features| features.thumbnails.contains(&size))
    }
}

/// What an image was before an administrator deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenDown {
    Live,
    /// Its owner had deleted it.
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
    /// Anybody.
    #[default]
    Public,
    /// Its owner, and who has an expiring link to it.
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

/// Pixels, as displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelSize {
    pub width: u32,
    pub height: u32,
}

/// A thumbnail that was made at upload and is stored beside the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    pub size: ThumbnailSize,
    pub width: u32,
    pub height: u32,
    pub format: Format,
}

/// The sizes made at upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThumbnailSize {
    /// Within 128×128 pixels.
    Small,
    /// Within 512×512 pixels.
    Medium,
    /// So many pixels high, however wide.
    Height(u32),
}

impl ThumbnailSize {
    /// Those that every image has, and shows.
    pub const SHOWN: [Self; 2] = [Self::Small, Self::Medium];

    /// The name of its object and in the database.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Small => "small".into(),
            Self::Medium => "medium".into(),
            Self::Height(height) => format!("h{height}").into(),
        }
    }

    /// Reads [`ThumbnailSize::name`].
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self::Small),
            "medium" => Some(Self::Medium),
            _ => Some(Self::Height(name.strip_prefix('h')?.parse().ok()?)),
        }
    }

    /// The pixels of the thumbnail of a picture of `size`, both as displayed; never enlarged.
    pub fn of(self, size: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Small => contain(size, Some(128), Some(128)),
            Self::Medium => contain(size, Some(512), Some(512)),
            Self::Height(height) => contain(size, None, Some(height)),
        }
    }

    /// The thumbnails of a picture of `size`: those that are shown, then each height that none before it has the pixels
    /// of, for two equal pictures are not stored.
    pub fn all_of(size: (u32, u32), heights: &[u32]) -> Vec<(Self, (u32, u32))> {
        let mut sizes = Self::SHOWN.map(|shown| (shown, shown.of(size))).to_vec();
        for height in heights.iter().map(|&height| Self::Height(height)) {
            let pixels = height.of(size);
            if sizes.iter().all(|(_, other)| *other != pixels) {
                sizes.push((height, pixels));
            }
        }
        sizes
    }
}

/// The accepted picture formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp];

    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The media type (RFC 2046, RFC 9649).
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// All usual file name extensions, without the dot.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png", "apng"],
            Self::Gif => &["gif"],
            Self::Webp => &["webp"],
        }
    }

    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the file says of itself; nothing of it tells where the picture was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The capture time as the file states it: `2019-04-16T18:19:50`, with the offset if the file has one.
    pub created_at: Option<String>,
    pub modified_at: Option<String>,
    pub camera: Option<String>,
    /// EXIF orientation, 1–8; 1 where the file has none.
    pub orientation: u8,
    pub has_alpha: bool,
    pub animated: bool,
    pub frames: u32,
    /// `None` for an image that was stored before this was recorded.
    pub credentials: Option<Credentials>,
    /// What the picture was before it was scaled down to the limits, if it was.
    pub shrunk_from: Option<PixelSize>,
}

/// What became of a file's Content Credentials (C2PA) when it was stored. They are not validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// The stored file has them as they came: the manifest, or the address of one.
    Kept,
    /// They said where the picture was taken, or removing the location made them invalid.
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

//! Thumbnails: the sizes that are created at upload.

use std::borrow::Cow;

use super::format::Format;
use super::rendering::contain;

/// A thumbnail, created at upload and stored beside the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    pub size: ThumbnailSize,
    pub width: u32,
    pub height: u32,
    pub format: Format,
}

/// The sizes of thumbnails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThumbnailSize {
    /// Within 128×128 pixels.
    Small,
    /// Within 512×512 pixels.
    Medium,
    /// The given height in pixels, with any width.
    Height(u32),
}

impl ThumbnailSize {
    /// The sizes that every image has and lists.
    pub const STANDARD: [Self; 2] = [Self::Small, Self::Medium];

    /// Returns the name that clients use.
    pub fn public_name(self) -> Cow<'static, str> {
        match self {
            Self::Small | Self::Medium => self.name(),
            Self::Height(height) => height.to_string().into(),
        }
    }

    /// Returns the name used for the object and in the database.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Small => "small".into(),
            Self::Medium => "medium".into(),
            Self::Height(height) => format!("h{height}").into(),
        }
    }

    /// Parses [`ThumbnailSize::name`].
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self::Small),
            "medium" => Some(Self::Medium),
            _ => Some(Self::Height(name.strip_prefix('h')?.parse().ok()?)),
        }
    }

    /// Returns the maximum width and height in pixels; `None` means any.
    pub fn bounds(self) -> (Option<u32>, Option<u32>) {
        match self {
            Self::Small => (Some(128), Some(128)),
            Self::Medium => (Some(512), Some(512)),
            Self::Height(height) => (None, Some(height)),
        }
    }

    /// Returns the size in pixels of the thumbnail of an image of `size`, both as displayed. Thumbnails are never enlarged.
    pub fn of(self, size: (u32, u32)) -> (u32, u32) {
        let (width, height) = self.bounds();
        contain(size, width, height)
    }

    /// Returns the thumbnails of an image of `size`: the listed sizes, then each height whose result differs from all before it,
    /// so that no thumbnail is stored twice.
    pub fn all_of(size: (u32, u32), heights: &[u32]) -> Vec<(Self, (u32, u32))> {
        let mut sizes = Self::STANDARD.map(|shown| (shown, shown.of(size))).to_vec();
        for height in heights.iter().map(|&height| Self::Height(height)) {
            let pixels = height.of(size);
            if sizes.iter().all(|(_, other)| *other != pixels) {
                sizes.push((height, pixels));
            }
        }
        sizes
    }
}

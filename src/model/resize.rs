//! Which resized images may be requested: by steps, from a list, or with a signature; and the text that is signed.

use std::fmt;
use std::str::FromStr;

use super::id::ImageId;
use super::image::{Image, Visibility};

/// Minimum side of a resized image, in pixels.
pub const MIN_SIDE: u32 = 16;
/// Maximum side, in pixels. Frameworks request more (Next.js 2048 and 3840) and display the result at the size that they need.
pub const MAX_SIDE: u32 = 2000;

/// The sizes that are allowed without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResizeMode {
    /// Any size, rounded up to a step.
    #[default]
    Open,
    /// The sizes of a list.
    Listed,
    /// None.
    Signed,
}

/// A requested size in pixels; at least one side is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedSize {
    pub width: Option<u32>,
    pub height: Option<u32>,
}

impl FromStr for ListedSize {
    type Err = String;

    /// Parses `320x240`, `320x` or `x240`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("must be like 320x240, 320x or x240, with sides from {MIN_SIDE} to {MAX_SIDE}");
        let side = |text: &str| match text {
            "" => Ok(None),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let side = text.parse().ok().filter(|side| (MIN_SIDE..=MAX_SIDE).contains(side));
                side.map(Some).ok_or_else(rule)
            }
            _ => Err(rule()),
        };
        let (width, height) = text.split_once('x').ok_or_else(rule)?;
        let size = Self { width: side(width)?, height: side(height)? };
        if size.width.is_none() && size.height.is_none() { Err(rule()) } else { Ok(size) }
    }
}

impl fmt::Display for ListedSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |side: Option<u32>| side.map(|side| side.to_string()).unwrap_or_default();
        write!(f, "{}x{}", text(self.width), text(self.height))
    }
}

/// Every multiple of these is a step. They include the sizes in common use (64, 75, 100, 150, 225, 320, 640, 768, 1080, 1125,
/// 1920) and about one in five of all sizes.
const STEPS: [u32; 3] = [8, 10, 25];
const QUALITY_STEP: u8 = 5;

/// Returns the smallest step that is not less than `side`. [`MAX_SIDE`] is a step.
pub fn round_side(side: u32) -> u32 {
    STEPS.iter().map(|step| side.next_multiple_of(*step)).min().unwrap_or(side)
}

/// Returns the step nearest to a quality from 1 to 100; never 0.
pub fn round_quality(quality: u8) -> u8 {
    ((quality.min(100) + QUALITY_STEP / 2) / QUALITY_STEP * QUALITY_STEP).max(QUALITY_STEP)
}

/// What a signature grants access to. It is part of the signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The image while it is public.
    Public,
    /// The image, public or private. Only the owner gets this grant, while the image is private.
    Private,
    /// The thumbnails of the image while it is in the trash. Only the owner gets this grant.
    Deleted,
    /// The original, and nothing else. Only the owner gets this grant, while the image is private.
    Original,
}

impl Grant {
    pub const ALL: [Self; 4] = [Self::Public, Self::Private, Self::Deleted, Self::Original];

    /// Returns what the owner of an image can grant to those who resize it.
    pub fn of(image: &Image) -> Self {
        match image.visibility {
            _ if image.deleted_at.is_some() => Self::Deleted,
            Visibility::Public => Self::Public,
            Visibility::Private => Self::Private,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Deleted => "deleted",
            Self::Original => "original",
        }
    }
}

/// The parameters that a signature covers: the expiry, and everything that determines the result.
pub const SIGNED_PARAMETERS: [&str; 6] = ["expires", "fit", "format", "height", "quality", "width"];

/// Returns a query's parameters in the canonical form that is signed: percent-decoded once, without empty ones, sorted, and
/// encoded again. A proxy may therefore reorder and re-encode them.
pub fn canonical_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut parameters: Vec<_> = parameters.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    parameters.sort_unstable();
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// Returns the text to sign. Its parts contain no line breaks, so two different requests never have the same text.
pub fn signed_text(grant: Grant, id: ImageId, canonical_query: &str) -> String {
    format!("v1\n{}\n{id}\n{canonical_query}", grant.name())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn sides_are_rounded_up_to_a_step_and_common_sizes_are_steps() {
        for side in [16, 20, 25, 32, 64, 75, 100, 150, 225, 300, 320, 375, 640, 750, 768, 828, 1024, 1080, 1125, 1200, 1920, 2000]
        {
            assert_eq!(round_side(side), if side == 828 { 830 } else { side });
        }
        for (side, rounded) in [(17, 20), (21, 24), (26, 30), (41, 48), (301, 304), (1999, 2000)] {
            assert_eq!(round_side(side), rounded);
        }
        let steps = (MIN_SIDE..=MAX_SIDE).filter(|side| round_side(*side) == *side).count();
        assert_eq!(steps, 438, "of 1985 sides");
        assert!((MIN_SIDE..=MAX_SIDE).all(|side| (side..side + 8).contains(&round_side(side))));
    }

    #[test]
    fn a_quality_is_rounded_to_the_nearest_step() {
        for (quality, rounded) in [(1, 5), (2, 5), (7, 5), (8, 10), (77, 75), (78, 80), (80, 80), (97, 95), (98, 100), (100, 100)]
        {
            assert_eq!(round_quality(quality), rounded, "{quality}");
        }
    }

    #[test]
    fn a_listed_size_has_a_width_or_a_height_or_both() {
        for text in ["320x240", "320x", "x240", "16x2000"] {
            assert_eq!(text.parse::<ListedSize>().map(|size| size.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "x", "320", "15x", "x2001", "320X240", "-1x", "+320x", "320x240x1", " 320x", "320x ", "99999999999x"] {
            assert!(bad.parse::<ListedSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_order_and_the_encoding_of_parameters_do_not_matter() {
        let canonical = |query: &str| {
            let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            canonical_query(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        let query = "width=320&height=240&fit=cover&expires=1800000000";
        assert_eq!(canonical(query), "expires=1800000000&fit=cover&height=240&width=320");
        for same in
            ["expires=1800000000&height=240&width=320&fit=cover", "wid%74h=32%30&fit=cover&height=240&expires=1800000000&format="]
        {
            assert_eq!(canonical(same), canonical(query), "{same}");
        }
        let others = [
            "width=320&height=240&fit=cover&expires=1800000001",
            "width=0320&height=240&fit=cover&expires=1800000000",
            "width=320&height=240&fit=cover&expires=1800000000&width=320",
            "width=240&height=320&fit=cover&expires=1800000000",
            "height=240%26width=320&fit=cover&expires=1800000000",
            "height=240%0Awidth=320&fit=cover&expires=1800000000",
            "width=320%2520&height=240&fit=cover&expires=1800000000",
        ];
        for other in others {
            assert_ne!(canonical(other), canonical(query), "{other}");
            assert!(!canonical(other).contains('\n'));
        }
        let (one, other) = (ImageId::from(Uuid::from_u128(1)), ImageId::from(Uuid::from_u128(2)));
        let texts = [(Grant::Public, one), (Grant::Private, one), (Grant::Public, other)]
            .map(|(grant, id)| signed_text(grant, id, "width=1"));
        assert!(texts[0] != texts[1] && texts[0] != texts[2]);
        assert_eq!(texts[0], "v1\npublic\n00000000-0000-0000-0000-000000000001\nwidth=1");
    }
}

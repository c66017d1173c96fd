//! What a picture is decoded for. From it follows how much of the picture must come out of the decoder, and so at what
//! scale it is decoded and what memory that takes.

use super::{Limits, orient, shrink};
use crate::model::image::ThumbnailSize;
use crate::model::rendering::{Rendering, contain};

/// What is to be made of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Everything that is shown of an upload, with thumbnails of these heights.
    Upload { heights: &'a [u32] },
    /// One picture.
    Rendering(&'a Rendering),
    /// A copy within the limits. `halved` where decoders may hand over the size itself, rather than twice as much.
    Shrink { limits: &'a Limits, halved: bool },
    /// Its pixels, so many on the shorter side at least.
    Pixels { side: u32 },
}

/// What a decoder is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    /// Pixels of the longer side of the largest picture that is made. A decoder may hand over less than the whole picture
    /// as long as the longer side keeps this many (JPEG's scaled decoding, which filters well) or twice as many (the box
    /// filter, which does not).
    pub cover: u32,
    /// Bytes of all pictures that are made, which stand in memory side by side.
    pub made_bytes: u64,
    /// Whether the whole file is to be proved; otherwise its first frame is all that is wanted.
    pub prove: bool,
}

impl Purpose<'_> {
    /// For a picture of `stored` pixels.
    pub fn aim(&self, stored: (u32, u32), orientation: u8) -> Aim {
        let size = orient::displayed(stored, orientation);
        let bytes = |(width, height): (u32, u32)| u64::from(width) * u64::from(height) * 4;
        match self {
            Self::Upload { heights } => {
                let sizes = ThumbnailSize::all_of(size, heights);
                Aim {
                    cover: sizes.iter().map(|(_, (width, height))| *width.max(height)).max().unwrap_or(1),
                    made_bytes: sizes.iter().map(|(_, pixels)| bytes(*pixels)).sum(),
                    prove: true,
                }
            }
            // The picture, a copy of it while it is turned or loses its alpha, and its file.
            Self::Rendering(rendering) => {
                Aim { cover: rendering.scale(size), made_bytes: bytes((rendering.width, rendering.height)) * 3, prove: false }
            }
            // What is resized, and its encoder's copy and file.
            &Self::Shrink { limits, halved } => {
                let (width, height) = shrink::target(stored, limits);
                let longer = width.max(height);
                let made_bytes = u64::from(width) * u64::from(height) * 6;
                Aim { cover: if halved { longer.div_ceil(2) } else { longer }, made_bytes, prove: true }
            }
            // Copies of what is decoded: up to twice as many pixels each way, in sRGB, upright, without alpha.
            &Self::Pixels { side } => {
                let (shorter, longer) = (size.0.min(size.1).max(1), size.0.max(size.1));
                let cover = (u64::from(longer) * u64::from(side)).div_ceil(u64::from(shorter)).min(u64::from(longer));
                let cover = u32::try_from(cover).unwrap_or(longer);
                let decoded = contain(size, Some(cover.saturating_mul(2)), Some(cover.saturating_mul(2)));
                Aim { cover, made_bytes: bytes(decoded) * 2, prove: false }
            }
        }
    }
}

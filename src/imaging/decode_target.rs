//! Why an image is decoded. The purpose determines the scale at which the decoder works, and the memory that takes.

use super::{Limits, orient};
use crate::model::image::ThumbnailSize;
use crate::model::rendering::{Rendering, contain};

/// What is created from the decoded image.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Everything that an upload needs, with thumbnails of these heights.
    Upload { heights: &'a [u32] },
    /// One resized image.
    Rendering(&'a Rendering),
    /// A copy within the limits. If `halved`, decoders may output the size itself instead of twice the size.
    Shrink { limits: &'a Limits, halved: bool },
    /// The pixels, with at least `side` on the shorter side.
    Pixels { side: u32 },
}

/// What a decoder must output.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodeTarget {
    /// Pixels of the longer side of the largest image that is created. A decoder may output a scaled-down image if its longer
    /// side keeps this many pixels (JPEG's scaled decoding, which filters well) or twice as many (the box filter, which does
    /// not).
    pub min_longer_side: u32,
    /// Bytes of all images that are created, which are in memory simultaneously.
    pub output_bytes: u64,
    /// Whether to verify the whole file. Otherwise only the first frame is decoded.
    pub verify: bool,
}

impl Purpose<'_> {
    /// Returns the target for an image of `stored` pixels.
    pub fn decode_target(&self, stored: (u32, u32), orientation: u8) -> DecodeTarget {
        let size = orient::displayed(stored, orientation);
        let bytes = |(width, height): (u32, u32)| u64::from(width) * u64::from(height) * 4;
        match self {
            Self::Upload { heights } => {
                let sizes = ThumbnailSize::all_of(size, heights);
                DecodeTarget {
                    min_longer_side: sizes.iter().map(|(_, (width, height))| *width.max(height)).max().unwrap_or(1),
                    output_bytes: sizes.iter().map(|(_, pixels)| bytes(*pixels)).sum(),
                    verify: true,
                }
            }
            // The image, a copy of it while it is rotated or loses its alpha channel, and the encoded file.
            Self::Rendering(rendering) => DecodeTarget {
                min_longer_side: rendering.scale(size),
                output_bytes: bytes((rendering.width, rendering.height)) * 3,
                verify: false,
            },
            // The resized image, and the encoder's copy and file.
            &Self::Shrink { limits, halved } => {
                let (width, height) = limits.shrunk_size(stored);
                let longer = width.max(height);
                DecodeTarget {
                    min_longer_side: if halved { longer.div_ceil(2) } else { longer },
                    output_bytes: u64::from(width) * u64::from(height) * 6,
                    verify: true,
                }
            }
            // Copies of the decoded image, which has up to twice as many pixels each way: in sRGB, upright, without alpha.
            &Self::Pixels { side } => {
                let (shorter, longer) = (size.0.min(size.1).max(1), size.0.max(size.1));
                let min_longer_side = (u64::from(longer) * u64::from(side)).div_ceil(u64::from(shorter)).min(u64::from(longer));
                let min_longer_side = u32::try_from(min_longer_side).unwrap_or(longer);
                let most = Some(min_longer_side.saturating_mul(2));
                let decoded = contain(size, most, most);
                DecodeTarget { min_longer_side, output_bytes: bytes(decoded) * 2, verify: false }
            }
        }
    }
}

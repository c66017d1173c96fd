//! Limits on uploaded images, and the size to which an image above them is scaled down.

use super::error::Error;
use crate::model::rendering::contain;

/// Which images are accepted, and which thumbnails are created. The defaults are those of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Minimum length of each side in pixels, as displayed.
    pub min_side: u32,
    /// Maximum length of each side in pixels, as displayed.
    pub max_side: u32,
    /// Maximum of width × height.
    pub max_pixels: u64,
    /// Maximum of frames × canvas pixels, for GIF and animated WebP, where every frame is decoded.
    pub max_frame_pixels: u64,
    /// Maximum number of scans of a progressive JPEG. Each scan can cover the whole image, and 10 MB can contain more than
    /// 100 000 scans. Encoders write about 10.
    pub max_progressive_scans: u32,
    /// Heights of the thumbnails that are created in addition to the standard ones.
    pub thumbnail_heights: Vec<u32>,
    /// Whether larger images are scaled down. [`inspect`](super::inspect) rejects them in either case;
    /// [`inspect_oversize`](super::inspect_oversize) accepts them.
    pub shrink: bool,
    /// Whether location metadata is kept.
    pub keep_location: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            min_side: 50,
            max_side: 4000,
            max_pixels: 16_000_000,
            max_frame_pixels: 200_000_000,
            max_progressive_scans: 100,
            thumbnail_heights: vec![200, 400],
            shrink: false,
            keep_location: false,
        }
    }
}

/// The largest side in pixels that any configuration can allow. It is the limit of libjpeg.
pub const MAX_SIDE: u32 = 65_500;

/// Images of up to this many pixels are scaled down, however low the limit is: phones take photos of 200 megapixels.
const ALWAYS_SHRUNK_PIXELS: u64 = 256_000_000;
/// Images of up to this many times `max_pixels` are scaled down.
const SHRUNK_TIMES: u64 = 4;

impl Limits {
    /// Returns the limits for files that the service accepted or created earlier, possibly under larger limits.
    pub(super) fn for_stored(&self) -> Self {
        Limits { min_side: 1, max_side: MAX_SIDE, max_pixels: u64::MAX, max_frame_pixels: u64::MAX, ..self.clone() }
    }

    /// Returns the pixels of the largest image that is decoded: more than `max_pixels` if larger images are scaled down.
    pub fn max_decoded_pixels(&self) -> u64 {
        if self.shrink { self.max_pixels.saturating_mul(SHRUNK_TIMES).max(ALWAYS_SHRUNK_PIXELS) } else { self.max_pixels }
    }

    /// Returns the largest size within the limits that keeps the aspect ratio of `stored`. Each side is at least one pixel.
    pub(super) fn shrunk_size(&self, stored: (u32, u32)) -> (u32, u32) {
        let (longer, shorter) = (u64::from(stored.0.max(stored.1)), u64::from(stored.0.min(stored.1)));
        // longer × (longer × shorter / longer) = pixels
        let side = (self.max_pixels.saturating_mul(longer) / shorter.max(1)).isqrt();
        let mut side = u32::try_from(side).unwrap_or(u32::MAX).min(self.max_side).max(1);
        loop {
            let size = contain(stored, Some(side), Some(side));
            // Rounding the shorter side can exceed the limit by one row.
            if side == 1 || u64::from(size.0) * u64::from(size.1) <= self.max_pixels {
                return size;
            }
            side -= 1;
        }
    }

    /// Checks the size of an image. Orientation does not matter, because the limits are the same for both sides.
    pub(super) fn check_size(&self, width: u32, height: u32) -> Result<(), Error> {
        if width.max(height) > self.max_side {
            return Err(Error::TooLarge { width, height, limit: self.max_side });
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Error::TooManyImagePixels { width, height, limit: self.max_pixels });
        }
        let limit = self.min_side.max(1);
        if width.min(height) < limit {
            return Err(Error::TooSmall { width, height, limit });
        }
        Ok(())
    }
}

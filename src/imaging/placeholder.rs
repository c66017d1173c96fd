//! The placeholder: a ThumbHash (<https://evanw.github.io/thumbhash/>) of about 25 bytes. A page can draw it as a blurred
//! preview, with the aspect ratio and transparency of the image, before the image is loaded.

use super::bitmap::Bitmap;
use super::error::Error;
use super::pixels;
use crate::model::rendering::contain;

/// 32 pixels contain all frequencies that a ThumbHash stores, and hash nine times faster than its limit of 100.
const SIDE: u32 = 32;

/// Returns the hash of an upright image.
pub(super) fn hash(bitmap: &Bitmap) -> Result<Vec<u8>, Error> {
    let size = contain((bitmap.width, bitmap.height), Some(SIDE), Some(SIDE));
    let (width, height) = bitmap.covered;
    let small = pixels::resize(bitmap, [0.0, 0.0, width, height], size)?;
    let rgba: Vec<u8> = if small.alpha {
        small.pixels
    } else {
        small.pixels.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
    };
    Ok(thumbhash::rgba_to_thumb_hash(small.width as usize, small.height as usize, &rgba))
}

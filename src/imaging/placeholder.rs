//! The placeholder: a ThumbHash (<https://evanw.github.io/thumbhash/>), some 25 bytes that a page can draw as a blurred
//! preview, with its shape and transparency, before the image has arrived.

use super::bitmap::Bitmap;
use super::error::Error;
use super::pixels;
use crate::model::rendering::contain;

/// 32 pixels hold all the frequencies that a ThumbHash keeps, and hash nine times faster than its limit of 100.
const SIDE: u32 = 32;

/// The hash of an upright image.
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

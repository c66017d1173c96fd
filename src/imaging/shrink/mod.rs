//! Scales a still picture that is larger than the limits down to them, and writes it in its own format with the metadata of
//! the original: its colour profile, EXIF, XMP, IPTC and texts. Its pixels are neither turned nor converted to other colours.
//!
//! What cannot survive is left out: content credentials (their hash covers the old pixels), second pictures of a JPEG
//! (Multi-Picture Format, gain maps, motion photos), and PNG chunks that describe the old samples. Samples of 16 bits become
//! 8. GIFs and animations are not scaled down.

mod exif;
mod jpeg;
mod png;
mod webp;

#[cfg(test)]
mod tests;

use super::aim::Purpose;
use super::error::Error;
use super::{Format, Header, Kind, Limits, MOST_SIDE, png_header, sniff};
use crate::model::rendering::contain;

/// JPEG and WebP quality.
const QUALITY: u8 = 90;

/// However low the limit is, pictures of so many pixels are scaled down: phones have 200 megapixels.
const ALWAYS_SHRUNK_PIXELS: u64 = 256_000_000;
/// And pictures of so many times the limit.
const SHRUNK_TIMES: u64 = 4;

/// A picture within the limits, as a file.
#[derive(Debug, Clone)]
pub struct Shrunk {
    pub file: Vec<u8>,
    /// Whether the original had content credentials, which are void now.
    pub dropped_credentials: bool,
}

impl Limits {
    /// Pixels of the largest picture that is decoded: more than `max_pixels` where larger ones are scaled down.
    pub fn most_pixels(&self) -> u64 {
        if self.shrink { self.max_pixels.saturating_mul(SHRUNK_TIMES).max(ALWAYS_SHRUNK_PIXELS) } else { self.max_pixels }
    }
}

/// Reads the header of a picture that is larger than the limits, for [`shrink()`].
pub(super) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    let raised = Limits { max_side: MOST_SIDE, max_pixels: limits.most_pixels(), ..limits.clone() };
    // A JPEG is reduced by its own transform, which filters well; the box filter of the others may go down to the size itself.
    let halved = !bytes.starts_with(&[0xff, 0xd8]);
    let mut header = sniff::read_header(bytes, &raised, &Purpose::Shrink { limits, halved })?;
    let (width, height) = (header.width, header.height);
    let refused = |reason: &str| Error::NotShrinkable { width, height, reason: reason.to_owned() };
    if header.format == Format::Gif || is_animated(bytes, &header) {
        return Err(refused("GIF files and animations are not scaled down"));
    }
    let target = target(header.stored, limits);
    if target.0.min(target.1) < limits.min_side {
        return Err(refused("scaled down it would have a side of fewer pixels than MIN_IMAGE_SIDE"));
    }
    if header.format != Format::Jpeg {
        // The resampler's rows between its two passes.
        header.weight_bytes += u64::from(target.0) * u64::from(header.stored.1) * 4;
    }
    header.oversize = true;
    Ok(header)
}

fn is_animated(bytes: &[u8], header: &Header) -> bool {
    match &header.kind {
        Kind::Webp(webp) => !webp.frames.is_empty(),
        // What is wrong with the count of frames, decoding finds out.
        Kind::Png(png) => png.first_frame.is_some() || png_header::frames(bytes).is_ok_and(|frames| frames > 1),
        _ => false,
    }
}

/// Decodes the whole file, which proves it, and makes the smaller one. `header` is what [`inspect`] said of these bytes.
pub(super) fn shrink(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Shrunk, Error> {
    let target = target(header.stored, limits);
    match (header.format, &header.kind) {
        (_, Kind::Jpeg(jpeg)) => jpeg::shrink(bytes, header, jpeg, limits, target),
        (Format::Png, _) => png::shrink(bytes, header, limits, target),
        (Format::Webp, _) => webp::shrink(bytes, header, limits, target),
        _ => Err(Error::internal("a format that is not scaled down")),
    }
}

/// The largest size within the limits that has the shape of `stored`; at least one pixel a side.
pub(super) fn target(stored: (u32, u32), limits: &Limits) -> (u32, u32) {
    let (longer, shorter) = (u64::from(stored.0.max(stored.1)), u64::from(stored.0.min(stored.1)));
    // longer × (longer × shorter / longer) = pixels
    let side = (limits.max_pixels.saturating_mul(longer) / shorter.max(1)).isqrt();
    let mut side = u32::try_from(side).unwrap_or(u32::MAX).min(limits.max_side).max(1);
    loop {
        let size = contain(stored, Some(side), Some(side));
        // Rounding the shorter side may have gone beyond by a row.
        if side == 1 || u64::from(size.0) * u64::from(size.1) <= limits.max_pixels {
            return size;
        }
        side -= 1;
    }
}

//! Scales a still image that is larger than the limits down to them, and writes it in its own format with the metadata of
//! the original: its colour profile, EXIF, XMP, IPTC and texts. Its pixels are neither turned nor converted to other colours.
//!
//! What cannot survive is left out: content credentials (their hash covers the old pixels), second images of a JPEG
//! (Multi-Bitmap Format, gain maps, motion photos), and PNG chunks that describe the old samples. Samples of 16 bits become
//! 8. GIFs and animations are not scaled down.

mod exif;
mod jpeg;
mod png;
mod webp;

#[cfg(test)]
mod tests;

use super::decode_target::Purpose;
use super::error::Error;
use super::{Format, Header, Kind, Limits, MAX_SIDE, png_header, sniff};

/// JPEG and WebP quality.
const QUALITY: u8 = 90;

/// An image within the limits, as a file.
#[derive(Debug, Clone)]
pub struct Shrunk {
    pub file: Vec<u8>,
    /// Whether the original had content credentials, which are void now.
    pub dropped_credentials: bool,
}

/// Reads the header of an image that is larger than the limits, for [`shrink()`].
pub(super) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    let raised = Limits { max_side: MAX_SIDE, max_pixels: limits.max_decoded_pixels(), ..limits.clone() };
    // A JPEG is reduced by its own transform, which filters well; the box filter of the others may go down to the size itself.
    let halved = !bytes.starts_with(&[0xff, 0xd8]);
    let mut header = sniff::read_header(bytes, &raised, &Purpose::Shrink { limits, halved })?;
    let (width, height) = (header.width, header.height);
    let refused = |reason: &str| Error::NotShrinkable { width, height, reason: reason.to_owned() };
    if header.format == Format::Gif || is_animated(bytes, &header) {
        return Err(refused("GIF files and animations are not scaled down"));
    }
    let target = limits.shrunk_size(header.stored);
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
    let target = limits.shrunk_size(header.stored);
    match (header.format, &header.kind) {
        (_, Kind::Jpeg(jpeg)) => jpeg::shrink(bytes, header, jpeg, limits, target),
        (Format::Png, _) => png::shrink(bytes, header, limits, target),
        (Format::Webp, _) => webp::shrink(bytes, header, limits, target),
        _ => Err(Error::internal("a format that is not scaled down")),
    }
}

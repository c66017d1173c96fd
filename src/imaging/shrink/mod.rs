//! Scales down still images that exceed the limits. The result has the format and the metadata of the original: colour profile,
//! EXIF, XMP, IPTC and texts. Its pixels are neither rotated nor converted to another colour space.
//!
//! What cannot survive is removed: Content Credentials (their hash covers the old pixels), further images in a JPEG
//! (Multi-Picture Format, gain maps, motion photos), and PNG chunks that describe the old samples. 16-bit samples are reduced
//! to 8 bits. GIFs and animations are not scaled down.

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

/// A file within the limits.
#[derive(Debug, Clone)]
pub struct Shrunk {
    pub file: Vec<u8>,
    /// Whether the original had Content Credentials, which are now invalid.
    pub dropped_credentials: bool,
}

/// Reads the header of an image that exceeds the limits, for [`shrink()`].
pub(super) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    let raised = Limits { max_side: MAX_SIDE, max_pixels: limits.max_decoded_pixels(), ..limits.clone() };
    // A JPEG is reduced by its own transform, which filters well. For other formats, the box filter may reduce to the target
    // size itself.
    let halved = !bytes.starts_with(&[0xff, 0xd8]);
    let mut header = sniff::read_header(bytes, &raised, &Purpose::Shrink { limits, halved })?;
    let (width, height) = (header.width, header.height);
    let refused = |reason: &str| Error::NotShrinkable { width, height, reason: reason.to_owned() };
    if header.format == Format::Gif || is_animated(bytes, &header) {
        return Err(refused("GIF files and animations are not scaled down"));
    }
    let target = limits.shrunk_size(header.stored);
    if target.0.min(target.1) < limits.min_side {
        return Err(refused("after scaling down, its shorter side would have fewer pixels than MIN_IMAGE_SIDE"));
    }
    if header.format != Format::Jpeg {
        // The resized columns.
        header.weight_bytes += u64::from(target.0) * u64::from(header.stored.1) * 4;
    }
    header.oversize = true;
    Ok(header)
}

fn is_animated(bytes: &[u8], header: &Header) -> bool {
    match &header.kind {
        Kind::Webp(webp) => !webp.frames.is_empty(),
        // Decoding reports an invalid frame count.
        Kind::Png(png) => png.first_frame.is_some() || png_header::frames(bytes).is_ok_and(|frames| frames > 1),
        _ => false,
    }
}

/// Decodes and verifies the whole file, and creates the smaller one. `header` is the result of [`inspect`] for these bytes.
pub(super) fn shrink(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Shrunk, Error> {
    let target = limits.shrunk_size(header.stored);
    match (header.format, &header.kind) {
        (_, Kind::Jpeg(jpeg)) => jpeg::shrink(bytes, header, jpeg, limits, target),
        (Format::Png, _) => png::shrink(bytes, header, limits, target),
        (Format::Webp, _) => webp::shrink(bytes, header, limits, target),
        _ => Err(Error::internal("this format is not scaled down")),
    }
}

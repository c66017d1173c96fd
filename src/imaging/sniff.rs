//! Recognises the format from the first bytes, never from a name or a declared type. Then runs the header reader of the format
//! and checks the limits.

use super::decode_target::Purpose;
use super::error::Error;
use super::{Format, Header, Limits};
use super::{gif, jpeg, location, orient, png_header, profile, webp_header};

/// Memory beside the decoder and its image: thumbnails, encoder state, resampler rows. With this constant, `weight_bytes`
/// exceeded the growth of the process's memory by 1 to 70 MiB, for every kind of file of 16 megapixels.
const FIXED_BYTES: u64 = 8 << 20;

/// Reads the header of a file and checks it against the limits.
pub(super) fn read_header(bytes: &[u8], limits: &Limits, purpose: &Purpose<'_>) -> Result<Header, Error> {
    let format = recognise(bytes).ok_or_else(|| Error::UnsupportedFormat { found: unsupported_format(bytes) })?;
    let parsed = match format {
        Format::Jpeg => jpeg::header::read(bytes, purpose)?,
        Format::Png => png_header::read(bytes, limits, purpose)?,
        Format::Gif => gif::read_header(bytes, purpose)?,
        Format::Webp => webp_header::read(bytes, limits, purpose)?,
    };
    limits.check_size(parsed.width, parsed.height)?;
    let (width, height) = orient::displayed((parsed.width, parsed.height), parsed.orientation);
    // While an image with alpha is resized, a premultiplied copy of it exists as well; without alpha, two of the resized columns.
    let decoding = parsed.decoder_bytes.max(2 * parsed.image_bytes) + parsed.target.output_bytes;
    // Afterwards the file may be copied without its location metadata.
    let copying = if parsed.target.verify { bytes.len() as u64 + location::EXTRA_BYTES } else { 0 };
    Ok(Header {
        format,
        width,
        height,
        orientation: parsed.orientation,
        oversize: false,
        weight_bytes: decoding.max(copying) + parsed.profile.as_ref().map_or(0, profile::ColorSource::weight_bytes) + FIXED_BYTES,
        stored: (parsed.width, parsed.height),
        exif: parsed.exif,
        profile: parsed.profile,
        target: parsed.target,
        kind: parsed.kind,
    })
}

fn recognise(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(Format::Jpeg)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(Format::Gif)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Format::Webp)
    } else {
        None
    }
}

/// Returns the name of a format that this service does not read, such as photos of phones: the brands of an ISO base media file
/// (ISO/IEC 23008-12, 10.2; AV1 Image File Format, 6.3).
fn unsupported_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length))?;
    let end = usize::try_from(length).ok()?.min(bytes.len()).min(MAX_BRANDS_BYTES);
    // The major brand, its version, then the compatible brands.
    let compatible = bytes.get(16..end).unwrap_or_default().as_chunks::<4>().0;
    let major = bytes.get(8..12).and_then(<[u8]>::first_chunk::<4>);
    let names = major.into_iter().chain(compatible).map(|brand| match brand {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("HEIC"),
        _ => None,
    });
    let is_heif = major.is_some_and(|brand| matches!(brand, b"mif1" | b"msf1"));
    names.flatten().next().or_else(|| is_heif.then_some("HEIF"))
}

/// Far more brands than any file has.
const MAX_BRANDS_BYTES: usize = 256;

//! Scales down a PNG: keeps the chunks that still apply and encodes the image data again.

use super::{Shrunk, exif};
use crate::imaging::bitmap::Bitmap;
use crate::imaging::error::Error;
use crate::imaging::pixels::resize;
use crate::imaging::png_chunks::{IEND, SIGNATURE_BYTES, chunks};
use crate::imaging::{Header, Kind, Limits, decode};

pub(super) fn shrink(bytes: &[u8], header: &Header, limits: &Limits, target: (u32, u32)) -> Result<Shrunk, Error> {
    let mut header = header.clone();
    if let Kind::Png(png) = &mut header.kind {
        // The chunks that define the colour space are kept, so 16-bit samples must not be converted to sRGB.
        png.colors_16bit = None;
    }
    let decoded = decode(bytes, &header, limits)?.pixels.into_rgb()?;
    let decoded = if decoded.is_transparent() { decoded } else { decoded.without_alpha() };
    let (width, height) = decoded.covered;
    let resized = resize(&decoded, [0.0, 0.0, width, height], target)?;
    drop(decoded);
    // The colour type in IHDR. A grey profile applies only to grey samples.
    let grey = matches!(bytes.get(25), Some(0 | 4));
    let bitmap = encode(resized, grey).map_err(|error| Error::internal(format!("encoding a PNG: {error}")))?;
    Ok(assemble(bytes, &bitmap, target))
}

fn encode(bitmap: Bitmap, grey: bool) -> Result<Vec<u8>, png::EncodingError> {
    let color = match (grey, bitmap.alpha) {
        (true, false) => png::ColorType::Grayscale,
        (true, true) => png::ColorType::GrayscaleAlpha,
        (false, false) => png::ColorType::Rgb,
        (false, true) => png::ColorType::Rgba,
    };
    let (width, height) = (bitmap.width, bitmap.height);
    let samples = match color {
        png::ColorType::Grayscale => bitmap.pixels.chunks_exact(3).map(|pixel| pixel[0]).collect(),
        png::ColorType::GrayscaleAlpha => bitmap.pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[3]]).collect(),
        _ => bitmap.pixels,
    };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&samples)?;
    writer.finish()?;
    Ok(file)
}

fn assemble(original: &[u8], bitmap: &[u8], target: (u32, u32)) -> Shrunk {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut in_data, mut had_credentials) = (false, false);
    for chunk in chunks(original) {
        in_data |= chunk.name == b"IDAT";
        had_credentials |= chunk.name == b"caBX";
        if let Some(whole) = chunk.whole(original).filter(|_| is_kept(chunk.name)) {
            let kept = if in_data { &mut after } else { &mut before };
            let start = kept.len();
            kept.extend_from_slice(whole);
            if chunk.name == b"eXIf" {
                set_size(&mut kept[start..], target);
            }
        }
    }
    let mut file = Vec::with_capacity(bitmap.len() + before.len() + after.len());
    file.extend_from_slice(bitmap.get(..SIGNATURE_BYTES).unwrap_or_default());
    for chunk in chunks(bitmap) {
        file.extend_from_slice(chunk.whole(bitmap).unwrap_or_default());
        if chunk.name == b"IHDR" {
            file.append(&mut before);
        }
    }
    file.append(&mut after);
    file.extend_from_slice(IEND);
    Shrunk { file, dropped_credentials: had_credentials }
}

/// Returns whether a chunk still applies to the smaller image: those that define the colour space, and those whose name marks
/// them as safe to copy (PNG 3rd edition, 5.4 and 14.2). Others, such as `tRNS`, `bKGD`, `sBIT` and `hIST`, describe the old
/// samples.
fn is_kept(name: &[u8]) -> bool {
    let ancillary = name[0].is_ascii_lowercase();
    let safe_to_copy = name[3].is_ascii_lowercase();
    let meaning = [b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"tIME"];
    ancillary && (safe_to_copy || meaning.iter().any(|known| *known == name))
}

/// Sets the size in an EXIF chunk and updates its CRC.
fn set_size(chunk: &mut [u8], target: (u32, u32)) {
    let Some(end) = chunk.len().checked_sub(4) else { return };
    exif::set_size(&mut chunk[8..end], target);
    let mut checksum = flate2::Crc::new();
    checksum.update(&chunk[4..end]);
    chunk[end..].copy_from_slice(&checksum.sum().to_be_bytes());
}

//! Scales down a WebP: encodes the image again, in a container with the profile, EXIF and XMP of the original (RFC 9649).

use super::{QUALITY, Shrunk, exif};
use crate::imaging::error::Error;
use crate::imaging::jpeg::encode::Chroma;
use crate::imaging::pixels::resize;
use crate::imaging::{Format, Header, Limits, decode, encode};

/// Flags of VP8X.
const HAS_PROFILE: u8 = 0x20;
const HAS_ALPHA: u8 = 0x10;
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

pub(super) fn shrink(bytes: &[u8], header: &Header, limits: &Limits, target: (u32, u32)) -> Result<Shrunk, Error> {
    let decoded = decode(bytes, header, limits)?.pixels.into_rgb()?;
    let (width, height) = decoded.covered;
    let resized = resize(&decoded, [0.0, 0.0, width, height], target)?;
    drop(decoded);
    let bitmap = encode::encode(&resized, Format::Webp, QUALITY, Chroma::Quarter)?;
    drop(resized);
    let dropped_credentials = chunks(bytes).any(|(name, _)| name == *b"C2PA");
    Ok(Shrunk { file: assemble(bytes, bitmap, target), dropped_credentials })
}

fn assemble(original: &[u8], bitmap: Vec<u8>, (width, height): (u32, u32)) -> Vec<u8> {
    let first = |wanted: &[u8; 4]| chunks(original).find(|(name, _)| name == wanted).map(|(_, body)| body.to_vec());
    let (profile, mut exif, xmp) = (first(b"ICCP"), first(b"EXIF"), first(b"XMP "));
    if profile.is_none() && exif.is_none() && xmp.is_none() {
        return bitmap;
    }
    if let Some(block) = &mut exif {
        // Some writers include JPEG's preamble.
        let start = if block.starts_with(b"Exif\0\0") { 6 } else { 0 };
        exif::set_size(&mut block[start..], (width, height));
    }
    let lossless_alpha = |body: &[u8]| body.get(4).is_some_and(|bits| bits & 0x10 != 0);
    let has_alpha = chunks(&bitmap).any(|(name, body)| name == *b"ALPH" || name == *b"VP8L" && lossless_alpha(body));
    let flags = [(profile.is_some(), HAS_PROFILE), (has_alpha, HAS_ALPHA), (exif.is_some(), HAS_EXIF), (xmp.is_some(), HAS_XMP)];
    let flags = flags.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
    let mut body = b"WEBP".to_vec();
    let side = |length: u32| length.saturating_sub(1).to_le_bytes();
    let (w, h) = (side(width), side(height));
    push(&mut body, b"VP8X", &[flags, 0, 0, 0, w[0], w[1], w[2], h[0], h[1], h[2]]);
    let optional = |body: &mut Vec<u8>, name: &[u8; 4], chunk: &Option<Vec<u8>>| {
        if let Some(chunk) = chunk {
            push(body, name, chunk);
        }
    };
    optional(&mut body, b"ICCP", &profile);
    for (name, chunk) in chunks(&bitmap).filter(|(name, _)| matches!(name, b"ALPH" | b"VP8 " | b"VP8L")) {
        push(&mut body, &name, chunk);
    }
    optional(&mut body, b"EXIF", &exif);
    optional(&mut body, b"XMP ", &xmp);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&b"RIFF"[..], &length.to_le_bytes(), &body].concat()
}

fn push(file: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    file.extend_from_slice(name);
    file.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(body);
    if body.len() % 2 == 1 {
        file.push(0);
    }
}

/// Iterates over the chunks as name and body.
fn chunks(file: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut at = 12;
    std::iter::from_fn(move || {
        let name = *file.get(at..)?.first_chunk::<4>()?;
        let length = u32::from_le_bytes(*file.get(at + 4..)?.first_chunk()?) as usize;
        let body = file.get(at + 8..(at + 8).checked_add(length)?)?;
        at += 8 + length + length % 2;
        Some((name, body))
    })
}

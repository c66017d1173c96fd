//! Reads the header of a PNG: IHDR, and the positions of EXIF and the colour profile (PNG 3rd edition, chapter 11).

use super::bitmap::reduced_size;
use super::canvas::FrameRect;
use super::decode_target::Purpose;
use super::error::Error;
use super::parsed_header::ParsedHeader;
use super::png_chunks::{chunks, lacks_iend};
use super::{Kind, Limits, metadata, png_color_space, profile};
use std::ops::Range;

/// How many chunks are searched. Later chunks count as absent. 1 GiB in IDATs of 8 KiB has 131,072 chunks.
const MAX_CHUNKS: usize = 262_144;

/// The part of the header that the decoder needs.
#[derive(Debug, Clone)]
pub(super) struct PngHeader {
    /// The first frame of an animation whose default image is not a frame. It is the image to display.
    pub first_frame: Option<FrameRect>,
    /// The colour space of a 16-bit image that is not sRGB. It is converted while it is decoded.
    pub colors_16bit: Option<profile::ColorSource>,
}

/// Numbers in PNG have 31 bits.
const MAX_FRAMES: u32 = 0x7fff_ffff;

pub(super) fn read(bytes: &[u8], limits: &Limits, purpose: &Purpose<'_>) -> Result<ParsedHeader, Error> {
    let ihdr = bytes.get(8..33).ok_or_else(|| Error::truncated("the PNG header"))?;
    if ihdr[..8] != *b"\0\0\0\x0dIHDR" {
        return Err(Error::corrupt("the PNG does not start with its header"));
    }
    let number = |at: usize| u32::from_be_bytes([ihdr[at], ihdr[at + 1], ihdr[at + 2], ihdr[at + 3]]);
    let (width, height, interlaced) = (number(8), number(12), ihdr[20] != 0);
    // Checked before the sides are multiplied below.
    limits.check_size(width, height)?;
    let whole_bytes = u64::from(width) * u64::from(height) * 4;
    let exif = find_exif(bytes);
    let orientation = metadata::orientation(bytes, exif.clone());
    let target = purpose.decode_target((width, height), orientation);
    let (small_width, small_height) = reduced_size(width, height, target.min_longer_side);
    let image_bytes = u64::from(small_width) * u64::from(small_height) * 4;
    // Rows of up to 16 bits per sample, and the inflate window. An interlaced image is in memory as a whole.
    let rows = u64::from(width) * 8 * 4 + (1 << 20);
    let (colors_16bit, profile) = if ihdr[16] == 16 { (find_colors(bytes), None) } else { (None, find_colors(bytes)) };
    let interlaced_bytes = whole_bytes * u64::from(interlaced) * if colors_16bit.is_some() { 2 } else { 1 };
    // The profile, and a 16-bit table for each channel and step.
    let conversion_bytes = colors_16bit.as_ref().map_or(0, |colors| colors.weight_bytes() + u64::from(width) * 24);
    Ok(ParsedHeader {
        kind: Kind::Png(PngHeader { first_frame: find_first_frame(bytes, (width, height)), colors_16bit }),
        width,
        height,
        exif,
        profile,
        orientation,
        target,
        decoder_bytes: image_bytes + rows + interlaced_bytes + conversion_bytes,
        image_bytes,
    })
}

/// Finds the first frame of an animation whose default image is not a frame. If its chunks are invalid, the image counts as a
/// still one, as in browsers.
fn find_first_frame(bytes: &[u8], (width, height): (u32, u32)) -> Option<FrameRect> {
    let mut chunks = chunks(bytes).take(MAX_CHUNKS);
    let control = chunks.find(|chunk| [b"acTL", b"fcTL", b"IDAT"].iter().any(|name| *name == chunk.name))?;
    let counts = [0, 4].map(|at| control.checked_body(bytes).and_then(|body| number(body, at)));
    if control.name != b"acTL" || control.body.len() != 8 || !matches!(counts, [Some(1..=MAX_FRAMES), Some(0..=MAX_FRAMES)]) {
        return None;
    }
    chunks.find(|chunk| chunk.name == b"fcTL" || chunk.name == b"IDAT").filter(|chunk| chunk.name == b"IDAT")?;
    let frame = chunks.find(|chunk| chunk.name == b"fcTL").filter(|chunk| chunk.body.len() == 26)?.checked_body(bytes)?;
    let data = chunks.find(|chunk| chunk.name == b"fcTL" || chunk.name == b"fdAT").filter(|chunk| chunk.name == b"fdAT")?;
    let second = bytes.get(data.body).filter(|body| body.len() >= 4)?;
    let rect =
        FrameRect { width: number(frame, 4)?, height: number(frame, 8)?, left: number(frame, 12)?, top: number(frame, 16)? };
    let within = |start: u32, length: u32, side: u32| length > 0 && start.checked_add(length).is_some_and(|end| end <= side);
    let valid = (number(frame, 0)?, number(second, 0)?) == (0, 1)
        && frame[24] <= 2
        && frame[25] <= 1
        && within(rect.left, rect.width, width)
        && within(rect.top, rect.height, height);
    valid.then_some(rect)
}

/// Counts the frames whose control chunks exist; the announced number is unreliable. Returns 1 for a still image.
///
/// A file that lacks IEND and announces more frames than it has was cut between two frames, or before the data of the last one.
pub(super) fn frames(bytes: &[u8]) -> Result<u32, Error> {
    let mut frames = 0;
    let mut announced = None;
    let mut without_data = false;
    for chunk in chunks(bytes) {
        match chunk.name {
            b"acTL" if announced.is_none() => {
                announced = Some(chunk.checked_body(bytes).and_then(|body| number(body, 0)).unwrap_or(0))
            }
            b"fcTL" => {
                frames += 1;
                without_data = true;
            }
            b"IDAT" | b"fdAT" => without_data = false,
            _ => {}
        }
    }
    match announced {
        Some(announced) if (announced > frames || without_data) && lacks_iend(bytes) => Err(Error::truncated("the PNG data")),
        Some(_) => Ok(frames.max(1)),
        None => Ok(1),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Returns the first EXIF chunk, if it is intact.
fn find_exif(bytes: &[u8]) -> Option<Range<usize>> {
    let chunk = chunks(bytes).take(MAX_CHUNKS).find(|chunk| chunk.name == b"eXIf")?;
    chunk.checked_body(bytes).map(|_| chunk.body)
}

/// Returns the colour space of the pixels; `None` for sRGB. The order is that of the specification (4.3): cICP, iCCP, sRGB,
/// gAMA with cHRM.
fn find_colors(bytes: &[u8]) -> Option<profile::ColorSource> {
    let colors = png_color_space::read(bytes, MAX_CHUNKS);
    match (colors.cicp, find_profile(bytes)) {
        (Some(first), _) => first.map(profile::ColorSource::ColorSpace),
        (None, Some(profile)) => Some(profile::ColorSource::Compressed(profile, colors.fallback)),
        (None, None) => colors.fallback.map(profile::ColorSource::ColorSpace),
    }
}

/// Returns the compressed profile. It follows a name, a zero, and the compression method.
fn find_profile(bytes: &[u8]) -> Option<Range<usize>> {
    let mut before_data = chunks(bytes).take(MAX_CHUNKS).take_while(|chunk| chunk.name != b"IDAT");
    let chunk = before_data.find(|chunk| chunk.name == b"iCCP")?;
    chunk.checked_body(bytes)?;
    let body = chunk.body;
    let name = memchr::memchr(0, bytes.get(body.clone())?)?;
    let start = body.start + name + 2;
    (bytes.get(start - 1) == Some(&0) && start < body.end).then_some(start..body.end)
}

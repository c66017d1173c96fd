//! A PNG's header: IHDR, and where its EXIF block and its colour profile lie (PNG 3rd edition, chapter 11).

use super::aim::Purpose;
use super::error::Error;
use super::picture::reduced;
use super::sniff::{Found, check_sides};
use super::{Kind, Limits, metadata, profile};
use std::ops::Range;

/// Chunks that are looked at in search of either; beyond them it counts as absent. 10 MB in IDATs of 8 KiB are 1280.
const MAX_CHUNKS: usize = 16_384;

pub(super) fn read(bytes: &[u8], limits: &Limits, purpose: &Purpose<'_>) -> Result<Found, Error> {
    let ihdr = bytes.get(8..33).ok_or_else(|| Error::truncated("the PNG header"))?;
    if ihdr[..8] != *b"\0\0\0\x0dIHDR" {
        return Err(Error::corrupt("the PNG does not start with its header"));
    }
    let number = |at: usize| u32::from_be_bytes([ihdr[at], ihdr[at + 1], ihdr[at + 2], ihdr[at + 3]]);
    let (width, height, interlaced) = (number(8), number(12), ihdr[20] != 0);
    // Here already: they are multiplied below.
    check_sides(width, height, limits)?;
    let whole_bytes = u64::from(width) * u64::from(height) * 4;
    let exif = find_exif(bytes);
    let orientation = metadata::orientation(bytes, exif.clone());
    let aim = purpose.aim((width, height), orientation);
    let (small_width, small_height) = reduced(width, height, aim.cover);
    let picture_bytes = u64::from(small_width) * u64::from(small_height) * 4;
    // Rows of up to 16 bits a sample and the inflater's window. The passes of an interlaced picture need all of it at once.
    let rows = u64::from(width) * 8 * 4 + (1 << 20);
    let interlaced_bytes = if interlaced { whole_bytes } else { 0 };
    Ok(Found {
        kind: Kind::Png,
        width,
        height,
        exif,
        profile: find_profile(bytes),
        orientation,
        aim,
        decoder_bytes: picture_bytes + rows + interlaced_bytes,
        picture_bytes,
    })
}

/// Frames whose control chunks are really there; what the file announces is only a number. 1 for a still picture.
pub(super) fn count_frames(bytes: &[u8]) -> u32 {
    let mut frames = 0;
    let mut animated = false;
    for (kind, _) in chunks(bytes) {
        animated |= kind == b"acTL";
        frames += u32::from(kind == b"fcTL");
    }
    if animated { frames.max(1) } else { 1 }
}

fn find_exif(bytes: &[u8]) -> Option<Range<usize>> {
    find(bytes, b"eXIf")
}

/// A name, a zero, the method of compression, and the profile.
fn find_profile(bytes: &[u8]) -> Option<profile::Place> {
    let body = find(bytes, b"iCCP")?;
    let name = memchr::memchr(0, bytes.get(body.clone())?)?;
    let start = body.start + name + 2;
    (bytes.get(start - 1) == Some(&0) && start < body.end).then_some(profile::Place::Deflated(start..body.end))
}

fn find(bytes: &[u8], name: &[u8; 4]) -> Option<Range<usize>> {
    let mut chunks = chunks(bytes).take(MAX_CHUNKS);
    chunks.find_map(|(kind, body)| (kind == name && body.end <= bytes.len()).then_some(body))
}

/// The chunks' names and where their data lie, up to IEND or the file's end.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut at = 8usize;
    std::iter::from_fn(move || {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = at + 8..at.checked_add(8)?.checked_add(length)?;
        // Behind the data comes their checksum.
        at = body.end.checked_add(4)?;
        Some((&head[4..8], body))
    })
    .take_while(|(kind, _)| *kind != b"IEND")
}

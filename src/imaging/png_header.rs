//! A PNG's header: IHDR, and where its EXIF block and its colour profile lie (PNG 3rd edition, chapter 11).

use super::aim::Purpose;
use super::error::Error;
use super::picture::reduced;
use super::png_chunks::{chunks, lacks_end};
use super::sniff::{Found, check_sides};
use super::{Kind, Limits, metadata, profile};
use std::ops::Range;

/// Chunks that are looked at in search of either; beyond them it counts as absent. 1 GiB in IDATs of 8 KiB are 131,072.
const MAX_CHUNKS: usize = 262_144;

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
///
/// A file that lacks its end, and announces more frames than it has, was cut between two of them.
pub(super) fn frames(bytes: &[u8]) -> Result<u32, Error> {
    let mut frames = 0;
    let mut announced = None;
    for chunk in chunks(bytes) {
        match chunk.name {
            b"acTL" if announced.is_none() => announced = Some(chunk.sound(bytes).and_then(|body| number(body, 0)).unwrap_or(0)),
            b"fcTL" => frames += 1,
            _ => {}
        }
    }
    match announced {
        Some(announced) if announced > frames && lacks_end(bytes) => Err(Error::truncated("the PNG data")),
        Some(_) => Ok(frames.max(1)),
        None => Ok(1),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
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

/// The first chunk of that name, if it is not damaged.
fn find(bytes: &[u8], name: &[u8; 4]) -> Option<Range<usize>> {
    let chunk = chunks(bytes).take(MAX_CHUNKS).find(|chunk| chunk.name == name)?;
    chunk.sound(bytes).map(|_| chunk.body)
}

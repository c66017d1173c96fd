//! A PNG's header: IHDR, and where its EXIF block lies (PNG 3rd edition, chapter 11).

use super::Kind;
use super::error::Error;
use super::picture::reduced;
use super::sniff::Found;
use std::ops::Range;

/// Chunks that are looked at in search of EXIF; beyond them it counts as absent. 10 MB in IDATs of 8 KiB are 1280.
const MAX_CHUNKS: usize = 16_384;

pub(super) fn read(bytes: &[u8]) -> Result<Found, Error> {
    let ihdr = bytes.get(8..33).ok_or_else(|| Error::truncated("the PNG header"))?;
    if ihdr[..8] != *b"\0\0\0\x0dIHDR" {
        return Err(Error::corrupt("the PNG does not start with its header"));
    }
    let number = |at: usize| u32::from_be_bytes([ihdr[at], ihdr[at + 1], ihdr[at + 2], ihdr[at + 3]]);
    let (width, height, interlaced) = (number(8), number(12), ihdr[20] != 0);
    let whole_bytes = u64::from(width) * u64::from(height) * 4;
    let (small_width, small_height) = reduced(width, height);
    let picture_bytes = u64::from(small_width) * u64::from(small_height) * 4;
    // Rows of up to 16 bits a sample and the inflater's window. The passes of an interlaced picture need all of it at once.
    let rows = u64::from(width) * 8 * 4 + (1 << 20);
    let interlaced_bytes = if interlaced { whole_bytes } else { 0 };
    Ok(Found {
        kind: Kind::Png,
        width,
        height,
        exif: find_exif(bytes),
        decoder_bytes: picture_bytes + rows + interlaced_bytes,
        picture_bytes,
    })
}

fn find_exif(bytes: &[u8]) -> Option<Range<usize>> {
    let mut at = 8usize;
    for _ in 0..MAX_CHUNKS {
        let head = bytes.get(at..at + 8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = at + 8..at.checked_add(8)?.checked_add(length)?;
        match &head[4..8] {
            b"eXIf" if body.end <= bytes.len() => return Some(body),
            b"IEND" => return None,
            _ => at = body.end.checked_add(4)?,
        }
    }
    None
}

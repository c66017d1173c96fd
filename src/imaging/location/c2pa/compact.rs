//! Cuts what removing manifests left behind out of the file: APP11 segments full of zeros, and GIF extensions with a blank name.
//!
//! Only if nothing follows the image, because offsets from the start of the file, or from a segment before the cut (Multi-Picture
//! Format), may point to such data. In that case the zeros stay.

use crate::model::image::Format;
use memchr::memmem;
use std::ops::Range;

/// Returns whether anything was cut out.
pub(in super::super) fn compact(file: &mut Vec<u8>, format: Format) -> bool {
    let ranges = match format {
        Format::Jpeg => jpeg(file),
        Format::Gif => gif(file),
        // Their chunks are dropped when they are cleaned.
        Format::Png | Format::Webp => None,
    };
    let Some(ranges) = ranges.filter(|ranges| !ranges.is_empty()) else { return false };
    let mut kept = Vec::with_capacity(file.len());
    let mut at = 0;
    for range in ranges {
        kept.extend_from_slice(file.get(at..range.start).unwrap_or_default());
        at = range.end;
    }
    kept.extend_from_slice(file.get(at..).unwrap_or_default());
    *file = kept;
    true
}

/// Returns the ranges to cut, or `None` if the file has data after the image, or seems to.
fn jpeg(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut blank = Vec::new();
    let mut at = 2;
    loop {
        let [0xff, marker, high, low] = *file.get(at..)?.first_chunk()? else { return None };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
        match marker {
            0xda => break,
            0xeb if file.get(at + 4..end)?.strip_prefix(b"JP").is_some_and(is_zeros) => blank.push(at..end),
            0xe2 if file.get(at + 4..end)?.starts_with(b"MPF\0") => return None,
            _ => {}
        }
        at = end;
    }
    let data = file.get(at..)?;
    (memmem::find(data, b"\xff\xd9")? + 2 == data.len()).then_some(blank)
}

fn gif(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut blank = Vec::new();
    let palette_bytes = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + palette_bytes(*file.get(10)?);
    loop {
        let start = at;
        at += match file.get(at)? {
            0x21 => 2,
            0x2c => 11 + palette_bytes(*file.get(at + 9)?),
            0x3b if at + 1 == file.len() => return Some(blank),
            _ => return None,
        };
        while let Some(length) = file.get(at).map(|&length| usize::from(length)).filter(|&length| length > 0) {
            at += 1 + length;
        }
        at += 1;
        let is_nameless = file.get(start..start + 3) == Some(&[0x21, 0xff, 11])
            && file.get(start + 3..start + 14) == Some(&super::GIF_BLANK_NAME[..]);
        if is_nameless {
            blank.push(start..at);
        }
    }
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

//! Ricoh's user-defined tags in APP5, as ExifTool documents them: a list of names, a list of texts, and a list of numbers, which
//! are items of the camera's menus.

use super::tiff_read::Tiff;
use super::{fill, keywords};
use std::ops::Range;

pub(super) const HEADER: &[u8] = b"RMETA\0";

/// The camera has ten tags; ExifTool stops at this number.
const MAX_TAGS: usize = 100;

const NAMES: u16 = 1;
const NUMBERS: u16 = 3;

/// Removes the values of tags whose name means a location and returns whether there were any. `body` starts with [`HEADER`].
pub(super) fn clean(body: &mut [u8]) -> bool {
    let Some(found) = find(body) else { return false };
    let mut changed = false;
    for (range, padding) in found {
        changed |= body.get_mut(range).is_some_and(|value| fill(value, padding));
    }
    changed
}

/// Returns the ranges of the values, and the byte to overwrite each with.
fn find(body: &[u8]) -> Option<Vec<(Range<usize>, u8)>> {
    let start = HEADER.len();
    let big_endian = body.get(start..start + 2)? != b"II";
    let reader = Tiff { bytes: body, big_endian };
    // Other parts are sound and bar codes.
    if reader.u16(start + 4)? != 0 {
        return None;
    }
    let sections = start + usize::from(reader.u16(start + 8)?);
    let tags = usize::from(reader.u16(sections)?).min(MAX_TAGS);
    let (mut locations, mut texts, mut numbers) = (Vec::new(), Vec::new(), 0..0);
    let mut at = sections + 10;
    while let (Some(kind), Some(size)) = (reader.u16(at), reader.u16(at + 2)) {
        let data = at + 4..at + 2 + usize::from(size.max(2));
        let Some(content) = body.get(data.clone()) else { break };
        match kind {
            NAMES => {
                let is_location = |name: &[u8]| keywords::is_location_keyword(name);
                locations = content.split(|&byte| byte == 0).take(tags).map(is_location).collect();
            }
            2 | 18 => texts = strings(content, data.start),
            NUMBERS => numbers = data.clone(),
            _ => {}
        }
        if size < 2 {
            break;
        }
        at = data.end;
    }
    let mut found = Vec::new();
    for (index, _) in locations.iter().enumerate().filter(|(_, is_location)| **is_location) {
        found.extend(texts.get(index).map(|text| (text.clone(), b' ')));
        let number = numbers.start + 2 * index;
        // Zero is an empty field.
        found.extend((number + 2 <= numbers.end).then_some((number..number + 2, 0)));
    }
    Some(found)
}

fn strings(content: &[u8], start: usize) -> Vec<Range<usize>> {
    let mut at = start;
    let next = |text: &[u8]| {
        let range = at..at + text.len();
        at = range.end + 1;
        range
    };
    content.split(|&byte| byte == 0).take(MAX_TAGS).map(next).collect()
}

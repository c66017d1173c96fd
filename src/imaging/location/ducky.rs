//! Photoshop's "Save for Web" stores a quality, a comment and a copyright in APP12 (`Ducky`), as numbered texts with their
//! length.

use super::{Policy, text};

pub(super) const HEADER: &[u8] = b"Ducky";

/// Numbers of the texts.
const COMMENT: u16 = 2;
const COPYRIGHT: u16 = 3;

/// The number of characters, before a text in UTF-16.
const COUNT_BYTES: usize = 4;

/// Removes coordinates from the texts in place and returns whether there were any.
pub(super) fn clean(segment: &mut [u8], policy: Policy) -> bool {
    let mut changed = false;
    let mut at = HEADER.len();
    while let Some(&[a, b, c, d]) = segment.get(at..).and_then(|rest| rest.first_chunk()) {
        let (number, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        if number == 0 {
            break;
        }
        let start = at + 4;
        let end = (start + length).min(segment.len());
        if matches!(number, COMMENT | COPYRIGHT) {
            let text = segment.get_mut(start + COUNT_BYTES..end);
            changed |= text.is_some_and(|text| text::clean_any(text, policy));
        }
        at = end;
    }
    changed
}

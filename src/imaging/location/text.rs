//! Removes coordinates from free text in any container: a comment, a description, EXIF's `UserComment`.

use super::wide::{self, Wide};
use super::{Policy, coordinates, fill};

/// One pass removes all coordinates of an ordinary text. In a crafted one, an edit may join two halves.
const MAX_PASSES: usize = 4;

/// How a text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// ASCII, Latin-1 or UTF-8.
    Bytes,
    Wide(Wide),
}

/// Removes coordinates in place and returns whether there were any.
///
/// A text that does not settle is wiped.
pub(super) fn clean(text: &mut [u8], encoding: Encoding, policy: Policy) -> bool {
    let edit = |text: &mut [u8]| settle(text, coordinates::clean, policy);
    match encoding {
        Encoding::Bytes => edit(text),
        Encoding::Wide(wide) => wide.edit(text, edit),
    }
}

/// Same as [`clean`], for text in single bytes that may be data for programs.
pub(super) fn clean_data(text: &mut [u8], policy: Policy) -> bool {
    settle(text, coordinates::clean_data, policy)
}

fn settle(text: &mut [u8], edit: impl Fn(&mut [u8]) -> bool, policy: Policy) -> bool {
    let passes = (0..MAX_PASSES).take_while(|_| edit(text)).count();
    if passes == MAX_PASSES || passes > 0 && policy.wipe {
        fill(text, b' ');
    }
    passes > 0
}

/// Same as [`clean`], for text of unknown encoding. A byte order mark or zeros indicate UTF-16.
pub(super) fn clean_any(text: &mut [u8], policy: Policy) -> bool {
    let changed = clean(text, Encoding::Bytes, policy);
    match wide::guess(text) {
        Some(wide) => clean(text, Encoding::Wide(wide), policy) || changed,
        None => changed,
    }
}

/// Same as [`clean`], for EXIF texts with the encoding in the first eight bytes (EXIF 3.0, 4.6.6, UserComment).
pub(super) fn clean_with_character_code(value: &mut [u8], big_endian: bool, policy: Policy) -> bool {
    let Some((code, text)) = value.split_at_mut_checked(8) else { return clean(value, Encoding::Bytes, policy) };
    let wide = if big_endian { Wide::UTF_16_BE } else { Wide::UTF_16_LE };
    match &*code {
        b"UNICODE\0" => {
            let (wide, text) = match text {
                [0xff, 0xfe, ..] => (Wide::UTF_16_LE, text),
                [0xfe, 0xff, ..] => (Wide::UTF_16_BE, text),
                // Writers differ on whether the block's byte order applies; the zeros show which one was used.
                [0, _, ..] => (Wide::UTF_16_BE, text),
                [_, 0, ..] => (Wide::UTF_16_LE, text),
                _ => (wide, text),
            };
            clean(text, Encoding::Wide(wide), policy)
        }
        b"ASCII\0\0\0" | b"JIS\0\0\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0] => clean(text, Encoding::Bytes, policy),
        // Some writers omit the character code.
        _ => clean(value, Encoding::Bytes, policy),
    }
}

//! ImageMagick's raw profiles: metadata in a PNG text chunk, as hexadecimal digits after lines with the profile's name and
//! length. The digits are changed in place, so their line breaks stay.

use super::block::Kind;
use super::word_match::starts_with_any_case;
use super::{Outcome, Policy, clean_block, fill};

const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Precedes the name of the profile.
const KEYWORD: &str = "Raw profile type ";

/// Returns whether a keyword announces a profile, with or without locations.
pub(super) fn is_raw_profile(keyword: &[u8]) -> bool {
    starts_with_any_case(keyword, KEYWORD)
}

/// Returns the kind of the announced profile, if it can hold a location: `exif`, `app1` (EXIF or XMP), `iptc`, `8bim`, `xmp`.
pub(super) fn announced_kind(keyword: &[u8]) -> Option<Kind> {
    let name = keyword.get(KEYWORD.len()..).filter(|_| is_raw_profile(keyword))?;
    match name.to_ascii_lowercase().as_slice() {
        b"exif" | b"app1" => Some(Kind::Exif),
        b"iptc" | b"8bim" | b"app13" => Some(Kind::Iptc),
        b"xmp" => Some(Kind::Xmp),
        _ => None,
    }
}

/// Cleans the profile within its text. A profile with unreadable digits is emptied.
pub(super) fn clean(kind: Kind, text: &mut [u8], policy: Policy) -> Outcome {
    let Some(start) = digits_start(text) else { return empty(text) };
    let Some(digits) = text.get_mut(start..) else { return Outcome::Unchanged };
    let Some(mut profile) = decode(digits) else { return empty(text) };
    let (kind, skip) = recognise(kind, &profile);
    let outcome = profile.get_mut(skip..).map_or(Outcome::Unchanged, |block| clean_block(kind, block, policy));
    if outcome == Outcome::Edited {
        encode(&profile, digits);
    }
    outcome
}

fn empty(text: &mut [u8]) -> Outcome {
    if fill(text, b' ') { Outcome::Emptied } else { Outcome::Unchanged }
}

/// Returns the position after `\n<name>\n<length>\n`.
fn digits_start(text: &[u8]) -> Option<usize> {
    let mut lines = memchr::memchr_iter(b'\n', text);
    let name = lines.next().filter(|&first| first == 0)?;
    lines.next()?;
    lines.next().filter(|&end| end > name).map(|end| end + 1)
}

fn decode(digits: &[u8]) -> Option<Vec<u8>> {
    let mut profile = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for &byte in digits.iter().filter(|&&byte| !is_space(byte)) {
        let value = char::from(byte).to_digit(16)? as u8;
        match high.take() {
            None => high = Some(value),
            Some(high) => profile.push(high << 4 | value),
        }
    }
    high.is_none().then_some(profile)
}

fn encode(profile: &[u8], digits: &mut [u8]) {
    let values = profile.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, value) in digits.iter_mut().filter(|byte| !is_space(**byte)).zip(values) {
        // Keep the case of unchanged digits.
        if char::from(*place).to_digit(16) != Some(u32::from(value)) {
            *place = char::from_digit(u32::from(value), 16).map_or(b'0', |digit| digit as u8);
        }
    }
}

/// Some writers end the text with a zero.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0
}

/// The header of the content is more reliable than the keyword.
fn recognise(announced: Kind, profile: &[u8]) -> (Kind, usize) {
    if profile.starts_with(b"Exif\0") || profile.starts_with(b"II*\0") || profile.starts_with(b"MM\0*") {
        (Kind::Exif, 0)
    } else if profile.starts_with(XMP_HEADER) {
        (Kind::Xmp, XMP_HEADER.len())
    } else if profile.trim_ascii_start().starts_with(b"<") {
        (Kind::Xmp, 0)
    } else if profile.starts_with(b"Photoshop 3.0\0") {
        (Kind::Photoshop, b"Photoshop 3.0\0".len())
    } else {
        (announced, 0)
    }
}

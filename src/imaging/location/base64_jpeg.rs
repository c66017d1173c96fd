//! JPEGs in base64 inside XMP (`xmpGImg:image`, `GImage:Data`), which may have metadata of their own.

use super::{Policy, clean_embedded_jpegs, fill};

/// The start of a JPEG in base64.
const JPEG_START: &[u8] = b"/9j/";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn is_base64(value: &[u8]) -> bool {
    value.trim_ascii_start().starts_with(JPEG_START)
}

/// Cleans the JPEG in place and returns whether it had a location. Line breaks stay, also those written as character references.
///
/// Needs memory for the decoded JPEG only.
pub(super) fn clean_base64(value: &mut [u8], policy: Policy) -> bool {
    if policy.wipe || policy.levels == 0 {
        return fill(value, b' ');
    }
    let mut jpeg = decode(value);
    let changed = clean_embedded_jpegs(&mut jpeg, policy.nested());
    if changed {
        encode(&jpeg, value);
    }
    changed
}

fn decode(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() / 4 * 3);
    let (mut bits, mut held, mut at) = (0u32, 0, 0);
    while let Some((_, digit)) = next_digit(value, &mut at) {
        bits = bits << 6 | digit;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Overwrites the digits. The bits after the last whole byte become zeros, as RFC 4648 requires.
fn encode(bytes: &[u8], value: &mut [u8]) {
    let mut at = 0;
    let mut rest = bytes.iter();
    let (mut bits, mut held) = (0u32, 0);
    while let Some((place, _)) = next_digit(value, &mut at) {
        if held < 6 {
            bits = bits << 8 | u32::from(rest.next().copied().unwrap_or(0));
            held += 8;
        }
        held -= 6;
        let digit = ALPHABET.get((bits >> held & 63) as usize);
        if let (Some(target), Some(&digit)) = (value.get_mut(place), digit) {
            *target = digit;
        }
    }
}

/// Returns the position and value of the next digit from `at` on. Skips white space and XML character references to it.
fn next_digit(text: &[u8], at: &mut usize) -> Option<(usize, u32)> {
    loop {
        let place = *at;
        let byte = *text.get(place)?;
        *at += 1;
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'&' => {
                *at += memchr::memchr(b';', text.get(*at..)?)? + 1;
                continue;
            }
            _ => continue,
        };
        return Some((place, u32::from(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_and_written_in_place() {
        let mut value = b" /9j/\n4AAQ&#xA;SkZJ\tRg==".to_vec();
        assert_eq!(decode(&value), b"\xff\xd8\xff\xe0\0\x10JFIF");
        encode(b"\xff\xd8\xff\xe1\0\x10jfif", &mut value);
        assert_eq!(value, b" /9j/\n4QAQ&#xA;amZp\tZg==");
    }
}

//! JSON (RFC 8259), as far as needed to list keys and texts: a lexer for strings. Everything between them is ignored, and so
//! depth does not matter.

use super::boxes::Malformed;
use super::vocabulary::Item;
use std::borrow::Cow;

/// Visits the keys and texts in order.
pub(super) fn walk(text: &[u8], mut visit: impl FnMut(Item)) -> Result<(), Malformed> {
    // UTF-16 has zeros, and JSON in UTF-8 has none.
    let end = text.len() - text.iter().rev().take_while(|&&byte| byte == 0).count();
    let text = text.get(..end).unwrap_or_default();
    if memchr::memchr(0, text).is_some() {
        return Err(Malformed);
    }
    let mut rest = text;
    let mut key = Cow::Borrowed(&b""[..]);
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let start = rest.get(quote + 1..).unwrap_or_default();
        let length = length(start).ok_or(Malformed)?;
        let string = unescaped(start.get(..length).unwrap_or_default());
        rest = start.get(length + 1..).unwrap_or_default();
        if rest.trim_ascii_start().first() == Some(&b':') {
            visit(Item::Key(&string));
            key = string;
        } else {
            visit(Item::Text { key: &key, text: &string });
        }
    }
    Ok(())
}

/// Returns the length up to the closing quote.
fn length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(at)? {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// Resolves escapes. Invalid ones and surrogates stay as they are, because no name contains them.
fn unescaped(string: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', string).is_none() {
        return Cow::Borrowed(string);
    }
    let mut whole = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        whole.extend_from_slice(before);
        let (taken, character) = match escape.get(1) {
            Some(b'u') => match numbered(escape.get(2..6)) {
                Some(character) => (6, Some(character)),
                None => (2, None),
            },
            Some(b'n') => (2, Some('\n')),
            Some(b't') => (2, Some('\t')),
            Some(b'r') => (2, Some('\r')),
            Some(b'b' | b'f') => (2, Some(' ')),
            Some(&other) if other.is_ascii() => (2, Some(char::from(other))),
            _ => (1, None),
        };
        if let Some(character) = character {
            whole.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = escape.get(taken..).unwrap_or_default();
    }
    whole.extend_from_slice(rest);
    Cow::Owned(whole)
}

fn numbered(digits: Option<&[u8]>) -> Option<char> {
    let code = u32::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()?;
    char::from_u32(code)
}

//! An XML value with its character references resolved, and the position of each resolved byte in the document.

use super::xml;
use std::borrow::Cow;
use std::ops::Range;

/// The longest reference: to the last character, with some leading zeros.
const MAX_REFERENCE: usize = 16;

/// A longer value is searched unresolved: the positions of its bytes would take eight times its memory, which is not reserved.
/// Human-readable text is shorter.
const MAX_VALUE: usize = 256 << 10;

/// Looks like a space and separates like one.
const NO_BREAK_SPACE: &[u8] = "\u{a0}".as_bytes();

pub(super) struct Resolved<'a> {
    pub text: Cow<'a, [u8]>,
    /// The range of each byte of the text in the value; `None` if nothing was resolved.
    positions: Option<Vec<Position>>,
}

/// A range in 32 bits, because a block is small.
#[derive(Clone, Copy)]
struct Position {
    start: u32,
    end: u32,
}

impl<'a> Resolved<'a> {
    /// Resolves a value. References that cannot be resolved stay as they are, and so does a value of more than 256 KiB. A
    /// no-break space becomes a space.
    pub fn of(value: &'a [u8]) -> Self {
        let has_any = || memchr::memchr(b'&', value).is_some() || memchr::memmem::find(value, NO_BREAK_SPACE).is_some();
        if value.len() > MAX_VALUE || !has_any() {
            return Resolved { text: Cow::Borrowed(value), positions: None };
        }
        let mut text = Vec::with_capacity(value.len());
        let mut positions = Vec::with_capacity(value.len());
        let mut at = 0;
        while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
            let (length, characters) = first(rest);
            let position = Position { start: to_u32(at), end: to_u32(at + length) };
            positions.extend(characters.iter().map(|_| position));
            text.extend_from_slice(&characters);
            at += length;
        }
        Resolved { text: Cow::Owned(text), positions: Some(positions) }
    }

    /// Returns the range in the value of a range of the text.
    pub fn source_range(&self, range: Range<usize>) -> Range<usize> {
        let Some(positions) = &self.positions else { return range };
        let start = positions.get(range.start).map_or(range.end, |position| position.start as usize);
        let end = range.end.checked_sub(1).and_then(|last| positions.get(last)).map_or(start, |position| position.end as usize);
        start..end.max(start)
    }
}

/// Returns how many bytes of the value the first character or byte takes, and its text.
fn first(rest: &[u8]) -> (usize, Cow<'_, [u8]>) {
    if rest.starts_with(NO_BREAK_SPACE) {
        return (NO_BREAK_SPACE.len(), Cow::Borrowed(b" "));
    }
    if rest.first() == Some(&b'&')
        && let Some(length) = memchr::memchr(b';', rest.get(..rest.len().min(MAX_REFERENCE)).unwrap_or_default())
        && let Some(reference) = rest.get(..=length)
        && let Ok(character) = xml::resolve(reference)
    {
        let character = if character == NO_BREAK_SPACE { vec![b' '] } else { character };
        return (reference.len(), Cow::Owned(character));
    }
    (1, Cow::Borrowed(rest.get(..1).unwrap_or_default()))
}

fn to_u32(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_map_back_to_the_references() {
        let value = "a&#46;b&amp;&nosuch;\u{a0}&#160;&#xb0;&".as_bytes();
        let resolved = Resolved::of(value);
        assert_eq!(resolved.text, "a.b&&nosuch;  °&".as_bytes());
        let place = |range: Range<usize>| std::str::from_utf8(&value[resolved.source_range(range)]).expect("text");
        assert_eq!(place(0..1), "a");
        assert_eq!(place(1..2), "&#46;");
        assert_eq!(place(0..4), "a&#46;b&amp;");
        assert_eq!(place(12..13), "\u{a0}");
        assert_eq!(place(13..16), "&#160;&#xb0;");
        assert_eq!(place(15..16), "&#xb0;");
        assert_eq!(place(0..17), std::str::from_utf8(value).expect("text"));
        assert_eq!(Resolved::of(b"plain").source_range(1..3), 1..3);
        let long = b"&#46;".repeat(MAX_VALUE / 5 + 1);
        assert_eq!(Resolved::of(&long).text, long);
    }
}

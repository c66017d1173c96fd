//! Coordinates in free text: finds them, and leaves the text around them.
//!
//! Three things are coordinates: a number with a label (`Latitude: 43.6`, `"lat":43.6`, `GPSLatitude=…`), an angle that its
//! hemisphere or degree sign gives away (`41°59'12"N`, `41.98N 12.34E`), and a link to a map. A pair of bare numbers is not,
//! unless it is all that the text has. Resolutions, dates, prices, versions, temperatures and exposure latitudes are none.
//! [`super::labels`] knows the words, and [`super::pairs`] what two numbers may be instead.
//!
//! Works on bytes of ASCII, Latin-1 or UTF-8; [`super::wide`] brings wider encodings down to that.

mod labelled;
mod unlabelled;

use super::geometry;
use super::links::{self, Link};
use super::pairs;
use std::ops::Range;

/// How far two coordinates of one place may be apart, as in `Lat 41.98, altitude 12 m`.
const NEAR_BYTES: usize = 32;

/// Decimal places that both numbers of a pair have behind a label: about a hundred metres.
const PAIR_DECIMALS: usize = 3;

/// The longest label that is looked at.
const MAX_LABEL: usize = 48;

/// Where the coordinate is, and what to write over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub range: Range<usize>,
    pub replacement: Replacement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    Spaces,
    /// `null`, so that JSON stays JSON. A number too short for that becomes an empty string, or zero.
    Null,
}

impl Edit {
    /// The text keeps its length.
    pub fn apply(&self, text: &mut [u8]) {
        let Some(target) = text.get_mut(self.range.clone()) else { return };
        target.fill(b' ');
        let value: &[u8] = match (self.replacement, target.len()) {
            (Replacement::Spaces, _) | (_, 0) => b"",
            (Replacement::Null, 1) => b"0",
            (Replacement::Null, 2 | 3) => b"\"\"",
            (Replacement::Null, _) => b"null",
        };
        for (byte, new) in target.iter_mut().zip(value) {
            *byte = *new;
        }
    }
}

/// Removes the coordinates in place; whether there were any.
pub(super) fn clean(text: &mut [u8]) -> bool {
    apply(&find_in_whole(text), text)
}

/// As [`clean`], of a text that may be data for programs: nothing but two numbers is no place there.
pub(super) fn clean_data(text: &mut [u8]) -> bool {
    apply(&find(text), text)
}

fn apply(edits: &[Edit], text: &mut [u8]) -> bool {
    for edit in edits {
        edit.apply(text);
    }
    !edits.is_empty()
}

/// As [`find`], of a text that is whole, and for people: it may be nothing but two numbers.
pub(super) fn find_in_whole(text: &[u8]) -> Vec<Edit> {
    let mut edits = find(text);
    if edits.is_empty() {
        edits.extend(pairs::bare(text).map(|range| Edit { range, replacement: Replacement::Spaces }));
    }
    edits
}

/// The coordinates, in the order of the text, without overlaps.
pub(super) fn find(text: &[u8]) -> Vec<Edit> {
    let mut search = Search { text, edits: Vec::new() };
    let mut at = 0;
    while let Some(skip) = text.get(at..).and_then(|rest| rest.iter().position(|&byte| may_start(byte))) {
        at += skip;
        at = search.scan_at(at).max(at + 1);
    }
    search.edits
}

/// What a label, an angle or a link can start with.
fn may_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+')
}

struct Search<'a> {
    text: &'a [u8],
    edits: Vec<Edit>,
}

impl Search<'_> {
    /// Looks at one place; where to go on.
    fn scan_at(&mut self, at: usize) -> usize {
        let before = at.checked_sub(1).and_then(|before| self.text.get(before)).copied();
        let Some(&first) = self.text.get(at) else { return at };
        let in_word = before.is_some_and(|before| before.is_ascii_alphanumeric() || before == b'_' || before >= 0x80);
        if first.is_ascii_alphabetic() {
            if in_word {
                return at;
            }
            let label = self.label_at(at);
            if label.len() > MAX_LABEL {
                return label.end;
            }
            let found = self.link(at).or_else(|| self.geometry(&label));
            let found = found.or_else(|| self.labelled(&label)).or_else(|| self.angle(at));
            return found.unwrap_or(if label.len() > 1 { label.end } else { at });
        }
        // Not in the middle of a number, a date or a name.
        if in_word || before.is_some_and(|before| matches!(before, b'.' | b'-' | b'+') && first.is_ascii_digit()) {
            let digits = self.text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
            return at + digits;
        }
        self.angle(at).unwrap_or_else(|| {
            // An angle is short; the rest of a long number is none.
            let number = self.text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
            at + number
        })
    }

    fn add(&mut self, range: Range<usize>, replacement: Replacement) -> usize {
        let end = range.end;
        self.edits.push(Edit { range, replacement });
        end
    }

    fn link(&mut self, at: usize) -> Option<usize> {
        match links::at(self.text, at)? {
            Link::ToPlace(range) => Some(self.add(range, Replacement::Spaces)),
            Link::Other { end } => Some(end),
        }
    }

    fn geometry(&mut self, word: &Range<usize>) -> Option<usize> {
        geometry::find(self.text, word).map(|numbers| self.add(numbers, Replacement::Spaces))
    }

    /// The word at `at`, with the underscores in it.
    fn label_at(&self, at: usize) -> Range<usize> {
        let letters = |byte: &&u8| byte.is_ascii_alphabetic() || **byte == b'_';
        at..at + self.text.get(at..).unwrap_or_default().iter().take_while(letters).count()
    }

    fn is_near_last(&self, at: usize) -> bool {
        self.edits.last().is_some_and(|edit| at - edit.range.end.min(at) <= NEAR_BYTES)
    }
}

#[cfg(test)]
mod tests;

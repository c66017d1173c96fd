//! Finds and removes coordinates in free text, and leaves the text around them.
//!
//! Three things are coordinates: a number with a label (`Latitude: 43.6`, `"lat":43.6`, `GPSLatitude=…`), an angle identified by
//! its hemisphere or degree sign (`41°59'12"N`, `41.98N 12.34E`), and a link to a map. A pair of bare numbers is not, unless it
//! is the whole text. Resolutions, dates, prices, versions, temperatures and exposure latitudes are not coordinates.
//! [`super::labels`] defines the words, and [`super::pairs`] what else two numbers may be.
//!
//! Works on bytes of ASCII, Latin-1 or UTF-8; [`super::wide`] converts wider encodings to that.

mod labelled;
mod unlabelled;

use super::geometry;
use super::links::{self, Link};
use super::pairs;
use std::ops::Range;

/// The maximum distance between two coordinates of one location, as in `Lat 41.98, altitude 12 m`.
const NEAR_BYTES: usize = 32;

/// Decimal places that both numbers of a pair need after a label: about a hundred metres.
const PAIR_DECIMALS: usize = 3;

/// The longest label that is checked.
const MAX_LABEL: usize = 48;

/// The range of a coordinate, and what to overwrite it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub range: Range<usize>,
    pub replacement: Replacement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    Spaces,
    /// `null`, so that JSON stays valid. A number too short for that becomes an empty string, or zero.
    Null,
}

impl Edit {
    /// Overwrites the range. The text keeps its length.
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

/// Removes the coordinates in place and returns whether there were any.
pub(super) fn clean(text: &mut [u8]) -> bool {
    apply(&find_in_whole(text), text)
}

/// Same as [`clean`], for text that may be data for programs: there, a bare pair of numbers is not a location.
pub(super) fn clean_data(text: &mut [u8]) -> bool {
    apply(&find(text), text)
}

fn apply(edits: &[Edit], text: &mut [u8]) -> bool {
    for edit in edits {
        edit.apply(text);
    }
    !edits.is_empty()
}

/// Same as [`find`], for a whole human-readable text, which may be a bare pair of numbers.
pub(super) fn find_in_whole(text: &[u8]) -> Vec<Edit> {
    let mut edits = find(text);
    if edits.is_empty() {
        edits.extend(pairs::bare(text).map(|range| Edit { range, replacement: Replacement::Spaces }));
    }
    edits
}

/// Returns the coordinates in text order, without overlaps.
pub(super) fn find(text: &[u8]) -> Vec<Edit> {
    let mut search = Search { text, edits: Vec::new() };
    let mut at = 0;
    while let Some(skip) = text.get(at..).and_then(|rest| rest.iter().position(|&byte| may_start(byte))) {
        at += skip;
        at = search.scan_at(at).max(at + 1);
    }
    search.edits
}

/// Returns whether a label, an angle or a link can start with this byte.
fn may_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+')
}

struct Search<'a> {
    text: &'a [u8],
    edits: Vec<Edit>,
}

impl Search<'_> {
    /// Searches at one position and returns where to continue.
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
            // An angle is short, so skip the rest of a long number.
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
            Link::ToLocation(range) => Some(self.add(range, Replacement::Spaces)),
            Link::Other { end } => Some(end),
        }
    }

    fn geometry(&mut self, word: &Range<usize>) -> Option<usize> {
        geometry::find(self.text, word).map(|numbers| self.add(numbers, Replacement::Spaces))
    }

    /// Returns the range of the word at `at`, including underscores.
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

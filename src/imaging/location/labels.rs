//! The words that announce a coordinate in free text, and what separates such a word from its number.

use super::property_names::{self, Axis};
use super::word_match::{contains_any_case, is_one_of, starts_with_any_case, words};
use std::ops::Range;

/// Characters between a label and its number.
const MAX_GAP: usize = 6;

/// The longest prefix of a name, including its quotation mark.
const MAX_PREFIX: usize = 24;

/// A longer word is not an abbreviation, so a full stop after it ends a sentence.
const MAX_ABBREVIATION: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// `GPSLatitude`, `gps_position`
    Gps,
    /// `Latitude`, `geo_lat`
    Full,
    /// `lat`, `lng`
    Short(Axis),
    /// `long`, which usually means something else
    Long,
    /// `altitude`, next to a location
    Altitude,
    /// A label before two numbers.
    Pair(PairKind),
}

/// What else a label before two numbers may mean, besides a location on Earth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairKind {
    /// Nothing else: `GPS`, `latlng`.
    Earth,
    /// Anything with coordinates: `coordinates`.
    Coordinates,
    /// Anything with a position in a space, in an image or on a page: `location`, `position`.
    Position,
}

impl Label {
    pub fn of(text: &[u8]) -> Option<Label> {
        // Most words are not labels.
        if !text.iter().any(|byte| matches!(byte.to_ascii_lowercase(), b'l' | b'g' | b'c' | b'p')) {
            return None;
        }
        if let Some(kind) = PairKind::of(text) {
            return Some(Label::Pair(kind));
        }
        let (mut label, mut is_geographic) = (None, false);
        for word in words(text) {
            if is_one_of(word, &["iso", "exposure", "film"]) {
                return None;
            }
            is_geographic |= is_one_of(word, &["geo"]);
            let is_short = word.len() <= 3 && !is_geographic;
            label = match property_names::axis(word) {
                _ if starts_with_any_case(word, "gps") => Some(Label::Gps),
                _ if label == Some(Label::Gps) => label,
                Some(Axis::Altitude) => Some(Label::Altitude),
                Some(axis) => Some(if is_short { Label::Short(axis) } else { Label::Full }),
                None if is_one_of(word, &["long"]) => Some(if is_geographic { Label::Full } else { Label::Long }),
                None if is_one_of(word, &["alt", "elevation"]) => Some(Label::Altitude),
                // `latitude_ref`
                None if is_one_of(word, &["ref", "deg", "degrees", "decimal", "wgs", "dd", "dms"]) => label,
                None => None,
            };
        }
        match label {
            Some(Label::Gps) if !names_a_location(text) => None,
            label => label,
        }
    }
}

impl PairKind {
    fn of(text: &[u8]) -> Option<Self> {
        const EARTH: [&str; 11] =
            ["gps", "geo", "geotag", "geolocation", "geoposition", "geopoint", "latlng", "latlon", "latlong", "lnglat", "lonlat"];
        if is_one_of(text, &EARTH) {
            Some(PairKind::Earth)
        } else if is_one_of(text, &["coordinates", "coordinate", "coords", "coord"]) {
            Some(PairKind::Coordinates)
        } else {
            is_one_of(text, &["location", "position"]).then_some(PairKind::Position)
        }
    }
}

/// Returns whether a GPS label names a location. Others say, for example, that GPS is switched on.
fn names_a_location(label: &[u8]) -> bool {
    let places =
        ["lat", "lon", "lng", "alt", "pos", "coord", "area", "dest", "location", "place", "info", "processing", "speed", "track"];
    places.iter().any(|place| contains_any_case(label, place))
}

/// Returns whether a word names the coordinate that completes one along `axis`.
pub(super) fn is_other_axis(word: &[u8], axis: Axis) -> bool {
    words(word).last().is_some_and(|word| match property_names::axis(word) {
        Some(Axis::Altitude) => false,
        Some(other) => other != axis,
        None => axis == Axis::Latitude && is_one_of(word, &["long"]),
    })
}

/// Returns whether the label at `at` is the second one before two numbers: `Lat/Long: 41.98, 12.34`.
pub(super) fn is_second(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(MAX_PREFIX)..at).unwrap_or_default();
    let joins = |byte: &u8| matches!(byte, b' ' | b'/' | b',' | b'&' | b'-' | b'|' | b'.' | b';');
    let end = before.iter().rposition(|byte| !joins(byte)).map_or(0, |last| last + 1);
    let word = before.get(..end).unwrap_or_default();
    let start = word.iter().rposition(|byte| !byte.is_ascii_alphabetic()).map_or(0, |last| last + 1);
    let axis = property_names::axis(word.get(start..).unwrap_or_default());
    end < before.len() && matches!(axis, Some(Axis::Latitude | Axis::Longitude))
}

/// Returns the length of a prefix before a label that makes it geographic, as in the machine tag `geo:lat=41.98`.
pub(super) fn prefix_before(text: &[u8], at: usize) -> Option<usize> {
    let start = at.checked_sub(4)?;
    let is_prefix = text.get(start..at).is_some_and(|prefix| is_one_of(prefix, &["geo:", "gps:"]));
    let is_whole = start.checked_sub(1).and_then(|before| text.get(before)).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (is_prefix && is_whole).then_some(4)
}

/// What separates a label from its value.
pub(super) struct Gap {
    /// The start of the value.
    pub value: usize,
    /// A colon or an equals sign.
    pub has_separator: bool,
    /// The label is a JSON key.
    pub is_json: bool,
    /// The value is a string or a list.
    pub is_enclosed: bool,
}

impl Gap {
    pub fn after(text: &[u8], label: &Range<usize>) -> Option<Gap> {
        let mut gap = Gap { value: label.end, has_separator: false, is_json: false, is_enclosed: false };
        let quoted = quote_before(text, label.start);
        let start = label.end;
        gap.is_json = quoted && quote(text, gap.value).is_some();
        gap.value = quote(text, gap.value).unwrap_or(gap.value);
        // `Lat. 41.98`
        if !quoted && label.len() <= MAX_ABBREVIATION && text.get(gap.value) == Some(&b'.') {
            gap.value += 1;
        }
        let mut spaces = 0;
        while let Some(&byte) = text.get(gap.value).filter(|_| gap.value - start <= 3 * MAX_GAP && spaces <= 3) {
            match byte {
                b' ' | b'\t' => spaces += 1,
                b':' | b'=' if !gap.is_enclosed => {
                    gap.has_separator = true;
                    spaces = 0;
                }
                b'>' if text.get(gap.value - 1) == Some(&b'=') => {}
                b'(' | b'[' => gap.is_enclosed = true,
                _ => match quote(text, gap.value).filter(|_| gap.has_separator && !gap.is_enclosed) {
                    Some(next) => {
                        gap.is_enclosed = true;
                        gap.value = next;
                        continue;
                    }
                    None => break,
                },
            }
            gap.value += 1;
        }
        gap.is_json &= gap.has_separator;
        (gap.value > start).then_some(gap)
    }
}

/// Returns the position after the quotation mark at `at`, which may be escaped or a character reference.
fn quote(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    match rest {
        [b'"' | b'\'', ..] => Some(at + 1),
        [b'\\', b'"', ..] => Some(at + 2),
        _ if rest.starts_with(b"&quot;") => Some(at + 6),
        _ => None,
    }
}

fn quote_before(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(MAX_PREFIX)..at).unwrap_or_default();
    if matches!(before.last(), Some(b'"' | b'\'')) || before.ends_with(b"&quot;") {
        return true;
    }
    // `"exif:GPSLatitude"`
    let start = before.iter().rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b':');
    before.ends_with(b":") && start.is_some_and(|start| matches!(before.get(start), Some(b'"' | b'\'')))
}

//! Coordinates with a label: `Latitude: 43.6`, `"lat":43.6`, `GPSLatitude=…`.

use super::super::angle::Angle;
use super::super::labels::{self, Gap, Label};
use super::super::pairs;
use super::super::property_names::Axis;
use super::super::word_match::contains_any_case;
use super::{NEAR_BYTES, PAIR_DECIMALS, Replacement, Search};
use std::ops::Range;

/// The longest text that counts as the value of a label.
const MAX_VALUE: usize = 256;

impl Search<'_> {
    pub(super) fn labelled(&mut self, range: &Range<usize>) -> Option<usize> {
        let label = Label::of(self.text.get(range.clone())?)?;
        if self.is_about_exposure(range.start) {
            return None;
        }
        let gap = Gap::after(self.text, range)?;
        if label == Label::Gps && !gap.is_json && gap.has_separator {
            let end = self.value(&gap)?;
            return Some(self.add(range.start..end, Replacement::Spaces));
        }
        let angle = Angle::at(self.text, gap.value)?.with_fractions(self.text);
        let is_second = matches!(label, Label::Full | Label::Short(_) | Label::Long) && labels::is_second(self.text, range.start);
        // Two labels prove that two numbers are a location.
        let decimals = if is_second { 1 } else { PAIR_DECIMALS };
        let second = pairs::second(self.text, &angle, decimals);
        let prefix = labels::prefix_before(self.text, range.start).filter(|_| !gap.is_json);
        let is_precise = angle.is_precise() || angle.decimals > 0 || angle.has_degree_sign || angle.hemisphere.is_some();
        let accepted = match label {
            _ if is_second && second.is_some() => true,
            Label::Gps => gap.is_json || is_precise,
            Label::Full => gap.has_separator || is_precise,
            Label::Short(_) if gap.is_json || prefix.is_some() && gap.has_separator => true,
            Label::Short(axis) => {
                self.is_certain(axis, &angle) || (gap.has_separator || is_precise) && self.is_beside_other(axis, range, &angle)
            }
            Label::Long => is_precise && self.is_beside_other(Axis::Longitude, range, &angle),
            Label::Altitude => self.is_near_last(range.start),
            Label::Pair(kind) => second.as_ref().is_some_and(|second| pairs::is_location(self.text, kind, &angle, second)),
        };
        // An earlier edit leaves a zero where nothing longer fits.
        if !accepted || gap.is_json && self.text.get(angle.range.clone()) == Some(b"0") {
            return None;
        }
        let end = second.map_or(angle.range.end, |second| second.range.end);
        let last_end = self.edits.last().map_or(0, |last| last.range.end);
        Some(if !gap.is_json {
            let start = (range.start - prefix.unwrap_or(0)).max(last_end);
            self.add(start..end, Replacement::Spaces)
        } else if gap.is_enclosed {
            self.add(gap.value..end, Replacement::Spaces)
        } else {
            self.add(gap.value..end, Replacement::Null)
        })
    }

    /// Returns the end of the value of `GPSAreaInformation=`: a number, or all text up to the next label or delimiter.
    fn value(&self, gap: &Gap) -> Option<usize> {
        if let Some(angle) = Angle::at(self.text, gap.value) {
            let angle = angle.with_fractions(self.text);
            return Some(pairs::second(self.text, &angle, PAIR_DECIMALS).unwrap_or(angle).range.end);
        }
        let rest = self.text.get(gap.value..)?;
        let rest = rest.get(..rest.len().min(MAX_VALUE))?;
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r' | b',' | b';' | b'"' | b'|' | b'}' | b'<' | b'&' | 0);
        let mut value = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
        if let Some(sign) = value.iter().position(|byte| matches!(byte, b'=' | b':')) {
            // The word before the separator is the next label.
            let before = value.get(..sign)?.trim_ascii_end();
            let space = before.iter().rposition(|&byte| byte == b' ')?;
            value = before.get(..space)?;
        }
        let value = value.trim_ascii_end();
        (!value.is_empty()).then_some(gap.value + value.len())
    }

    /// `Exposure latitude: 13.5 stops`
    fn is_about_exposure(&self, at: usize) -> bool {
        let before = self.text.get(at.saturating_sub(16)..at).unwrap_or_default();
        ["exposure ", "film ", "exposure-", "iso "].iter().any(|word| contains_any_case(before, word))
    }

    /// Returns whether a number after `lat` or `lng` alone is a coordinate: those words also name muscles and lengths.
    fn is_certain(&self, axis: Axis, angle: &Angle) -> bool {
        let decimals = if axis == Axis::Latitude { 2 } else { 3 };
        let is_angle = angle.has_minutes || angle.has_degree_sign || angle.hemisphere.is_some();
        is_angle || angle.decimals >= decimals && !pairs::is_measured(self.text, angle.range.end)
    }

    /// Returns whether a coordinate precedes, or the other axis follows with its number: `Long: 12.34` alone may be a length.
    fn is_beside_other(&self, axis: Axis, label: &Range<usize>, angle: &Angle) -> bool {
        if self.is_near_last(label.start) {
            return true;
        }
        let end = self.text.len().min(angle.range.end + NEAR_BYTES);
        let mut at = angle.range.end;
        while let Some(skip) = self.text.get(at..end).and_then(|near| near.iter().position(u8::is_ascii_alphabetic)) {
            let word = self.label_at(at + skip);
            let is_other = self.text.get(word.clone()).is_some_and(|word| labels::is_other_axis(word, axis));
            if is_other && Gap::after(self.text, &word).is_some_and(|gap| Angle::at(self.text, gap.value).is_some()) {
                return true;
            }
            at = word.end;
        }
        false
    }
}

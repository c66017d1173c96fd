//! Coordinates without a label: angles with a hemisphere or degree sign, and ISO 6709 strings.

use super::super::angle::{Angle, Hemisphere};
use super::super::pairs;
use super::{NEAR_BYTES, PAIR_DECIMALS, Replacement, Search};

impl Search<'_> {
    /// Matches an angle without a label, or a pair of them.
    pub(super) fn angle(&mut self, at: usize) -> Option<usize> {
        let first = Angle::at(self.text, at)?;
        if first.is_plain() {
            return self.iso_6709(at);
        }
        if let Some(second) = self.second_angle(&first) {
            let is_clear = |angle: &Angle| angle.is_precise() && !self.may_be_measure(angle);
            let both_clear = first.is_precise() && second.is_precise() && (is_clear(&first) || is_clear(&second));
            let both_signed = first.has_degree_sign && second.has_degree_sign;
            let is_pair = match (first.hemisphere, second.hemisphere) {
                (Some(one), Some(other)) => one != other && (both_clear || both_signed),
                (None, None) => first.is_precise() && second.is_precise() && both_signed,
                _ => false,
            };
            if is_pair && pairs::is_on_earth(first.whole, second.whole) {
                return Some(self.add(first.range.start..second.range.end, Replacement::Spaces));
            }
        }
        let hemisphere = first.hemisphere.filter(|_| first.has_degree_sign && first.is_precise())?;
        let limit = if hemisphere == Hemisphere::NorthSouth { 90 } else { 180 };
        let is_precise = first.has_minutes || first.decimals >= PAIR_DECIMALS;
        let alone = first.whole <= limit && (is_precise || self.is_beside_angle(hemisphere, &first));
        alone.then(|| self.add(first.range, Replacement::Spaces))
    }

    /// `9.81 N` and `N 5.25` may be a force or a size: small, round, and separated from the letter.
    fn may_be_measure(&self, angle: &Angle) -> bool {
        let is_apart = self.text.get(angle.range.clone()).is_some_and(|text| text.contains(&b' '));
        is_apart && angle.whole < 10 && !angle.has_degree_sign && !angle.has_minutes && angle.decimals < PAIR_DECIMALS
    }

    /// Returns whether a coordinate precedes, or an angle of the other axis follows: `21.55° S` alone is not a location.
    fn is_beside_angle(&self, hemisphere: Hemisphere, angle: &Angle) -> bool {
        let is_other = |at: usize| {
            let before = at.checked_sub(1).and_then(|before| self.text.get(before));
            let starts = before.is_none_or(|before| !before.is_ascii_alphanumeric() && *before != b'.');
            starts
                && Angle::at(self.text, at)
                    .is_some_and(|angle| angle.has_degree_sign && angle.hemisphere.is_some_and(|other| other != hemisphere))
        };
        self.is_near_last(angle.range.start) || (angle.range.end..angle.range.end + NEAR_BYTES).any(is_other)
    }

    fn second_angle(&self, first: &Angle) -> Option<Angle> {
        let rest = self.text.get(first.range.end..)?;
        let gap = rest.iter().take(4).take_while(|byte| matches!(byte, b',' | b' ' | b';' | b'/' | b'|' | b'\n' | b'\r')).count();
        Angle::at(self.text, first.range.end + gap).filter(|second| gap > 0 && !second.is_plain())
    }

    /// Matches `+41.9812+012.3412+471.1/`, as used in videos (ISO 6709, annex H).
    fn iso_6709(&mut self, at: usize) -> Option<usize> {
        let mut end = at;
        for (number, digits) in [2..=6, 3..=7, 1..=6].into_iter().enumerate() {
            if !matches!(self.text.get(end), Some(b'+' | b'-')) {
                return None;
            }
            let count =
                |from: usize| self.text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
            let whole = count(end + 1);
            let point = end + 1 + whole;
            let has_point = self.text.get(point) == Some(&b'.');
            if !digits.contains(&whole) || number < 2 && !has_point {
                return None;
            }
            end = if has_point { point + 1 + count(point + 1) } else { point };
            if number > 0 && self.text.get(end) == Some(&b'/') {
                return Some(self.add(at..end + 1, Replacement::Spaces));
            }
        }
        None
    }
}

//! Decides whether two adjacent numbers are a location, or a size, a ratio or a vector.

use super::angle::Angle;
use super::labels::PairKind;
use super::word_match::is_one_of;
use super::{is_blank, word_match};
use std::ops::Range;

/// A longer text is more than two numbers.
const MAX_BARE: usize = 64;

/// Returns the number after `first`, if both have at least as many `decimals` or are otherwise recognisable as angles.
pub(super) fn second(text: &[u8], first: &Angle, decimals: usize) -> Option<Angle> {
    let second = next(text, first, b", ;/\t\n\r")?;
    let is_one =
        |angle: &Angle| angle.decimals >= decimals || angle.has_degree_sign || angle.hemisphere.is_some() && angle.is_precise();
    (is_one(first) && is_one(&second) && second.whole <= 180).then_some(second)
}

/// Returns the next number, after some of the `separators`.
fn next(text: &[u8], first: &Angle, separators: &[u8]) -> Option<Angle> {
    let rest = text.get(first.range.end..)?;
    let gap = rest.iter().take(3).take_while(|byte| separators.contains(byte)).count();
    Angle::at(text, first.range.end + gap).filter(|_| gap > 0)
}

/// Returns whether two numbers after a label are a location.
pub(super) fn is_location(text: &[u8], kind: PairKind, first: &Angle, second: &Angle) -> bool {
    if !is_on_earth(first.whole, second.whole) {
        return false;
    }
    let decimals = match kind {
        PairKind::Earth => return true,
        PairKind::Coordinates => 3,
        PairKind::Position => 4,
    };
    let is_precise = |angle: &Angle| {
        let is_angle = angle.has_degree_sign || angle.hemisphere.is_some();
        angle.has_minutes || angle.decimals >= decimals || is_angle && angle.is_precise()
    };
    let is_ratio = is_ratio(text, first) && is_ratio(text, second);
    is_precise(first)
        && is_precise(second)
        && !is_ratio
        && !is_measured(text, second.range.end)
        && !is_vector(text, first, second)
}

/// Returns the range of two numbers that are the whole text, if they are a location.
pub(super) fn bare(text: &[u8]) -> Option<Range<usize>> {
    let end = text.iter().rposition(|&byte| !is_blank(&[byte]) && !matches!(byte, b')' | b']'))? + 1;
    let start = text.iter().position(|&byte| !is_blank(&[byte]) && !matches!(byte, b'(' | b'['))?;
    if end.saturating_sub(start) > MAX_BARE {
        return None;
    }
    let text = text.get(..end)?;
    let first = Angle::at(text, start).filter(Angle::is_plain)?;
    let gap = text.get(first.range.end..)?.iter().take_while(|byte| matches!(byte, b',' | b' ' | b';')).count();
    let second = Angle::at(text, first.range.end + gap).filter(|second| gap > 0 && second.is_plain())?;
    let is_precise = first.decimals >= 4 && second.decimals >= 4;
    let is_ratio = is_ratio(text, &first) && is_ratio(text, &second);
    let is_location = second.range.end == end && is_precise && is_on_earth(first.whole, second.whole) && !is_ratio;
    is_location.then_some(start..end)
}

/// Returns whether two integers can be latitude and longitude, in any order.
pub(super) fn is_on_earth(one: u32, other: u32) -> bool {
    one.min(other) <= 90 && one.max(other) <= 180
}

/// A number from 0 to 1 with few decimal places, such as a fraction of a width or a probability.
fn is_ratio(text: &[u8], angle: &Angle) -> bool {
    let number = text.get(angle.range.clone()).unwrap_or_default();
    angle.is_plain() && is_ratio_of(number, angle.whole, angle.decimals)
}

/// Same as [`is_ratio`], for a decimal `number`.
pub(super) fn is_ratio_of(number: &[u8], whole: u32, decimals: usize) -> bool {
    let is_one = || number.iter().rev().take(decimals).all(|&digit| digit == b'0');
    decimals <= 4 && (whole == 0 || whole == 1 && is_one())
}

/// Returns whether a unit follows that angles do not have.
pub(super) fn is_measured(text: &[u8], at: usize) -> bool {
    const UNITS: [&str; 21] = [
        "px", "pixel", "pixels", "pt", "dpi", "ppi", "mm", "cm", "m", "km", "um", "inch", "inches", "ft", "kg", "lb", "lbs",
        "oz", "ms", "hz", "fps",
    ];
    let rest = text.get(at..).unwrap_or_default();
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    rest.first() == Some(&b'%')
        || word_match::words(rest.get(..rest.len().min(8)).unwrap_or_default())
            .next()
            .is_some_and(|unit| rest.starts_with(unit) && is_one_of(unit, &UNITS))
}

/// Returns whether a third number follows on the line with the same precision. An altitude is rounded more.
fn is_vector(text: &[u8], first: &Angle, second: &Angle) -> bool {
    next(text, second, b", ;/").is_some_and(|third| third.is_plain() && third.decimals >= first.decimals.min(second.decimals))
}

//! A single byte range of a file, as HTTP requests it (RFC 9110, 14.1.2).

use std::fmt;
use std::ops::RangeInclusive;

/// The range of a `Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first byte to the last one, or to the end of the file.
    From(u64, Option<u64>),
    /// The last bytes of the file, as many as given.
    Last(u64),
}

impl ByteRange {
    /// Parses a header. Returns `None` for headers that are ignored, so that the whole file is sent: other units, several ranges,
    /// or an invalid range.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// Returns the range within a file of `length` bytes; `None` if it is not satisfiable.
    pub fn within(self, length: u64) -> Option<RangeInclusive<u64>> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From(first, last) => (first <= end).then(|| first..=last.unwrap_or(end).min(end)),
            Self::Last(count) => (count > 0).then(|| length.saturating_sub(count)..=end),
        }
    }
}

/// Writes a header with numbers that fit in 63 bits.
impl fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: u64| number.min(i64::MAX.unsigned_abs());
        match *self {
            Self::From(first, None) => write!(formatter, "bytes={}-", number(first)),
            Self::From(first, Some(last)) => write!(formatter, "bytes={}-{}", number(first), number(last)),
            Self::Last(count) => write!(formatter, "bytes=-{}", number(count)),
        }
    }
}

/// Parses digits only. Numbers that overflow become the maximum, which exceeds any file.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_cut_to_the_file() {
        let of_ten = |header: &str| ByteRange::parse(header).map(|range| range.within(10));
        for (header, range) in [
            ("bytes=0-0", Some(0..=0)),
            ("bytes=2-5", Some(2..=5)),
            ("Bytes = 2-", Some(2..=9)),
            ("bytes=9-9", Some(9..=9)),
            ("bytes=3-99999999999999999999999", Some(3..=9)),
            ("bytes=-4", Some(6..=9)),
            ("bytes=-40", Some(0..=9)),
            ("bytes=10-", None),
            ("bytes=10-20", None),
            ("bytes=-0", None),
        ] {
            assert_eq!(of_ten(header), Some(range.clone()), "{header}");
            assert_eq!(of_ten(&ByteRange::parse(header).unwrap().to_string()), Some(range), "{header}");
        }
        assert_eq!(ByteRange::From(0, None).within(0), None);
        assert_eq!(ByteRange::Last(5).within(0), None);
    }

    #[test]
    fn headers_without_exactly_one_byte_range_are_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=+1-2", "bytes=0-1,3-4", "lines=0-1", "bytes=1--2"]
        {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
    }
}

//! One range of a file's bytes, as HTTP asks for it (RFC 9110, 14.1.2).

use std::ops::RangeInclusive;

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From this byte to that one, or to the end.
    From(u64, Option<u64>),
    /// As many bytes as this at the end.
    Last(u64),
}

impl ByteRange {
    /// `None` for what is to be ignored, so that the whole is sent: other units, several ranges, or no range at all.
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

    /// The bytes of a file of `length` bytes; `None` when it has none of them.
    pub fn within(self, length: u64) -> Option<RangeInclusive<u64>> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From(first, last) => (first <= end).then(|| first..=last.unwrap_or(end).min(end)),
            Self::Last(count) => (count > 0).then(|| length.saturating_sub(count)..=end),
        }
    }
}

/// Digits alone; more than fit are more than any file has.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_cut_to_the_file() {
        let of_ten = |header| ByteRange::parse(header).map(|range| range.within(10));
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
            assert_eq!(of_ten(header), Some(range), "{header}");
        }
        assert_eq!(ByteRange::From(0, None).within(0), None);
        assert_eq!(ByteRange::Last(5).within(0), None);
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=+1-2", "bytes=0-1,3-4", "lines=0-1", "bytes=1--2"]
        {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
    }
}

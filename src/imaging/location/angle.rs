//! Parses one coordinate as people and programs write it: `41.98`, `-85,4`, `N 41° 59' 12.3"`, `41 deg 59' 12.30" N`, `41,59.2N`,
//! `41/1 59/1 1230/100`.

use std::ops::Range;

/// A number that may be a coordinate, and the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Angle {
    pub range: Range<usize>,
    /// The integer part, without sign.
    pub whole: u32,
    /// Decimal places of the degrees.
    pub decimals: usize,
    pub has_degree_sign: bool,
    pub has_minutes: bool,
    pub hemisphere: Option<Hemisphere>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hemisphere {
    NorthSouth,
    EastWest,
}

impl Angle {
    /// Returns whether it is more precise than a round number.
    pub fn is_precise(&self) -> bool {
        self.has_minutes || self.decimals >= 2
    }

    pub fn is_plain(&self) -> bool {
        !self.has_degree_sign && !self.has_minutes && self.hemisphere.is_none()
    }

    /// Parses the angle that starts exactly at `at`.
    pub fn at(text: &[u8], at: usize) -> Option<Angle> {
        let mut reader = Reader { text, at };
        let mut hemisphere = reader.hemisphere();
        let prefixed = hemisphere.is_some();
        if prefixed {
            reader.spaces(1);
        }
        reader.sign();
        let (whole, digits) = reader.number()?;
        if digits > 3 {
            return None;
        }
        let mut angle = Angle {
            range: at..reader.at,
            whole,
            decimals: reader.decimals(),
            has_degree_sign: false,
            has_minutes: false,
            hemisphere,
        };
        // XMP's `41,59.2N` and `41,59,12N`, and the clock-like `41:59:12.3N`. After decimals, a comma begins another number:
        // `41.98123,12.34123`.
        let separators: &[u8] = if angle.decimals > 0 { b":" } else { b",:" };
        let mut parts = 0;
        while parts < 2 && reader.skips(separators, |next| next.is_ascii_digit()) && reader.number().is_some() {
            angle.decimals = 0;
            angle.has_minutes = true;
            reader.decimals();
            parts += 1;
        }
        // After decimals, a slash begins another number too.
        if angle.decimals == 0 {
            reader.fraction();
        }
        angle.range.end = reader.at;
        reader.spaces(1);
        if reader.degree_sign() {
            angle.has_degree_sign = true;
            angle.range.end = reader.at;
            angle.has_minutes |= reader.minutes(prefixed);
        } else {
            reader.at = angle.range.end;
            // `N 41 59.2`
            angle.has_minutes |= prefixed && reader.minutes(prefixed);
        }
        angle.range.end = reader.at;
        if hemisphere.is_none() {
            reader.spaces(1);
            hemisphere = reader.hemisphere();
            if hemisphere.is_some() && !reader.in_word() {
                angle.hemisphere = hemisphere;
                angle.range.end = reader.at;
            }
        }
        Some(angle)
    }

    /// Includes the further fractions of EXIF's `41/1 59/1 1230/100`.
    pub fn with_fractions(mut self, text: &[u8]) -> Angle {
        for _ in 0..2 {
            let mut reader = Reader { text, at: self.range.end };
            reader.skips(b",", |_| true);
            reader.spaces(1);
            if reader.number().is_none() || !reader.fraction() {
                break;
            }
            self.range.end = reader.at;
        }
        self
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn spaces(&mut self, most: usize) {
        self.at += self.rest().iter().take(most).take_while(|&&byte| byte == b' ').count();
    }

    fn takes(&mut self, wanted: &[u8]) -> bool {
        let found = self.rest().get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted));
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn takes_one_of(&mut self, list: &[&[u8]]) -> bool {
        list.iter().any(|wanted| self.takes(wanted))
    }

    fn takes_word(&mut self, list: &[&[u8]]) -> bool {
        let start = self.at;
        let found = self.takes_one_of(list) && !self.in_word();
        if !found {
            self.at = start;
        }
        found
    }

    /// Skips one of `bytes` if the byte after it is as wanted.
    fn skips(&mut self, bytes: &[u8], wanted: impl Fn(u8) -> bool) -> bool {
        let found = matches!(self.rest(), [first, next, ..] if bytes.contains(first) && wanted(*next));
        self.at += usize::from(found);
        found
    }

    /// Skips an upper-case letter, or the word in any case, that does not start another word.
    fn hemisphere(&mut self) -> Option<Hemisphere> {
        let start = self.at;
        for (word, hemisphere) in [
            (&b"north"[..], Hemisphere::NorthSouth),
            (b"south", Hemisphere::NorthSouth),
            (b"east", Hemisphere::EastWest),
            (b"west", Hemisphere::EastWest),
        ] {
            if self.takes(word) && !self.in_word() {
                return Some(hemisphere);
            }
            self.at = start;
        }
        let hemisphere = match self.rest() {
            [b'N' | b'S', ..] => Hemisphere::NorthSouth,
            [b'E' | b'W', ..] => Hemisphere::EastWest,
            _ => return None,
        };
        self.at += 1;
        if self.rest().first().is_some_and(u8::is_ascii_alphabetic) {
            self.at = start;
            return None;
        }
        Some(hemisphere)
    }

    fn in_word(&self) -> bool {
        self.rest().first().is_some_and(u8::is_ascii_alphanumeric)
    }

    fn sign(&mut self) {
        let _ = self.takes_one_of(&[b"-", b"+", "\u{2212}".as_bytes()]);
    }

    /// Skips an integer and returns its value and number of digits.
    fn number(&mut self) -> Option<(u32, usize)> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = self.rest().iter().take(digits.min(9)).fold(0, |value, digit| value * 10 + u32::from(digit & 15));
        self.at += digits;
        (digits > 0).then_some((value, digits))
    }

    /// Skips a decimal point, or a comma without a third number after it, and digits. Returns the number of digits.
    fn decimals(&mut self) -> usize {
        let start = self.at;
        if !self.skips(b".,", |next| next.is_ascii_digit()) {
            return 0;
        }
        let is_comma = self.text.get(start) == Some(&b',');
        let digits = self.number().map_or(0, |(_, digits)| digits);
        if is_comma
            && (digits < 3 && matches!(self.rest(), [b'.' | b',', b'0'..=b'9', ..]) || self.is_minutes_before_hemisphere(digits))
        {
            self.at = start;
            return 0;
        }
        digits
    }

    /// Returns whether `41,59` are degrees and minutes, because a letter follows.
    fn is_minutes_before_hemisphere(&self, digits: usize) -> bool {
        digits <= 2 && matches!(self.rest().first(), Some(b'N' | b'S' | b'E' | b'W'))
    }

    /// `/100`
    fn fraction(&mut self) -> bool {
        self.skips(b"/", |next| next.is_ascii_digit()) && self.number().is_some()
    }

    fn degree_sign(&mut self) -> bool {
        let signs = [
            "°".as_bytes(),
            "º".as_bytes(),
            "˚".as_bytes(),
            b"\xb0",
            b"\xba",
            b"&deg;",
            b"&#176;",
            b"&#xb0;",
            b"degrees",
            b"deg",
        ];
        self.takes_one_of(&signs)
    }

    /// Skips minutes and seconds. Without their own marks, they count only before a hemisphere or after one.
    fn minutes(&mut self, prefixed: bool) -> bool {
        let before = self.at;
        self.spaces(1);
        let Some((_, 1..=2)) = self.number() else {
            self.at = before;
            return false;
        };
        let decimals = self.decimals();
        self.spaces(1);
        let double = ["\"".as_bytes(), "″".as_bytes(), "”".as_bytes(), b"''", b"&quot;", b"&#34;"];
        let single = ["'".as_bytes(), "′".as_bytes(), "’".as_bytes(), "´".as_bytes(), b"`", b"&apos;", b"&#39;"];
        let signed = self.takes_one_of(&single) || self.takes_word(&[b"min", b"m"]);
        let after = self.at;
        let is_before_hemisphere = {
            let mut ahead = Reader { text: self.text, at: self.at };
            ahead.spaces(1);
            ahead.hemisphere().is_some() && !ahead.in_word()
        };
        let is_degrees = Reader { text: self.text, at: self.at }.degree_sign();
        if !signed && (is_degrees || !is_before_hemisphere && decimals == 0 && !prefixed) {
            self.at = before;
            return false;
        }
        self.spaces(1);
        if matches!(self.number(), Some((_, 1..=2))) {
            self.decimals();
            self.spaces(1);
            let is_last = prefixed && decimals == 0 && !self.in_word();
            if self.takes_one_of(&double) || self.takes_word(&[b"sec", b"s"]) {
                return true;
            }
            if is_last {
                self.at -= self.text.get(..self.at).unwrap_or_default().iter().rev().take_while(|&&byte| byte == b' ').count();
                return true;
            }
        }
        self.at = after;
        if !signed {
            // Exclude the space before a missing mark.
            let spaces =
                self.text.get(before..self.at).unwrap_or_default().iter().rev().take_while(|&&byte| byte == b' ').count();
            self.at -= spaces;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_an_angle_is_parsed_completely() {
        for text in [
            "41.98",
            "-85.4",
            "+8",
            "41°",
            "41.98°",
            "41° 59'",
            "41°59'12\"",
            "41° 59′ 12.3″",
            "41 deg 59' 12.30\" N",
            "N 41° 59.2'",
            "41,59.2N",
            "41,59,12N",
            "41:59:12.3N",
            "N41.98",
            "41.98 N",
            "41.98° N",
            "S 33 51 12\"",
            "41/1",
            "41º59’12”N",
            "41&#176;59&apos;12&quot;N",
            "\u{2212}33.86",
            "41,9812",
            "41.98 south",
            "N 43 36.5",
        ] {
            let angle = Angle::at(text.as_bytes(), 0).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(angle.range, 0..text.len(), "{text}");
        }
        let fractions = "41/1 59/1 1230/100";
        assert_eq!(
            Angle::at(fractions.as_bytes(), 0).expect("an angle").with_fractions(fractions.as_bytes()).range,
            0..fractions.len()
        );
    }

    #[test]
    fn an_angle_ends_where_something_else_starts() {
        for (text, read) in [
            ("41.98, 12.34", "41.98"),
            ("45° 30 photos", "45°"),
            ("45° Extra", "45°"),
            ("12 Nights", "12"),
            ("41.98 Now", "41.98"),
            ("8.2 m", "8.2"),
        ] {
            let angle = Angle::at(text.as_bytes(), 0).expect("a number");
            assert_eq!(text.get(angle.range), Some(read), "{text}");
        }
        for text in ["", "N", "Nikon", "2024", "-", "x1", "N 2024", "."] {
            assert_eq!(Angle::at(text.as_bytes(), 0), None, "{text}");
        }
    }
}

//! Geometries in free text with any number of points: WKT's `POINT(12.3456 41.9876)` (OGC 06-103r4) and KML's
//! `<coordinates>12.3456,41.9876,0</coordinates>` (OGC 12-007r2).

use super::pairs;
use super::word_match::starts_with_any_case;
use std::ops::Range;

/// The geometry types of WKT.
const SHAPES: [&str; 6] = ["point", "multipoint", "linestring", "multilinestring", "polygon", "multipolygon"];

/// Decimal places that both numbers of the first point need, as after other labels.
const DECIMALS: usize = 3;

/// Returns the range of the numbers of the geometry whose first word is `word`.
pub(super) fn find(text: &[u8], word: &Range<usize>) -> Option<Range<usize>> {
    let name = text.get(word.clone())?;
    if SHAPES.iter().any(|shape| name.eq_ignore_ascii_case(shape.as_bytes())) {
        let open = opening_of_wkt(text, word.end)?;
        let numbers = numbers(text, open, |byte| matches!(byte, b'(' | b')'));
        return numbers.filter(|numbers| starts_with_location(text, numbers, b" \t\r\n"));
    }
    let is_element = name.eq_ignore_ascii_case(b"coordinates")
        && word.start.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'<')
        && text.get(word.end) == Some(&b'>');
    let numbers = if is_element { numbers(text, word.end + 1, |_| false) } else { None };
    numbers.filter(|numbers| starts_with_location(text, numbers, b","))
}

/// Returns the position after the first bracket. A dimension (`Z`, `M`, `ZM`) may precede the bracket.
fn opening_of_wkt(text: &[u8], mut at: usize) -> Option<usize> {
    let spaces = |at: usize| text.get(at..).unwrap_or_default().iter().take(2).take_while(|&&byte| byte == b' ').count();
    at += spaces(at);
    let rest = text.get(at..)?;
    at += ["zm", "z", "m"].into_iter().find(|dimensions| starts_with_any_case(rest, dimensions)).map_or(0, str::len);
    at += spaces(at);
    (text.get(at) == Some(&b'(')).then_some(at + 1)
}

/// Returns the range from the first digit or sign to the last digit of a run of numbers, separators and `more`.
fn numbers(text: &[u8], at: usize, more: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let belongs = |byte: &u8| {
        byte.is_ascii_digit() || byte.is_ascii_whitespace() || matches!(byte, b'.' | b',' | b'-' | b'+') || more(*byte)
    };
    let rest = text.get(at..)?;
    let run = rest.get(..rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len()))?;
    let start = run.iter().position(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'))?;
    let end = run.iter().rposition(u8::is_ascii_digit)? + 1;
    (start < end).then_some(at + start..at + end)
}

/// Returns whether the first two numbers can be a longitude and a latitude.
fn starts_with_location(text: &[u8], numbers: &Range<usize>, separators: &[u8]) -> bool {
    let text = text.get(..numbers.end).unwrap_or_default();
    let Some(first) = Number::at(text, numbers.start) else { return false };
    let gap = text.get(first.end..).unwrap_or_default().iter().take(4).take_while(|byte| separators.contains(byte)).count();
    let Some(second) = Number::at(text, first.end + gap).filter(|_| gap > 0) else { return false };
    let is_precise = first.decimals >= DECIMALS && second.decimals >= DECIMALS;
    is_precise && pairs::is_on_earth(first.whole, second.whole) && !(first.is_ratio(text) && second.is_ratio(text))
}

struct Number {
    start: usize,
    end: usize,
    whole: u32,
    decimals: usize,
}

impl Number {
    fn at(text: &[u8], at: usize) -> Option<Self> {
        let start = at + usize::from(matches!(text.get(at), Some(b'-' | b'+')));
        let digits = |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits(start).count();
        let whole = digits(start).take(4).fold(0, |whole, &digit| whole * 10 + u32::from(digit & 15));
        let point = start + count;
        let decimals = if text.get(point) == Some(&b'.') { digits(point + 1).count() } else { 0 };
        let end = if decimals > 0 { point + 1 + decimals } else { point };
        (1..=3).contains(&count).then_some(Number { start, end, whole, decimals })
    }

    fn is_ratio(&self, text: &[u8]) -> bool {
        pairs::is_ratio_of(text.get(self.start..self.end).unwrap_or_default(), self.whole, self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::super::coordinates;

    #[track_caller]
    fn left(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        coordinates::clean(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        assert!(!coordinates::clean(&mut bytes), "{text} settles after one pass");
        let text = String::from_utf8(bytes).expect("text");
        text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_points_of_geometries_are_removed() {
        for (text, expected) in [
            ("at POINT(12.3456 41.9876) there", "at POINT( ) there"),
            ("SRID=4326;POINT Z (12.3456 41.9876 321.1234)", "SRID=4326;POINT Z ( )"),
            ("Point ZM(-12.345 -41.987 3 4)", "Point ZM( )"),
            ("LINESTRING (12.3456 41.9876, 12.3457 41.9877)", "LINESTRING ( )"),
            ("POLYGON((12.3456 41.9876, 12.3457 41.9877, 12.3456 41.9876)) x", "POLYGON(( )) x"),
            ("MULTIPOINT ((12.3456 41.9876), (12.3457 41.9877))", "MULTIPOINT (( ))"),
            ("<coordinates>12.3456,41.9876,0</coordinates>", "<coordinates> </coordinates>"),
            ("<coordinates>\n12.3456,41.9876,0 12.3457,41.9877,0\n</coordinates>x", "<coordinates>\n \n</coordinates>x"),
        ] {
            assert_eq!(left(text), expected, "{text}");
        }
    }

    #[test]
    fn other_brackets_and_elements_are_unchanged() {
        for text in [
            "point (1) of 3",
            "POINT(0.1234 0.5678)",
            "POINT(640.125 480.125)",
            "POINT(12 41)",
            "points(12.3456 41.9876)",
            "polygon(50% 0%, 100% 50%)",
            "POINT EMPTY",
            "POINT(",
            "point",
            "<coordinates></coordinates>",
            "<coordinates>640.125,480.125</coordinates>",
            "<coordinates>10,20,30</coordinates>",
        ] {
            assert_eq!(left(text), text);
        }
    }
}

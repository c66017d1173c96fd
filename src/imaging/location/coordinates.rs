//! Coordinates in free text: finds them, and leaves the text around them.
//!
//! Three things are coordinates: a number with a label (`Latitude: 43.6`, `"lat":43.6`, `GPSLatitude=…`), an angle that its
//! hemisphere or degree sign gives away (`41°59'12"N`, `41.98N 12.34E`), and a link to a map. A pair of bare numbers is not,
//! unless it is all that the text has. Resolutions, dates, prices, versions, temperatures and exposure latitudes are none.
//! [`super::labels`] knows the words, and [`super::pairs`] what two numbers may be instead.
//!
//! Works on bytes of ASCII, Latin-1 or UTF-8; [`super::wide`] brings wider encodings down to that.

use super::angle::{Angle, Hemisphere};
use super::fields::Axis;
use super::geometry;
use super::labels::{self, Gap, Label};
use super::links::{self, Link};
use super::pairs;
use super::words::contains_any_case;
use std::ops::Range;

/// How far two coordinates of one place may be apart, as in `Lat 41.98, altitude 12 m`.
const NEAR_BYTES: usize = 32;

/// Decimal places that both numbers of a pair have behind a label: about a hundred metres.
const PAIR_DECIMALS: usize = 3;

/// The longest text that is taken for the value of a label.
const MAX_VALUE: usize = 256;

/// The longest label that is looked at.
const MAX_LABEL: usize = 48;

/// Where the coordinate is, and what to write over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub range: Range<usize>,
    pub with: With,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    Spaces,
    /// `null`, so that JSON stays JSON. A number too short for that becomes an empty string, or zero.
    Null,
}

impl Edit {
    /// The text keeps its length.
    pub fn apply(&self, text: &mut [u8]) {
        let Some(target) = text.get_mut(self.range.clone()) else { return };
        target.fill(b' ');
        let value: &[u8] = match (self.with, target.len()) {
            (With::Spaces, _) | (_, 0) => b"",
            (With::Null, 1) => b"0",
            (With::Null, 2 | 3) => b"\"\"",
            (With::Null, _) => b"null",
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
        edits.extend(pairs::bare(text).map(|range| Edit { range, with: With::Spaces }));
    }
    edits
}

/// The coordinates, in the order of the text, without overlaps.
pub(super) fn find(text: &[u8]) -> Vec<Edit> {
    let mut search = Search { text, edits: Vec::new() };
    let mut at = 0;
    while let Some(skip) = text.get(at..).and_then(|rest| rest.iter().position(|&byte| may_start(byte))) {
        at += skip;
        at = search.at(at).max(at + 1);
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
    fn at(&mut self, at: usize) -> usize {
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

    fn add(&mut self, range: Range<usize>, with: With) -> usize {
        let end = range.end;
        self.edits.push(Edit { range, with });
        end
    }

    fn link(&mut self, at: usize) -> Option<usize> {
        match links::at(self.text, at)? {
            Link::ToPlace(range) => Some(self.add(range, With::Spaces)),
            Link::Other { end } => Some(end),
        }
    }

    fn geometry(&mut self, word: &Range<usize>) -> Option<usize> {
        geometry::of(self.text, word).map(|numbers| self.add(numbers, With::Spaces))
    }

    /// The word at `at`, with the underscores in it.
    fn label_at(&self, at: usize) -> Range<usize> {
        let letters = |byte: &&u8| byte.is_ascii_alphabetic() || **byte == b'_';
        at..at + self.text.get(at..).unwrap_or_default().iter().take_while(letters).count()
    }

    fn labelled(&mut self, range: &Range<usize>) -> Option<usize> {
        let label = Label::of(self.text.get(range.clone())?)?;
        if self.is_about_exposure(range.start) {
            return None;
        }
        let gap = Gap::after(self.text, range)?;
        if label == Label::Gps && !gap.is_json && gap.has_sign {
            let end = self.value(&gap)?;
            return Some(self.add(range.start..end, With::Spaces));
        }
        let angle = Angle::at(self.text, gap.value)?.with_fractions(self.text);
        let is_second =
            matches!(label, Label::Spelt | Label::Short(_) | Label::Long) && labels::is_second(self.text, range.start);
        // Two labels leave no doubt that two numbers are a place.
        let decimals = if is_second { 1 } else { PAIR_DECIMALS };
        let second = pairs::second(self.text, &angle, decimals);
        let prefix = labels::prefix_before(self.text, range.start).filter(|_| !gap.is_json);
        let is_precise = angle.is_fine() || angle.decimals > 0 || angle.has_degree_sign || angle.hemisphere.is_some();
        let accepted = match label {
            _ if is_second && second.is_some() => true,
            Label::Gps => gap.is_json || is_precise,
            Label::Spelt => gap.has_sign || is_precise,
            Label::Short(_) if gap.is_json || prefix.is_some() && gap.has_sign => true,
            Label::Short(axis) => {
                self.is_certain(axis, &angle) || (gap.has_sign || is_precise) && self.is_beside_other(axis, range, &angle)
            }
            Label::Long => is_precise && self.is_beside_other(Axis::Longitude, range, &angle),
            Label::Height => self.is_near_last(range.start),
            Label::Pair(names) => second.as_ref().is_some_and(|second| pairs::is_place(self.text, names, &angle, second)),
        };
        // A zero is what is left where there was no room for more.
        if !accepted || gap.is_json && self.text.get(angle.range.clone()) == Some(b"0") {
            return None;
        }
        let end = second.map_or(angle.range.end, |second| second.range.end);
        let last_end = self.edits.last().map_or(0, |last| last.range.end);
        Some(if !gap.is_json {
            let start = (range.start - prefix.unwrap_or(0)).max(last_end);
            self.add(start..end, With::Spaces)
        } else if gap.is_opened {
            self.add(gap.value..end, With::Spaces)
        } else {
            self.add(gap.value..end, With::Null)
        })
    }

    /// The end of what follows `GPSAreaInformation=`: a number, or all up to the next label or mark.
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
            // The word before it belongs to it.
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

    fn is_near_last(&self, at: usize) -> bool {
        self.edits.last().is_some_and(|edit| at - edit.range.end.min(at) <= NEAR_BYTES)
    }

    /// Whether a number behind `lat` or `lng` alone is one of a place: those words also name muscles and lengths.
    fn is_certain(&self, axis: Axis, angle: &Angle) -> bool {
        let decimals = if axis == Axis::Latitude { 2 } else { 3 };
        let is_angle = angle.has_minutes || angle.has_degree_sign || angle.hemisphere.is_some();
        is_angle || angle.decimals >= decimals && !pairs::is_measured(self.text, angle.range.end)
    }

    /// Whether a coordinate stands before, or the other one behind with its number: `Long: 12.34` alone may be a length.
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

    /// An angle without a label.
    fn angle(&mut self, at: usize) -> Option<usize> {
        let first = Angle::at(self.text, at)?;
        if first.is_plain() {
            return self.iso_6709(at);
        }
        if let Some(second) = self.second_angle(&first) {
            let is_clear = |angle: &Angle| angle.is_fine() && !self.may_be_measure(angle);
            let both_clear = first.is_fine() && second.is_fine() && (is_clear(&first) || is_clear(&second));
            let both_signed = first.has_degree_sign && second.has_degree_sign;
            let is_pair = match (first.hemisphere, second.hemisphere) {
                (Some(one), Some(other)) => one != other && (both_clear || both_signed),
                (None, None) => first.is_fine() && second.is_fine() && both_signed,
                _ => false,
            };
            if is_pair && pairs::is_on_earth(first.whole, second.whole) {
                return Some(self.add(first.range.start..second.range.end, With::Spaces));
            }
        }
        let hemisphere = first.hemisphere.filter(|_| first.has_degree_sign && first.is_fine())?;
        let limit = if hemisphere == Hemisphere::NorthSouth { 90 } else { 180 };
        let is_precise = first.has_minutes || first.decimals >= PAIR_DECIMALS;
        let alone = first.whole <= limit && (is_precise || self.is_beside_angle(hemisphere, &first));
        alone.then(|| self.add(first.range, With::Spaces))
    }

    /// `9.81 N` and `N 5.25`, which may be a force or a size: small, round, and apart from its letter.
    fn may_be_measure(&self, angle: &Angle) -> bool {
        let is_apart = self.text.get(angle.range.clone()).is_some_and(|text| text.contains(&b' '));
        is_apart && angle.whole < 10 && !angle.has_degree_sign && !angle.has_minutes && angle.decimals < PAIR_DECIMALS
    }

    /// Whether a coordinate stands before, or an angle of the other hemispheres behind: `21.55° S` alone is no place.
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

    /// `+41.9812+012.3412+471.1/`, as videos have it (ISO 6709, annex H).
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
                return Some(self.add(at..end + 1, With::Spaces));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left, with the spaces of the edits joined.
    fn left(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let changed = clean(&mut bytes);
        assert_eq!(changed, bytes != text.as_bytes(), "{text}");
        assert_eq!(bytes.len(), text.len());
        assert!(!clean(&mut bytes.clone()), "something is left in {:?}", String::from_utf8_lossy(&bytes));
        let text = String::from_utf8(bytes).expect("still UTF-8");
        text.split([' ']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn coordinates_go_and_the_text_around_them_stays() {
        for (text, expected) in [
            ("GPSLatitude=47.1112 GPSLongitude=8.2223", ""),
            ("FrameID: 590 \r\nLatitude: 43.6 \r\nLongitude: -85.4\r\nok", "FrameID: 590 \r\n \r\n \r\nok"),
            ("Seen at 41°59'12.3\"N 12°20'45\"E in June", "Seen at in June"),
            ("Seen at 41.98N, 12.34E in June", "Seen at in June"),
            ("Seen at N 41° 59.205' E 12° 20.750', lovely", "Seen at , lovely"),
            ("41 deg 59' 12.30\" N, 12 deg 20' 45.00\" E", ""),
            ("41.9812° 12.3412°", ""),
            ("The point 41.981° N is near", "The point is near"),
            ("The point 41°59' N is near", "The point is near"),
            ("41.98° N and then 12.34° E", "and then"),
            ("Lat. 41.98 Lon. 12.34", ""),
            ("Lat. 41.98, Long. 12.34, Alt. 471 m", ", , m"),
            ("Lat.: 41.98", ""),
            ("LAT.=41.98;LNG.=12.34", ";"),
            ("Coord. 41.98123, 12.34123 x", "x"),
            ("Lat: 41.9 Lon: 12.3", ""),
            ("Lat: 41 Lon: 12", ""),
            ("lat: 41.9, lng: 5.25", ","),
            ("lon 12.3 lat 41.9", ""),
            ("lng: 12.345 x", "x"),
            ("lat: 41.9 N", ""),
            ("Lat/Long: 41.98, 12.34 x", "Lat/ x"),
            ("Lat, Lon = 41.9; 12.3", "Lat,"),
            ("Latitude / Longitude: 41.98/12.34 x", "Latitude / x"),
            ("geo:lat=41.98", ""),
            ("geo:lon=12.3", ""),
            ("geotagged, geo:lat=41, geo:long=12.34", "geotagged, ,"),
            ("geo_lng=12", ""),
            ("{\"lng\":5.25}", "{\"lng\":null}"),
            ("position 41.9812, 12.3412", ""),
            ("Location: 41.98123, 12.34123, 471.1 m", ", 471.1 m"),
            ("location: 112.98123, 12.34123", ""),
            ("coordinates 41.981, 12.341 in Rome", "in Rome"),
            ("GPS: 0.512, 0.498", ""),
            ("geolocation: 41.981, 12.341", ""),
            ("112.3412, 41.9812", ""),
            ("-0.1278, 51.5074", ""),
            ("0.12781, 0.50741", ""),
            ("\n 41.98123, 12.34123 \n\0", "\n \n\0"),
            ("N 41.98 E 12.34", ""),
            ("N 5.251 W 8.751", ""),
            ("N5.25 W8.75", ""),
            ("Lat 41.98, Long 12.34, Altitude 471 m", ", , m"),
            ("lat=41.98;lon=12.34;iso=100", "; ;iso=100"),
            ("{\"lat\":43.612,\"lng\":-85.412,\"n\":1}", "{\"lat\":null ,\"lng\":null ,\"n\":1}"),
            ("{\"latitude\": \"43.6\", \"n\": 1}", "{\"latitude\": \" \", \"n\": 1}"),
            ("{\"lat\":43}", "{\"lat\":\"\"}"),
            ("{\"lat\":4}", "{\"lat\":0}"),
            ("{\"coordinates\":[12.34123, 41.98123]}", "{\"coordinates\":[ ]}"),
            ("{\"coordinates\":[12.34123,41.98123]}", "{\"coordinates\":[ ]}"),
            ("{\\\"lat\\\":43.612}", "{\\\"lat\\\":null }"),
            ("see geo:41.98,12.34;u=5 there", "see there"),
            ("see https://www.google.com/maps/@41.98,12.34,15z.", "see ."),
            ("GPS: 41.98123, 12.34123 and more", "and more"),
            ("GPS: 41.98123,12.34123 and more", "and more"),
            ("41.98123,12.34123", ""),
            ("Coordinates 41.98123 12.34123", ""),
            ("Longitude: 12 deg 20' 45\" E; Latitude: 41/1 59/1 1230/100 x", "; x"),
            ("exif:GPSLatitude=41,59.2N x", "exif: x"),
            ("GPSAreaInformation=Via Appia 3\nnext", "\nnext"),
            ("GPSLatitudeRef=N Make=Kamera", "Make=Kamera"),
            ("+41.9812+012.3412+471.1/", ""),
            ("41.98123, 12.34123", ""),
            ("(41.98123 12.34123)", "( )"),
            ("Latitude = S 33 51 12 / note", "/ note"),
            ("GPSPosition: 41 deg 59' 12.30\" N, 12 deg 20' 45.00\" E", ""),
        ] {
            assert_eq!(left(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_without_a_place_stay_as_they_are() {
        for text in [
            "1920x1080, 16:9, 29.97 fps",
            "$12.99, $15.49 and 1,234.56",
            "2024-05-06 07:08:09.123+02:00",
            "version 1.23.4567, build 89.1234",
            "f/2.8 1/250s ISO 100 50mm -0.33 EV",
            "25°C, 77°F, rotated by 45° and 90°",
            "turned 12.5° left, then 13.75° right",
            "Exposure latitude: 13.5 stops; film latitude 5",
            "N95 mask, S 1200, E 6.5, W 45",
            "9.81 N of force, 3.5 W of power",
            "a 12 N spring",
            "Long: 12.34 cm, wide: 5.67 cm",
            "long 12.345 short",
            "Plat: 41.98, Salon 12.34",
            "Lateral 41.98 Latency: 12.34 ms",
            "GPS: on, GPS off, GPSEnabled: yes, GPS-tagged 2024",
            "location: studio 3, position: 2, coordinates: 10, 20",
            "crop position 0.5, 0.5",
            "position 1.234, 5.678",
            "Camera position 1.234, 5.678",
            "position: 0.500, 0.500, 0.500",
            "position: 1.2345, 5.6789, 0.1234",
            "Location: 0.1234, 0.5678",
            "position 1.2345, 5.6789 mm",
            "position: 45.5°, 30.2°",
            "location 3.141, 2.718",
            "location: 141.5926, 171.8281",
            "coordinates 640.125, 120.456 px",
            "coordinates 64.125, 120.456 px",
            "coordinates 64.125, 12.456%",
            "coordinates: 0.125, 0.456",
            "coordinates: 1.125, 2.456, 3.789",
            "0.8750, 0.1250",
            "(1.0000 0.5000)",
            "-0.2500, 0.7500",
            "lat: 45.5 lb",
            "lat: 45.25 lb, long press",
            "lat. 45.5",
            "lng: 5.25",
            "lon. 5.25 cm",
            "21.55°S",
            "at 21.55° S of it",
            "N 5.25 W 8.75",
            "9.81 N, 3.50 W",
            "0.1234, 0.5678, 0.9123",
            "cruising altitude: 10,000 m",
            "https://example.org/a/1.2.3?x=4.5",
            "ratio 1.3333 by 1.7777",
            "call +49 30 1234567 or +1-202-555-0123",
            "10.0.0.1, 192.168.178.12",
            "12:30 W 14:45 E",
            "ISBN 978-3-16-148410-0",
            "Canon EF 24-105mm f/4L IS USM",
            "#ff8800 rgb(12.34, 56.78, 90.12)",
            "{\"width\":41.98,\"height\":12.34,\"alt\":\"a cat\"}",
            "a+b/c+12/AbCd+41/EfGh==",
            "",
            "-",
            "N",
        ] {
            let mut bytes = text.as_bytes().to_vec();
            assert!(!clean(&mut bytes), "{text} became {}", String::from_utf8_lossy(&bytes));
            assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn every_text_settles() {
        let parts = [
            "41.98", "N", " ", "lat", ":", "12°", "\"", "'", ",", "gps", "long", "E", "0", "=", "/", "&quot;", "41", "[", "+",
            "geo:",
        ];
        let mut seed = 5u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut unsettled = 0;
        for _ in 0..20_000 {
            let mut text: Vec<u8> = (0..random(14)).flat_map(|_| parts[random(parts.len())].bytes()).collect();
            let passes = (0..9).take_while(|_| clean(&mut text)).count();
            unsettled += usize::from(passes > 3);
        }
        assert_eq!(unsettled, 0, "texts that need more passes than they get");
    }
}

//! Links with a location: `geo:` URIs (RFC 5870) and links to maps.

use super::angle::Angle;
use super::pairs;
use super::word_match::{contains_any_case, starts_with_any_case};
use std::ops::Range;

/// Hosts for which any path shows a location. A dot at the end stands for any top-level domain.
const MAPS: [&str; 22] = [
    "maps.google.",
    "google./maps",
    "goo.gl/maps",
    "maps.app.goo.gl",
    "openstreetmap.org",
    "osm.org",
    "maps.apple.com",
    "bing.com/maps",
    "wego.here.com",
    "share.here.com",
    "waze.com",
    "what3words.com",
    "w3w.co",
    "plus.codes",
    "mapcarta.com",
    "mapy.cz",
    "mapy.com",
    "yandex./maps",
    "map.baidu.com",
    "amap.com",
    "geohack.",
    "opentopomap.org",
];

/// A longer link is searched in parts.
const MAX_BYTES: usize = 4096;

/// A link at the start of a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    ToLocation(Range<usize>),
    /// A link without a location.
    Other {
        end: usize,
    },
}

/// Returns the link that starts at `at`, if there is one.
pub(super) fn at(text: &[u8], at: usize) -> Option<Link> {
    let rest = text.get(at..)?;
    if starts_with_any_case(rest, "geo:") {
        return geo(text, at).map(Link::ToLocation);
    }
    let scheme = ["https://", "http://"].into_iter().find(|scheme| starts_with_any_case(rest, scheme));
    if scheme.is_none()
        && !starts_with_any_case(rest, "www.")
        && !MAPS.iter().any(|known| starts_with_any_case(rest, host_of(known)))
    {
        return None;
    }
    let start = at + scheme.map_or(0, str::len);
    let rest = text.get(start..)?;
    let rest = rest.get(..rest.len().min(MAX_BYTES))?;
    let whole = rest.get(..rest.iter().position(ends_link).unwrap_or(rest.len()))?;
    let link = without_punctuation(whole);
    let host_bytes = link.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(link.len());
    let (host, path) = link.split_at_checked(host_bytes)?;
    let found = is_map(host, path) || scheme.is_some() && has_coordinates(path);
    Some(if found { Link::ToLocation(at..start + link.len()) } else { Link::Other { end: start + whole.len() } })
}

fn host_of(known: &str) -> &str {
    known.split_once('/').map_or(known, |(host, _)| host)
}

fn ends_link(byte: &u8) -> bool {
    *byte <= b' ' || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'}' | b'|' | b'\\')
}

/// Removes the punctuation of a sentence that ends with the link.
fn without_punctuation(link: &[u8]) -> &[u8] {
    let kept = link.iter().rposition(|byte| !matches!(byte, b'.' | b',' | b';' | b'!')).map_or(0, |last| last + 1);
    link.get(..kept).unwrap_or_default()
}

/// Matches at least two numbers, each with an optional sign.
fn geo(text: &[u8], at: usize) -> Option<Range<usize>> {
    let first = plain(text, at + 4)?;
    if text.get(first) != Some(&b',') {
        return None;
    }
    let second = plain(text, first + 1)?;
    let more = text.get(second..)?;
    let end = second + more.iter().position(ends_link).unwrap_or(more.len());
    Some(at..at + without_punctuation(text.get(at..end)?).len())
}

/// Returns where the decimal number ends.
fn plain(text: &[u8], at: usize) -> Option<usize> {
    let signed = at + usize::from(matches!(text.get(at), Some(b'-' | b'+')));
    let number = text.get(signed..)?.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    (number > 0).then_some(signed + number)
}

fn is_map(host: &[u8], path: &[u8]) -> bool {
    // The start page shows no location.
    if path.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() < 2 {
        return false;
    }
    let host = if starts_with_any_case(host, "www.") { host.get(4..).unwrap_or_default() } else { host };
    if host.len() > 253 || !host.contains(&b'.') {
        return false;
    }
    MAPS.iter().any(|known| {
        let (name, folder) = known.split_once('/').map_or((*known, ""), |(name, folder)| (name, folder));
        let is_host = match name.strip_suffix('.') {
            Some(_) => domain_starts(host, name),
            None => is_within(host, name.as_bytes()),
        };
        is_host && (folder.is_empty() || path.get(1..).is_some_and(|path| starts_with_any_case(path, folder)))
    })
}

/// Returns whether `host` is `name` or a subdomain of it.
fn is_within(host: &[u8], name: &[u8]) -> bool {
    let Some(head) = host.len().checked_sub(name.len()) else { return false };
    host.get(head..).is_some_and(|tail| tail.eq_ignore_ascii_case(name)) && (head == 0 || host.get(head - 1) == Some(&b'.'))
}

/// Returns whether a label of `host` starts with `name`, which ends with a dot.
fn domain_starts(host: &[u8], name: &str) -> bool {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'.', host).map(|dot| dot + 1));
    starts.into_iter().any(|start| host.get(start..).is_some_and(|rest| starts_with_any_case(rest, name)))
}

/// `@41.98123,12.34123`, `?ll=41.98123,12.34123`, `?lat=41.98&lon=12.34`, `#map=12/41.98123/12.34123`.
fn has_coordinates(path: &[u8]) -> bool {
    let names = |name: &str| contains_any_case(path, name);
    let is_named = |names: [&str; 4]| {
        names.iter().any(|name| {
            memchr::memmem::find_iter(path, name.as_bytes())
                .any(|at| Angle::at(path, at + name.len()).is_some_and(|angle| angle.decimals > 0))
        })
    };
    if (names("lat") && is_named(["lat=", "latitude=", "Lat=", "mlat="]))
        && (names("lon=") || names("lng=") || names("longitude="))
    {
        return true;
    }
    // Requires two numbers of three decimal places with one separator between them, to exclude dates and versions.
    let mut at = 0;
    let mut last: Option<Decimal> = None;
    while let Some(skip) = path.get(at..).and_then(|rest| rest.iter().position(|byte| byte.is_ascii_digit() || *byte == b'-')) {
        at += skip;
        let before = path.get(..at).unwrap_or_default();
        let is_start = before.last().is_none_or(|before| !before.is_ascii_alphanumeric() && *before != b'.')
            || before
                .len()
                .checked_sub(3)
                .is_some_and(|escape| contains_any_case(path.get(escape..at).unwrap_or_default(), "%2c"));
        let decimal = if is_start { Decimal::at(path, at) } else { None };
        match decimal {
            Some(decimal) => {
                if last.is_some_and(|last| is_location(path, &last, &decimal)) {
                    return true;
                }
                at = decimal.range.end;
                last = Some(decimal);
            }
            None => at += 1,
        }
    }
    false
}

/// Returns whether two numbers in the path of an unknown host are a location, rather than a crop, a ratio or versions.
fn is_location(path: &[u8], first: &Decimal, second: &Decimal) -> bool {
    let between = path.get(first.range.end..second.range.start).unwrap_or_default();
    // A comma joins numbers; other characters join arbitrary parts of a path.
    let decimals = match between {
        [b',' | b';'] => 3,
        [b'/' | b'+' | b'_'] => 4,
        _ if between.eq_ignore_ascii_case(b"%2c") => 3,
        _ => return false,
    };
    let is_precise = first.decimals >= decimals && second.decimals >= decimals;
    let is_ratio = first.is_ratio(path) && second.is_ratio(path);
    pairs::is_on_earth(first.whole, second.whole) && (is_precise && !is_ratio || is_named(path, first.range.start))
}

/// Returns whether the number at `at` is the value of a parameter that maps use: `map=12/41.981/12.341`.
fn is_named(path: &[u8], at: usize) -> bool {
    const NAMES: [&str; 11] = ["@", "map=", "ll=", "sll=", "q=", "query=", "latlng=", "coords=", "center=", "loc=", "geo="];
    let before = path.get(..at).unwrap_or_default();
    let name_end = |before: &[u8]| {
        NAMES.iter().any(|name| {
            let head = before.len().checked_sub(name.len()).and_then(|head| before.split_at_checked(head));
            head.is_some_and(|(head, tail)| {
                tail.eq_ignore_ascii_case(name.as_bytes()) && !head.last().is_some_and(u8::is_ascii_alphanumeric)
            })
        })
    };
    // The zoom level comes first: a number of two digits, possibly with a fraction.
    let scale = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let unscaled = before.strip_suffix(b"/").map(|head| {
        let digits = head.iter().rev().take(5).take_while(scale).count();
        head.get(..head.len() - digits).unwrap_or_default()
    });
    name_end(before) || unscaled.is_some_and(|before| before.ends_with(b"#") || name_end(before))
}

/// A number of up to three digits with at least three decimal places.
struct Decimal {
    range: Range<usize>,
    whole: u32,
    decimals: usize,
}

impl Decimal {
    fn at(text: &[u8], at: usize) -> Option<Self> {
        let signed = at + usize::from(matches!(text.get(at), Some(b'-' | b'+')));
        let digits = |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
        let (point, whole) =
            digits(signed).take(4).fold((signed, 0), |(at, whole), &digit| (at + 1, whole * 10 + u32::from(digit & 15)));
        let decimals = digits(point + 1).count();
        let is_decimal = (1..=3).contains(&(point - signed)) && text.get(point) == Some(&b'.') && decimals >= 3;
        is_decimal.then_some(Decimal { range: at..point + 1 + decimals, whole, decimals })
    }

    fn is_ratio(&self, text: &[u8]) -> bool {
        pairs::is_ratio_of(text.get(self.range.clone()).unwrap_or_default(), self.whole, self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_a_location_are_found_completely() {
        for link in [
            "geo:41.98,12.34",
            "geo:-33.86,151.2,12;u=35",
            "https://maps.google.com/?q=41.98,12.34",
            "https://www.google.de/maps/@41.98123,12.34123,15z",
            "https://goo.gl/maps/AbCd12",
            "https://maps.app.goo.gl/AbCd12",
            "https://www.openstreetmap.org/#map=12/41.98/12.34",
            "http://osm.org/go/0IBCx",
            "https://maps.apple.com/?ll=41.98,12.34",
            "https://w3w.co/filled.count.soap",
            "goo.gl/maps/AbCd12",
            "google.com/maps/place/Xanaduville",
            "www.google.com/maps/place/Xanaduville",
            "https://example.org/view?lat=41.98&lon=12.34",
            "https://example.org/@41.98123,12.34123",
            "https://example.org/at/41.981,12.341",
            "https://example.org/at/41.9812/12.3412",
            "https://example.org/at/12.34123%2C41.98123/x",
            "https://example.org/#map=12/41.981/12.341",
            "https://example.org/#12.5/41.981/-12.341",
            "https://example.org/?a=1&q=41.981+12.341",
            "https://example.org/?ll=0.512,0.498",
            "https://example.org/@41.981/12.341",
        ] {
            for after in ["", " and more", "\"", "."] {
                let text = format!("{link}{after}");
                assert_eq!(at(text.as_bytes(), 0), Some(Link::ToLocation(0..link.len())), "{text}");
            }
        }
    }

    #[test]
    fn links_without_a_location_are_not_matched() {
        for link in [
            "https://example.org/",
            "https://www.google.com/",
            "https://maps.google.com/",
            "https://www.google.com/search?q=maps",
            "https://example.org/maps/level1.png",
            "https://example.org/v1.234/5.678",
            "https://example.com/path/1.000/2.000",
            "https://example.com/path/1.000_2.000",
            "https://example.com/seq=1.000/2.000",
            "https://example.com/crop/0.125,0.250",
            "https://example.com/?crop=0.1250/0.7500",
            "https://example.com/size/640.1250,480.5000",
            "https://example.com/12/1.000/2.000",
            "https://example.org/2024-05-06/1.2.3",
            "https://notosm.org/wiki",
            "http://ns.adobe.com/xap/1.0/",
            "https://example.org/sitemap.xml",
            "geo: the studio",
            "geo:metry",
            "google maps",
            "mosaic",
        ] {
            assert!(!matches!(at(link.as_bytes(), 0), Some(Link::ToLocation(_))), "{link}");
        }
    }
}

//! Decides whether keywords and other names mean a location: keys of PNG text, JSON, CBOR and video metadata, and names in text
//! that is not well-formed XML. The rules are wider than those of [`super::property_names`], because these names have no
//! namespace.

use super::namespaces::Namespace;
use super::property_names::{Meaning, property};
use super::word_match::{contains_any_case, is_one_of, starts_with_any_case, words};

/// Returns whether a comment or processing instruction in a packet mentions a location. Readers ignore both, so a match on a
/// single word is enough to remove one.
pub(super) fn comment_mentions_location(aside: &[u8]) -> bool {
    let words = ["gps", "latitude", "longitude", "location", "city", "country", "state"];
    !aside.starts_with(b"<?xpacket") && words.iter().any(|word| contains_any_case(aside, word))
}

/// Returns whether the rest of a packet that is not XML contains the name of a location property.
pub(super) fn remnant_mentions_location(remnant: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    remnant.split(|byte| !is_name(byte)).any(|name| {
        let (prefix, local) = split(name);
        property(Namespace::usual_for(prefix), local) == Meaning::Location
    })
}

/// Returns whether a name outside XMP (a key of video metadata, JSON or CBOR) means a location.
pub(super) fn is_location_name(keyword: &[u8]) -> bool {
    let (prefix, local) = split(keyword);
    let plain = ["location", "city", "country", "countrycode", "sublocation", "sub-location", "province-state", "geotag"];
    property(Namespace::usual_for(prefix), local) == Meaning::Location || is_one_of(local, &plain)
}

/// Returns whether the keyword of a text (PNG's, such as OpenImageIO's `IPTC:State`) means a location. Wider than
/// [`is_location_name`]: `state` or `region` can mean anything elsewhere, but is a location in the description of an image.
pub(super) fn is_location_keyword(keyword: &[u8]) -> bool {
    is_location_name(keyword) || consists_of_location_words(split(keyword).1)
}

/// Splits a name into prefix and local name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memrchr(b':', name);
    let prefix = colon.and_then(|at| name.get(..at)).unwrap_or_default();
    (prefix, colon.and_then(|at| name.get(at + 1..)).unwrap_or(name))
}

/// Returns whether a name consists of words for locations only: `State`, `ContentLocationName` and `Province-State`, but not
/// `CreatorCity` or `StateOfTheArt`.
fn consists_of_location_words(name: &[u8]) -> bool {
    const PLACES: [&str; 27] = [
        "city",
        "town",
        "village",
        "street",
        "state",
        "province",
        "county",
        "country",
        "continent",
        "region",
        "district",
        "municipality",
        "location",
        "locations",
        "sublocation",
        "place",
        "places",
        "address",
        "landmark",
        "venue",
        "coordinates",
        "coordinate",
        "coords",
        "countrycode",
        "postcode",
        "neighborhood",
        "neighbourhood",
    ];
    const AROUND: [&str; 14] =
        ["name", "code", "primary", "content", "sub", "world", "or", "and", "of", "zip", "postal", "map", "iptc", "photo"];
    let (mut places, mut others) = (0, 0);
    for word in words(name) {
        if is_one_of(word, &PLACES) {
            places += 1;
        } else if !is_one_of(word, &AROUND) {
            others += 1;
        }
    }
    places > 0 && others == 0
}

/// Returns whether a name is that of human-readable text: `Comment`, `Description`, `exif:UserComment`, `IPTC:Caption`,
/// `dc:subject`. Properties that programs copy such text to count as well: `digiKam:TagsList`, `MicrosoftPhoto:LastKeywordXMP`.
pub(super) fn is_human_text(name: &[u8]) -> bool {
    const AFTER: [&str; 5] = ["list", "sets", "xmp", "iptc", "accessibility"];
    const LAST: [&str; 28] = [
        "comment",
        "comments",
        "description",
        "caption",
        "title",
        "headline",
        "subject",
        "notes",
        "keyword",
        "keywords",
        "tags",
        "instructions",
        "author",
        "artist",
        "creator",
        "credit",
        "copyright",
        "rights",
        "source",
        "warning",
        "disclaimer",
        "name",
        "names",
        "event",
        "text",
        "descr",
        "terms",
        "catalog",
    ];
    let last = words(name).filter(|word| !is_one_of(word, &AFTER)).last();
    !starts_with_any_case(name, "Raw profile") && last.is_some_and(|word| is_one_of(word, &LAST))
}

/// Returns whether a C2PA manifest store contains the name of a coordinate.
pub(super) fn names_coordinates(text: &[u8]) -> bool {
    let words = ["gpslat", "gpslon", "gpspos", "gpscoord", "\"latitude", "\"longitude", "iptc4xmpext:location"];
    words.iter().any(|word| contains_any_case(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_recognised_by_their_words() {
        for keyword in [
            "IPTC:State",
            "IPTC:ContentLocationName",
            "IPTC:ContentLocationCode",
            "EXIF_GPSAreaInformation",
            "exif:GPSInfo",
            "State",
            "Place",
            "Region",
            "Address",
            "coordinates",
            "lat",
            "lon",
            "Province-State",
            "Sub-location",
            "City",
            "CountryCode",
            "geo:lat",
            "Country Code",
            "street address",
            "photoshop:Country",
            "Location",
            "GPS coordinates",
        ] {
            assert!(is_location_keyword(keyword.as_bytes()), "{keyword}");
        }
        for keyword in [
            "Title",
            "Software",
            "Comment",
            "Description",
            "Author",
            "Creation Time",
            "IPTC:Destination",
            "CreatorCity",
            "parameters",
            "prompt",
            "workflow",
            "State of the art",
            "exif:Make",
            "date:create",
            "Name",
            "Code",
            "Source",
            "Warning",
            "name:code",
        ] {
            assert!(!is_location_keyword(keyword.as_bytes()), "{keyword}");
        }
    }
}

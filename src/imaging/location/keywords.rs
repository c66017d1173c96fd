//! Keywords and other names outside of XMP.

use super::namespaces::Namespace;
use super::property_names::{Meaning, property};
use super::word_match::{contains_any_case, is_one_of, starts_with_any_case, words};

/// Whether a comment or an instruction inside of a packet speaks of a place; nobody reads those, so they may go lightly.
pub(super) fn comment_mentions_location(aside: &[u8]) -> bool {
    let words = ["gps", "latitude", "longitude", "location", "city", "country", "state"];
    !aside.starts_with(b"<?xpacket") && words.iter().any(|word| contains_any_case(aside, word))
}

/// Whether the rest of a packet, which is no XML, has the name of a property that meaning where.
pub(super) fn remnant_mentions_location(remnant: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    remnant.split(|byte| !is_name(byte)).any(|name| {
        let (prefix, local) = split(name);
        property(Namespace::usual_for(prefix), local) == Meaning::Place
    })
}

/// Whether a name beyond XMP (a key of a video's metadata, of JSON, of CBOR) meaning where.
pub(super) fn is_location_keyword(keyword: &[u8]) -> bool {
    let (prefix, local) = split(keyword);
    let plain = ["location", "city", "country", "countrycode", "sublocation", "sub-location", "province-state", "geotag"];
    property(Namespace::usual_for(prefix), local) == Meaning::Place || is_one_of(local, &plain)
}

/// Whether a text's keyword (PNG's, such as OpenImageIO's `IPTC:State`) meaning where. Wider than [`is_location_keyword`]: what is
/// a state or a region elsewhere is a place in the description of a picture.
pub(super) fn is_place_keyword(keyword: &[u8]) -> bool {
    is_location_keyword(keyword) || is_place_name(split(keyword).1)
}

/// Prefix and name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memrchr(b':', name);
    let prefix = colon.and_then(|at| name.get(..at)).unwrap_or_default();
    (prefix, colon.and_then(|at| name.get(at + 1..)).unwrap_or(name))
}

/// Whether a name consists of nothing but words for places: `State`, `ContentLocationName`, `Province-State`, not
/// `CreatorCity` or `StateOfTheArt`.
fn is_place_name(name: &[u8]) -> bool {
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

/// Whether a name is that of words for people: `Comment`, `Description`, `exif:UserComment`, `IPTC:Caption`, `dc:subject`. What programs
/// copy such words to counts as well: `digiKam:TagsList`, `MicrosoftPhoto:LastKeywordXMP`.
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

/// Whether a provenance record holds coordinates by name.
pub(super) fn names_coordinates(text: &[u8]) -> bool {
    let words = ["gpslat", "gpslon", "gpspos", "gpscoord", "\"latitude", "\"longitude", "iptc4xmpext:location"];
    words.iter().any(|word| contains_any_case(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_of_texts_are_known_by_their_words() {
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
            assert!(is_place_keyword(keyword.as_bytes()), "{keyword}");
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
            assert!(!is_place_keyword(keyword.as_bytes()), "{keyword}");
        }
    }
}

//! Decides which keys and values of an assertion name a location. [`keywords`] has the rules for names; this module handles how
//! assertions spell them: without a prefix, with one, or in JSON-LD as a URL that a context maps to.

use super::super::word_match::is_one_of;
use super::super::{coordinates, keywords};

/// An item of JSON or CBOR.
pub(super) enum Item<'a> {
    Key(&'a [u8]),
    /// `key` is the most recent key.
    Text {
        key: &'a [u8],
        text: &'a [u8],
    },
    Bytes(&'a [u8]),
}

/// Contexts declare a handful of prefixes. Each key is checked with all of them, so this bounds the time.
const MAX_PREFIXES: usize = 64;

/// The start of a vocabulary's URL (after its scheme), and its usual prefix.
const VOCABULARIES: [(&str, &str); 14] = [
    ("ns.adobe.com/exif/1.0/aux/", "aux"),
    ("ns.adobe.com/exif/1.0/", "exif"),
    ("ns.adobe.com/photoshop/1.0/", "photoshop"),
    ("iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "Iptc4xmpCore"),
    ("iptc.org/std/Iptc4xmpExt/2008-02-29/", "Iptc4xmpExt"),
    ("prismstandard.org/namespaces/basic/2.0/", "prism"),
    ("ns.adobe.com/xmp/1.0/DynamicMedia/", "xmpDM"),
    ("purl.org/dc/elements/1.1/", "dc"),
    ("purl.org/dc/terms/", "dcterms"),
    ("rs.tdwg.org/dwc/terms/", "dwc"),
    ("www.dji.com/drone-dji/1.0/", "drone-dji"),
    ("www.w3.org/2003/01/geo/wgs84_pos#", "geo"),
    ("schema.org/", SCHEMA_ORG),
    ("schema.org", SCHEMA_ORG),
];

const SCHEMA_ORG: &str = "schema";

/// Words in C2PA's own assertions or in personal addresses that mean a location elsewhere. They are ignored without a prefix.
const AMBIGUOUS_UNPREFIXED: [&str; 9] =
    ["address", "state", "region", "regions", "place", "name", "coordinate", "coordinates", "shape"];

/// Words for locations that are used without a prefix, besides those of [`keywords`].
const UNPREFIXED: [&str; 19] = [
    "contentLocation",
    "locationCreated",
    "locationShown",
    "spatialCoverage",
    "country",
    "countryCode",
    "countryName",
    "city",
    "sublocation",
    "provinceState",
    "worldRegion",
    "location",
    "lat",
    "lon",
    "lng",
    "latlng",
    "geo",
    "geolocation",
    "geohash",
];

/// The names that the contexts of an assertion declare. They are collected before any name is checked, because a context may
/// follow the names that it maps.
pub(super) struct Vocabulary {
    is_own_schema: bool,
    /// Declared prefixes, each with the usual prefix of its vocabulary; an empty prefix is the default vocabulary.
    prefixes: Vec<(Vec<u8>, &'static str)>,
    too_many_prefixes: bool,
}

impl Vocabulary {
    /// Starts without declarations. In C2PA's own schema, a `location` is a URL or a byte range.
    pub fn of(is_own_schema: bool) -> Self {
        Vocabulary { is_own_schema, prefixes: Vec::new(), too_many_prefixes: false }
    }

    /// Returns whether the label of an assertion or of a part of it means a location: `c2pa.location.broad`.
    pub fn is_location_label(label: &[u8]) -> bool {
        label.split(|byte| matches!(byte, b'.' | b'-' | b'_')).any(|part| is_one_of(part, &["location", "gps", "geotag", "geo"]))
    }

    /// Adds the declaration of a context item.
    pub fn declare(&mut self, item: &Item) {
        let Item::Text { key, text } = item else { return };
        let Some((usual, b"")) = known_vocabulary(text) else { return };
        let prefix = if matches!(*key, b"@vocab" | b"@context") { Default::default() } else { key.to_vec() };
        if self.prefixes.iter().any(|(known, other)| *known == prefix && *other == usual) {
            return;
        }
        if self.prefixes.len() == MAX_PREFIXES {
            self.too_many_prefixes = true;
        } else {
            self.prefixes.push((prefix, usual));
        }
    }

    /// Returns whether an item names a location. Requires all items to be declared first.
    pub fn is_location(&self, item: &Item) -> bool {
        match item {
            Item::Key(key) => self.too_many_prefixes || self.is_location_name(key),
            Item::Text { key, text } => {
                // A name that a context maps to a URL, and the type of an object.
                let names_a_term = matches!(*key, b"@id") && self.is_location_name(text) && text.contains(&b':');
                let is_location_type = matches!(*key, b"@type") && is_one_of(text, &["Place", "GeoCoordinates", "schema:Place"]);
                names_a_term || is_location_type || is_location_url(text) || has_coordinates(text)
            }
            Item::Bytes(_) => false,
        }
    }

    fn is_location_name(&self, name: &[u8]) -> bool {
        if is_location_url(name) {
            return true;
        }
        let (prefix, local) = match memchr::memchr(b':', name) {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (Default::default(), name),
        };
        let usually = if prefix.is_empty() { self.is_unprefixed_location(local) } else { keywords::is_location_name(name) };
        let is_schema_org = prefix.eq_ignore_ascii_case(SCHEMA_ORG.as_bytes()) && is_location_in(SCHEMA_ORG, local);
        usually || is_schema_org || self.prefixes.iter().any(|(known, usual)| known == prefix && is_location_in(usual, local))
    }

    fn is_unprefixed_location(&self, name: &[u8]) -> bool {
        if is_one_of(name, &AMBIGUOUS_UNPREFIXED) || self.is_own_schema && is_one_of(name, &["location"]) {
            return false;
        }
        keywords::is_location_name(name) || is_one_of(name, &UNPREFIXED)
    }
}

/// Returns the usual prefix of the vocabulary of a URL, and the rest of the URL.
fn known_vocabulary(address: &[u8]) -> Option<(&'static str, &[u8])> {
    let address = address.strip_prefix(b"http://").or_else(|| address.strip_prefix(b"https://"))?;
    VOCABULARIES.iter().find_map(|&(start, usual)| Some((usual, address.strip_prefix(start.as_bytes())?)))
}

/// Returns whether a text is a location name spelled out as a URL.
fn is_location_url(text: &[u8]) -> bool {
    known_vocabulary(text).is_some_and(|(usual, local)| !local.is_empty() && is_location_in(usual, local))
}

fn is_location_in(usual_prefix: &str, local: &[u8]) -> bool {
    // A personal address has these too.
    if usual_prefix == SCHEMA_ORG && is_one_of(local, &AMBIGUOUS_UNPREFIXED) {
        return false;
    }
    let name = [usual_prefix.as_bytes(), b":", local].concat();
    keywords::is_location_name(&name) || usual_prefix == SCHEMA_ORG && is_one_of(local, &UNPREFIXED)
}

/// Returns whether a text has coordinates, by name or as human-readable text.
fn has_coordinates(text: &[u8]) -> bool {
    keywords::names_coordinates(text) || !coordinates::find(text).is_empty()
}

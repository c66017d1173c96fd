//! Which keys and values of an assertion say where. [`fields`] decides about names; this knows how assertions spell them:
//! bare, with a prefix, or in JSON-LD as an address that a context stands for.

use super::super::word_match::is_one_of;
use super::super::{coordinates, keywords};

/// What JSON and CBOR have in common.
pub(super) enum Item<'a> {
    Key(&'a [u8]),
    /// `key` is the one that came last.
    Text {
        key: &'a [u8],
        text: &'a [u8],
    },
    Bytes(&'a [u8]),
}

/// Contexts declare a handful of prefixes. Each key is tried with all, so this bounds the time.
const MAX_PREFIXES: usize = 64;

/// How an address of a vocabulary starts (after its scheme), and its usual prefix.
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

/// Words of C2PA's own assertions, or of people's addresses, that are places elsewhere. Without a prefix they say nothing.
const NOT_ALONE: [&str; 9] = ["address", "state", "region", "regions", "place", "name", "coordinate", "coordinates", "shape"];

/// Words for places that are used without a prefix, beside those of [`fields`].
const PLAIN: [&str; 19] = [
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

/// One assertion's names, collected before they are judged: a context may come after what it explains.
pub(super) struct Vocabulary {
    is_own_schema: bool,
    /// Prefixes with the usual one for their address; an empty prefix is the vocabulary of bare names.
    prefixes: Vec<(Vec<u8>, &'static str)>,
    too_many_prefixes: bool,
}

impl Vocabulary {
    /// In C2PA's own schema, a `location` is a URL or a range of bytes.
    pub fn of(is_own_schema: bool) -> Self {
        Vocabulary { is_own_schema, prefixes: Vec::new(), too_many_prefixes: false }
    }

    /// Whether an assertion or a part of it meaning by its label that it is a place: `c2pa.location.broad`.
    pub fn is_place_label(label: &[u8]) -> bool {
        label.split(|byte| matches!(byte, b'.' | b'-' | b'_')).any(|part| is_one_of(part, &["location", "gps", "geotag", "geo"]))
    }

    /// Notes what an item of a context declares.
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

    /// After every item has been declared.
    pub fn is_place(&self, item: &Item) -> bool {
        match item {
            Item::Key(key) => self.too_many_prefixes || self.is_place_name(key),
            Item::Text { key, text } => {
                // What a context lets a name stand for, and what an object meaning that it is.
                let names_a_term = matches!(*key, b"@id") && self.is_place_name(text) && text.contains(&b':');
                let is_a_place = matches!(*key, b"@type") && is_one_of(text, &["Place", "GeoCoordinates", "schema:Place"]);
                names_a_term || is_a_place || is_place_address(text) || tells_coordinates(text)
            }
            Item::Bytes(_) => false,
        }
    }

    fn is_place_name(&self, name: &[u8]) -> bool {
        if is_place_address(name) {
            return true;
        }
        let (prefix, local) = match memchr::memchr(b':', name) {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (Default::default(), name),
        };
        let usually = if prefix.is_empty() { self.is_plain_place(local) } else { keywords::is_location_keyword(name) };
        let is_schema_org = prefix.eq_ignore_ascii_case(SCHEMA_ORG.as_bytes()) && is_place_in(SCHEMA_ORG, local);
        usually || is_schema_org || self.prefixes.iter().any(|(known, usual)| known == prefix && is_place_in(usual, local))
    }

    fn is_plain_place(&self, name: &[u8]) -> bool {
        if is_one_of(name, &NOT_ALONE) || self.is_own_schema && is_one_of(name, &["location"]) {
            return false;
        }
        keywords::is_location_keyword(name) || is_one_of(name, &PLAIN)
    }
}

/// The usual prefix of the vocabulary in which an address lies, and what follows.
fn known_vocabulary(address: &[u8]) -> Option<(&'static str, &[u8])> {
    let address = address.strip_prefix(b"http://").or_else(|| address.strip_prefix(b"https://"))?;
    VOCABULARIES.iter().find_map(|&(start, usual)| Some((usual, address.strip_prefix(start.as_bytes())?)))
}

/// A name spelled out as an address.
fn is_place_address(text: &[u8]) -> bool {
    known_vocabulary(text).is_some_and(|(usual, local)| !local.is_empty() && is_place_in(usual, local))
}

fn is_place_in(usual_prefix: &str, local: &[u8]) -> bool {
    // A person's address has these too.
    if usual_prefix == SCHEMA_ORG && is_one_of(local, &NOT_ALONE) {
        return false;
    }
    let name = [usual_prefix.as_bytes(), b":", local].concat();
    keywords::is_location_keyword(&name) || usual_prefix == SCHEMA_ORG && is_one_of(local, &PLAIN)
}

/// Coordinates in words, by name or as a text for people has them.
fn tells_coordinates(text: &[u8]) -> bool {
    keywords::names_coordinates(text) || !coordinates::find(text).is_empty()
}

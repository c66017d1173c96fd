//! Which names say where a picture was taken: XMP properties, keys of JSON, keywords of texts.
//!
//! Coordinates are recognised in any namespace by the words of a name, since every maker of drones and phones has names of
//! their own; so are the few compounds that can only mean a place. Names of cities and countries are recognised in the
//! namespaces that use them for the picture. The lists follow the XMP, IPTC, PRISM, Darwin Core, schema.org and DJI
//! specifications and ExifTool's family-2 group "Location".
//!
//! Not here, so kept: keywords; `Iptc4xmpCore:CiAdrCity` and the like, which are the creator's address; the place in the picture
//! (`exif:SubjectLocation`, regions); `xmpDM:location` of a marker, which is a link; directions; Skydio's
//! `CameraPositionNED`, which counts from an unknown take-off point.

use super::words::{contains_any_case, is_nearly, is_one_of, starts_with_any_case, words};

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// No place, as far as the name tells.
    Nothing,
    Place,
    /// A place, if the value is a number of at least as many decimal places: `Alt` may also be an alternative text.
    PlaceIfNumber {
        decimals: usize,
    },
}

/// A namespace that has properties for places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Photoshop,
    IptcCore,
    IptcExtension,
    Prism,
    DynamicMedia,
    DublinCore,
    DarwinCore,
    SchemaOrg,
    /// Catalogue programs that have a property `Location` or `CountryCode`.
    Catalogue,
    Dji,
    /// Nothing but places: GSM cells, W3C's `geo`.
    Place,
    Other,
}

/// How a URI starts (after its scheme), the usual prefix, the namespace. Versions and a trailing slash differ in the wild.
const NAMESPACES: [(&str, &str, Namespace); 18] = [
    ("ns.adobe.com/photoshop/1.0", "photoshop", Namespace::Photoshop),
    ("iptc.org/std/Iptc4xmpCore/", "Iptc4xmpCore", Namespace::IptcCore),
    ("iptc.org/std/Iptc4xmpExt/", "Iptc4xmpExt", Namespace::IptcExtension),
    ("prismstandard.org/namespaces/", "prism", Namespace::Prism),
    ("prismstandard.org/namespaces/pmi/", "pmi", Namespace::Prism),
    ("ns.adobe.com/xmp/1.0/DynamicMedia", "xmpDM", Namespace::DynamicMedia),
    ("purl.org/dc/elements/1.1", "dc", Namespace::DublinCore),
    ("purl.org/dc/terms", "dcterms", Namespace::DublinCore),
    ("rs.tdwg.org/dwc/", "dwc", Namespace::DarwinCore),
    ("schema.org", "schema", Namespace::SchemaOrg),
    ("ns.iview-multimedia.com/mediapro/", "mediapro", Namespace::Catalogue),
    ("ns.microsoft.com/expressionmedia/", "expressionmedia", Namespace::Catalogue),
    ("ns.camerabits.com/photomechanic/", "photomechanic", Namespace::Catalogue),
    ("ns.camerabits.com/photomechanic/", "photomech", Namespace::Catalogue),
    ("www.dji.com/drone-dji/", "drone-dji", Namespace::Dji),
    ("developer.sonyericsson.com/cell/", "cell", Namespace::Place),
    ("www.w3.org/2003/01/geo/wgs84_pos", "geo", Namespace::Place),
    ("ns.google.com/photos/dd/1.0/earthpose", "EarthPose", Namespace::Place),
];

impl Namespace {
    /// `None` for one that is not known.
    pub fn of(uri: &[u8]) -> Option<Self> {
        let uri = uri.trim_ascii();
        let address = uri.strip_prefix(b"http://").or_else(|| uri.strip_prefix(b"https://")).unwrap_or(uri);
        NAMESPACES.iter().find(|(start, ..)| address.starts_with(start.as_bytes())).map(|&(.., namespace)| namespace)
    }

    /// For a prefix that is bound to something else or to nothing: readers that go by prefix take it for this one.
    pub fn usual_for(prefix: &[u8]) -> Self {
        let found = NAMESPACES.iter().find(|(_, usual, _)| usual.as_bytes().eq_ignore_ascii_case(prefix));
        found.map_or(Namespace::Other, |&(.., namespace)| namespace)
    }
}

/// What an XMP property says.
pub(super) fn property(namespace: Namespace, local: &[u8]) -> Says {
    if is_place_in(namespace, local) { Says::Place } else { coordinate(local) }
}

fn is_place_in(namespace: Namespace, local: &[u8]) -> bool {
    let one_of = |names: &[&str]| names.iter().any(|name| local == name.as_bytes());
    let starts = |names: &[&str]| names.iter().any(|name| local.starts_with(name.as_bytes()));
    match namespace {
        Namespace::Photoshop => one_of(&["City", "State", "Country"]),
        Namespace::IptcCore => one_of(&["Location", "CountryCode"]),
        Namespace::IptcExtension => {
            starts(&["Location", "RatingRegion"])
                || one_of(&["City", "CountryCode", "CountryName", "ProvinceState", "Sublocation", "WorldRegion"])
        }
        Namespace::Prism => one_of(&["location"]),
        Namespace::DynamicMedia => one_of(&["shotLocation"]),
        Namespace::DublinCore => one_of(&["coverage", "spatial", "Location"]),
        Namespace::DarwinCore => is_darwin_core_place(local),
        Namespace::SchemaOrg => one_of(&["location", "spatial", "spatialCoverage", "geo", "Place"]),
        Namespace::Catalogue => one_of(&["Location", "City", "State", "Country", "CountryCode"]),
        Namespace::Dji => starts(&["RtkStd"]),
        Namespace::Place => true,
        Namespace::Other => false,
    }
}

/// The terms of Darwin Core's classes Location and GeologicalContext (Darwin Core quick reference guide, 2023-09-18).
fn is_darwin_core_place(local: &[u8]) -> bool {
    const WHOLE: [&str; 24] = [
        "location",
        "locality",
        "localities",
        "elevation",
        "depth",
        "distance",
        "coordinate",
        "coordinates",
        "precision",
        "datum",
        "spatial",
        "srs",
        "footprint",
        "geography",
        "geological",
        "country",
        "county",
        "province",
        "municipality",
        "continent",
        "island",
        "islands",
        "water",
        "geodetic",
    ];
    words(local).any(|word| is_one_of(word, &WHOLE) || starts_with_any_case(word, "georef"))
}

/// What a name says by its words alone: `GPSLatitude`, DJI's `GpsLongtitude`, `LRFTargetLat`, `geoTag`, `contentLocation`; not
/// `ISOSpeedLatitudeyyy` or `ExposureLatitude`, which are about exposure, nor `Lateral`.
fn coordinate(local: &[u8]) -> Says {
    let (mut says, mut before) = (Says::Nothing, Default::default());
    for word in words(local) {
        if is_one_of(word, &["exposure", "iso", "film", "tonal"]) {
            return Says::Nothing;
        }
        // A weak word counts as the last one only: `TargetAlt`, not `AltText`.
        says = match (axis(word), says) {
            _ if is_place_word(word) || is_place_compound(before, word) => Says::Place,
            (Some(_), _) | (_, Says::Place) => Says::Place,
            _ if is_one_of(word, &["alt"]) => Says::PlaceIfNumber { decimals: 0 },
            _ if is_one_of(word, &["long"]) => Says::PlaceIfNumber { decimals: 3 },
            _ => Says::Nothing,
        };
        before = word;
    }
    says
}

/// What a coordinate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Latitude,
    Longitude,
    Altitude,
}

/// A word for one of a place's coordinates, spelt out, abbreviated or misspelt.
pub(super) fn axis(word: &[u8]) -> Option<Axis> {
    if word.len() < 3 || !matches!(word.first().map(u8::to_ascii_lowercase), Some(b'l' | b'a')) && word.len() < 7 {
        return None;
    }
    let has = |wanted: &str| word.len() >= wanted.len() && contains_any_case(word, wanted);
    if has("altitude") || is_one_of(word, &["abovesealevel"]) {
        Some(Axis::Altitude)
    } else if is_one_of(word, &["lat"]) || has("latitude") || is_nearly(word, b"latitude") {
        // One letter more is a word of its own.
        (!word.eq_ignore_ascii_case(b"platitude")).then_some(Axis::Latitude)
    } else if is_one_of(word, &["lon", "lng"]) || has("longitude") || has("longtitude") || is_nearly(word, b"longitude") {
        Some(Axis::Longitude)
    } else {
        None
    }
}

/// A word that means a place on Earth, whatever stands around it.
fn is_place_word(word: &[u8]) -> bool {
    const STARTS: [&str; 11] =
        ["gps", "geotag", "geoloc", "geocod", "geohash", "georef", "geopos", "geocoord", "geopoint", "latlon", "latlng"];
    let first = word.first().map(u8::to_ascii_lowercase);
    matches!(first, Some(b'g' | b'l')) && STARTS.iter().any(|start| starts_with_any_case(word, start))
}

/// Two words that together mean a place on Earth.
fn is_place_compound(before: &[u8], word: &[u8]) -> bool {
    match word.first().map(u8::to_ascii_lowercase) {
        Some(b'l') if is_one_of(word, &["location"]) => is_one_of(before, &["geo", "content", "shot", "photo", "capture"]),
        Some(b'c' | b's') if is_one_of(word, &["created", "shown"]) => is_one_of(before, &["location"]),
        Some(b'c') if is_one_of(word, &["coverage"]) => is_one_of(before, &["spatial"]),
        _ if !is_one_of(before, &["geo"]) => false,
        _ => ["tag", "cod", "hash", "pos", "point", "coord"].iter().any(|start| starts_with_any_case(word, start)),
    }
}

/// Whether a comment or an instruction inside of a packet speaks of a place; nobody reads those, so they may go lightly.
pub(super) fn aside_mentions_location(aside: &[u8]) -> bool {
    let words = ["gps", "latitude", "longitude", "location", "city", "country", "state"];
    !aside.starts_with(b"<?xpacket") && words.iter().any(|word| contains_any_case(aside, word))
}

/// Whether the rest of a packet, which is no XML, has the name of a property that says where.
pub(super) fn remnant_mentions_location(remnant: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    remnant.split(|byte| !is_name(byte)).any(|name| {
        let (prefix, local) = split(name);
        property(Namespace::usual_for(prefix), local) == Says::Place
    })
}

/// Whether a name beyond XMP (a key of a video's metadata, of JSON, of CBOR) says where.
pub(super) fn is_location_keyword(keyword: &[u8]) -> bool {
    let (prefix, local) = split(keyword);
    let plain = ["location", "city", "country", "countrycode", "sublocation", "sub-location", "province-state", "geotag"];
    property(Namespace::usual_for(prefix), local) == Says::Place || is_one_of(local, &plain)
}

/// Whether a text's keyword (PNG's, such as OpenImageIO's `IPTC:State`) says where. Wider than [`is_location_keyword`]: what is
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
pub(super) fn is_for_people(name: &[u8]) -> bool {
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

    fn says(name: &str) -> Says {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        property(Namespace::usual_for(prefix.as_bytes()), local.as_bytes())
    }

    #[test]
    fn names_of_coordinates_are_known_by_their_words() {
        for name in [
            "GPSLatitude",
            "gpslongitude",
            "GpsLongtitude",
            "GPSAreaInformation",
            "EXIF_GPSDestBearing",
            "Lat",
            "LON",
            "lng",
            "HomeLat",
            "home_lon",
            "TargetLng",
            "LRFTargetLat",
            "LRFTargetLon",
            "LRFTargetAbsAltitude",
            "Latitude",
            "Longtitude",
            "lattitude",
            "Longitute",
            "decimalLatitude",
            "Lat1",
            "LatLong",
            "latlng",
            "geoTag",
            "GeoTagging",
            "geolocation",
            "GeoPosition",
            "geo_location",
            "geohash",
            "contentLocation",
            "locationCreated",
            "LocationShown",
            "spatialCoverage",
            "AbsoluteAltitude",
            "schema:location",
            "schema:spatialCoverage",
            "drone-dji:RtkStdLat",
            "geo:anything",
        ] {
            assert_eq!(says(name), Says::Place, "{name}");
        }
        assert_eq!(says("LRFTargetAlt"), Says::PlaceIfNumber { decimals: 0 });
        assert_eq!(says("HomeLong"), Says::PlaceIfNumber { decimals: 3 });
    }

    #[test]
    fn names_that_only_look_like_coordinates_are_not() {
        for name in [
            "ISOSpeedLatitudeyyy",
            "ExposureLatitude",
            "Lateral",
            "LatencyMs",
            "Translation",
            "Flatten",
            "Plating",
            "Salon",
            "Along",
            "LongExposure",
            "AltText",
            "Alternative",
            "AltTextAccessibility",
            "Attitude",
            "GimbalAttitude",
            "Platitude",
            "GeometricDistortion",
            "Geology",
            "SubjectLocation",
            "xmpDM:location",
            "FocusLocation",
            "CameraPositionNED",
            "location",
            "City",
            "other:State",
            "Iptc4xmpCore:CiAdrCity",
            "schemaLocation",
            "GimbalYawDegree",
            "PoseHeadingDegrees",
            "Amplitude",
            "colon",
            "Lens",
            "LensId",
            "creationDate",
            "dwc:eventDate",
            "dwc:recordedBy",
            "dwc:scientificName",
            "",
        ] {
            assert_eq!(says(name), Says::Nothing, "{name}");
        }
    }

    #[test]
    fn darwin_core_keeps_all_but_its_places() {
        for name in [
            "georeferenceRemarks",
            "georeferencedBy",
            "verbatimElevation",
            "verbatimDepth",
            "verbatimSRS",
            "verbatimLocality",
            "minimumElevationInMeters",
            "maximumDepthInMeters",
            "minimumDistanceAboveSurfaceInMeters",
            "GeologicalContext",
            "coordinatePrecision",
            "coordinateUncertaintyInMeters",
            "geodeticDatum",
            "verticalDatum",
            "pointRadiusSpatialFit",
            "footprintWKT",
            "higherGeography",
            "locationID",
            "waterBody",
            "islandGroup",
            "stateProvince",
            "countryCode",
        ] {
            assert_eq!(says(&format!("dwc:{name}")), Says::Place, "{name}");
        }
        for name in ["verbatimEventDate", "habitat", "sex", "catalogNumber", "institutionCode", "Taxon", "lifeStage"] {
            assert_eq!(says(&format!("dwc:{name}")), Says::Nothing, "{name}");
        }
    }

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

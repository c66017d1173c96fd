//! Decides whether the name of an XMP property means a location.
//!
//! Coordinates are recognised in any namespace by the words of a name, since every maker of drones and phones uses its own names.
//! The few compounds that can only mean a location are recognised the same way. Names of cities and countries are recognised in
//! the namespaces that use them for the image. The lists follow the XMP, IPTC, PRISM, Darwin Core, schema.org and DJI
//! specifications and ExifTool's family-2 group "Location".
//!
//! Not recognised, and therefore kept: keywords; `Iptc4xmpCore:CiAdrCity` and related properties, which are the creator's
//! address; positions within the image (`exif:SubjectLocation`, regions); `xmpDM:location` of a marker, which is a link;
//! directions; Skydio's `CameraPositionNED`, which counts from an unknown take-off point.

use super::namespaces::Namespace;
use super::word_match::{contains_any_case, is_nearly, is_one_of, starts_with_any_case, words};

/// What a name indicates about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No location, as far as the name shows.
    Other,
    Location,
    /// A location if the value is a number with at least as many decimal places: `Alt` may also be an alternative text.
    LocationIfNumber {
        decimals: usize,
    },
}

/// Returns what the name of an XMP property indicates.
pub(super) fn property(namespace: Namespace, local: &[u8]) -> Meaning {
    if is_location_in(namespace, local) { Meaning::Location } else { coordinate(local) }
}

fn is_location_in(namespace: Namespace, local: &[u8]) -> bool {
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
        Namespace::DarwinCore => is_darwin_core_location(local),
        Namespace::SchemaOrg => one_of(&["location", "spatial", "spatialCoverage", "geo", "Place"]),
        Namespace::Catalogue => one_of(&["Location", "City", "State", "Country", "CountryCode"]),
        Namespace::Dji => starts(&["RtkStd"]),
        Namespace::LocationOnly => true,
        Namespace::Other => false,
    }
}

/// Matches the terms of Darwin Core's classes Location and GeologicalContext (Darwin Core quick reference guide, 2023-09-18).
fn is_darwin_core_location(local: &[u8]) -> bool {
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

/// Returns what the words of a name indicate, in any namespace: `GPSLatitude`, DJI's `GpsLongtitude`, `LRFTargetLat`, `geoTag`
/// and `contentLocation` are locations. `ISOSpeedLatitudeyyy` and `ExposureLatitude`, which are about exposure, and `Lateral` are
/// not.
fn coordinate(local: &[u8]) -> Meaning {
    let (mut meaning, mut before) = (Meaning::Other, Default::default());
    for word in words(local) {
        if is_one_of(word, &["exposure", "iso", "film", "tonal"]) {
            return Meaning::Other;
        }
        // An ambiguous word counts only as the last one: `TargetAlt`, not `AltText`.
        meaning = match (axis(word), meaning) {
            _ if is_location_word(word) || is_location_compound(before, word) => Meaning::Location,
            (Some(_), _) | (_, Meaning::Location) => Meaning::Location,
            _ if is_one_of(word, &["alt"]) => Meaning::LocationIfNumber { decimals: 0 },
            _ if is_one_of(word, &["long"]) => Meaning::LocationIfNumber { decimals: 3 },
            _ => Meaning::Other,
        };
        before = word;
    }
    meaning
}

/// The axis that a coordinate measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Latitude,
    Longitude,
    Altitude,
}

/// Recognises a word for a geographic coordinate, spelt out, abbreviated or misspelt.
pub(super) fn axis(word: &[u8]) -> Option<Axis> {
    if word.len() < 3 || !matches!(word.first().map(u8::to_ascii_lowercase), Some(b'l' | b'a')) && word.len() < 7 {
        return None;
    }
    let has = |wanted: &str| word.len() >= wanted.len() && contains_any_case(word, wanted);
    if has("altitude") || is_one_of(word, &["abovesealevel"]) {
        Some(Axis::Altitude)
    } else if is_one_of(word, &["lat"]) || has("latitude") || is_nearly(word, b"latitude") {
        // One letter more is a word in its own right.
        (!word.eq_ignore_ascii_case(b"platitude")).then_some(Axis::Latitude)
    } else if is_one_of(word, &["lon", "lng"]) || has("longitude") || has("longtitude") || is_nearly(word, b"longitude") {
        Some(Axis::Longitude)
    } else {
        None
    }
}

/// Returns whether a word means a geographic location in any context.
fn is_location_word(word: &[u8]) -> bool {
    const STARTS: [&str; 11] =
        ["gps", "geotag", "geoloc", "geocod", "geohash", "georef", "geopos", "geocoord", "geopoint", "latlon", "latlng"];
    let first = word.first().map(u8::to_ascii_lowercase);
    matches!(first, Some(b'g' | b'l')) && STARTS.iter().any(|start| starts_with_any_case(word, start))
}

/// Returns whether two words together mean a geographic location.
fn is_location_compound(before: &[u8], word: &[u8]) -> bool {
    match word.first().map(u8::to_ascii_lowercase) {
        Some(b'l') if is_one_of(word, &["location"]) => is_one_of(before, &["geo", "content", "shot", "photo", "capture"]),
        Some(b'c' | b's') if is_one_of(word, &["created", "shown"]) => is_one_of(before, &["location"]),
        Some(b'c') if is_one_of(word, &["coverage"]) => is_one_of(before, &["spatial"]),
        _ if !is_one_of(before, &["geo"]) => false,
        _ => ["tag", "cod", "hash", "pos", "point", "coord"].iter().any(|start| starts_with_any_case(word, start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(name: &str) -> Meaning {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        property(Namespace::usual_for(prefix.as_bytes()), local.as_bytes())
    }

    #[test]
    fn coordinate_names_are_recognised_by_their_words() {
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
            assert_eq!(meaning(name), Meaning::Location, "{name}");
        }
        assert_eq!(meaning("LRFTargetAlt"), Meaning::LocationIfNumber { decimals: 0 });
        assert_eq!(meaning("HomeLong"), Meaning::LocationIfNumber { decimals: 3 });
    }

    #[test]
    fn names_that_resemble_coordinates_are_not_recognised() {
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
            assert_eq!(meaning(name), Meaning::Other, "{name}");
        }
    }

    #[test]
    fn darwin_core_loses_only_its_locations() {
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
            assert_eq!(meaning(&format!("dwc:{name}")), Meaning::Location, "{name}");
        }
        for name in ["verbatimEventDate", "habitat", "sex", "catalogNumber", "institutionCode", "Taxon", "lifeStage"] {
            assert_eq!(meaning(&format!("dwc:{name}")), Meaning::Other, "{name}");
        }
    }
}

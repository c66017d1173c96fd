//! Which names say where a picture was taken: XMP properties, and keywords of texts. The lists follow the XMP, IPTC, PRISM,
//! Darwin Core and DJI specifications and what ExifTool 12.57 counts to its family-2 group "Location".
//!
//! Not here, so kept: keywords and captions; `Iptc4xmpCore:CiAdrCity` and its kin, which are the creator's address; the
//! place in the picture (`exif:SubjectLocation`, regions); `xmpDM:location` of a marker, which is a link; directions.

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
    /// Catalogue programs that have a property `Location` or `CountryCode`.
    Catalogue,
    Dji,
    /// Nothing but places: GSM cells, W3C's `geo`.
    Place,
    Other,
}

/// How a URI starts (after its scheme), the usual prefix, the namespace. Versions and a trailing slash differ in the wild.
const NAMESPACES: [(&str, &str, Namespace); 17] = [
    ("ns.adobe.com/photoshop/1.0", "photoshop", Namespace::Photoshop),
    ("iptc.org/std/Iptc4xmpCore/", "Iptc4xmpCore", Namespace::IptcCore),
    ("iptc.org/std/Iptc4xmpExt/", "Iptc4xmpExt", Namespace::IptcExtension),
    ("prismstandard.org/namespaces/", "prism", Namespace::Prism),
    ("prismstandard.org/namespaces/pmi/", "pmi", Namespace::Prism),
    ("ns.adobe.com/xmp/1.0/DynamicMedia", "xmpDM", Namespace::DynamicMedia),
    ("purl.org/dc/elements/1.1", "dc", Namespace::DublinCore),
    ("purl.org/dc/terms", "dcterms", Namespace::DublinCore),
    ("rs.tdwg.org/dwc/", "dwc", Namespace::DarwinCore),
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

/// Whether a property says where. Coordinates are told by their names in any namespace, since each maker of drones and
/// phones has one of their own.
pub(super) fn is_location(namespace: Namespace, local: &[u8]) -> bool {
    if is_coordinate(local) {
        return true;
    }
    let one_of = |names: &[&str]| names.iter().any(|name| local == name.as_bytes());
    let starts = |names: &[&str]| names.iter().any(|name| local.starts_with(name.as_bytes()));
    match namespace {
        Namespace::Photoshop => one_of(&["City", "State", "Country"]),
        Namespace::IptcCore => one_of(&["Location", "CountryCode"]),
        Namespace::IptcExtension => {
            starts(&["Location"])
                || one_of(&["City", "CountryCode", "CountryName", "ProvinceState", "Sublocation", "WorldRegion"])
        }
        Namespace::Prism => one_of(&["location"]),
        Namespace::DynamicMedia => one_of(&["shotLocation"]),
        Namespace::DublinCore => one_of(&["coverage", "spatial", "Location"]),
        Namespace::DarwinCore => {
            starts(&["Location", "location", "localit", "verbatimLocality", "verbatimCoord", "country", "county"])
                || starts(&["stateProvince", "municipality", "continent", "island", "waterBody", "footprint", "higherGeo"])
        }
        Namespace::Catalogue => one_of(&["Location", "City", "State", "Country", "CountryCode"]),
        Namespace::Dji => starts(&["RtkStd"]),
        Namespace::Place => true,
        Namespace::Other => false,
    }
}

/// `GPSLatitude`, DJI's `GpsLongtitude` and `AbsoluteAltitude`, Darwin Core's `decimalLatitude`; not `ISOSpeedLatitudeyyy`,
/// which is about exposure.
fn is_coordinate(local: &[u8]) -> bool {
    let is_speed = starts_with_any_case(local, b"ISOSpeed");
    starts_with_any_case(local, b"gps") || (!is_speed && mentions(local, &["latitude", "longitude", "longtitude", "altitude"]))
}

/// Whether a comment or an instruction inside of a packet speaks of a place; nobody reads those, so they may go lightly.
pub(super) fn aside_mentions_location(aside: &[u8]) -> bool {
    !aside.starts_with(b"<?xpacket") && mentions(aside, &["gps", "latitude", "longitude", "location", "city", "country", "state"])
}

/// Whether a text's keyword (PNG's, such as ImageMagick's `exif:GPSLatitude`) names a place.
pub(super) fn is_location_keyword(keyword: &[u8]) -> bool {
    let colon = memchr::memrchr(b':', keyword);
    let prefix = colon.and_then(|at| keyword.get(..at)).unwrap_or_default();
    let local = colon.and_then(|at| keyword.get(at + 1..)).unwrap_or(keyword);
    let plain = ["location", "city", "country", "countrycode", "sublocation", "sub-location", "province-state", "geotag"];
    is_location(Namespace::usual_for(prefix), local) || plain.iter().any(|name| local.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a free text (a comment, a provenance record) holds coordinates by name.
pub(super) fn names_coordinates(text: &[u8]) -> bool {
    mentions(text, &["gpslat", "gpslon", "gpspos", "gpscoord", "\"latitude", "\"longitude", "iptc4xmpext:location"])
}

fn starts_with_any_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Case does not matter; `words` are in lower case.
fn mentions(text: &[u8], words: &[&str]) -> bool {
    text.iter().enumerate().any(|(at, byte)| {
        let rest = || text.get(at..).unwrap_or_default();
        words.iter().any(|word| {
            word.as_bytes().first() == Some(&byte.to_ascii_lowercase()) && starts_with_any_case(rest(), word.as_bytes())
        })
    })
}

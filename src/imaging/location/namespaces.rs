//! The XML namespaces with location properties.

/// A namespace with location properties.
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
    /// Catalogue programs with a property `Location` or `CountryCode`.
    Catalogue,
    Dji,
    /// Only locations: GSM cells, W3C's `geo`.
    LocationOnly,
    Other,
}

/// The start of the URI (after its scheme), the usual prefix, and the namespace. Versions and a trailing slash vary in practice.
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
    ("developer.sonyericsson.com/cell/", "cell", Namespace::LocationOnly),
    ("www.w3.org/2003/01/geo/wgs84_pos", "geo", Namespace::LocationOnly),
    ("ns.google.com/photos/dd/1.0/earthpose", "EarthPose", Namespace::LocationOnly),
];

impl Namespace {
    /// Returns the namespace of a URI, or `None` if it is unknown.
    pub fn of(uri: &[u8]) -> Option<Self> {
        let uri = uri.trim_ascii();
        let address = uri.strip_prefix(b"http://").or_else(|| uri.strip_prefix(b"https://")).unwrap_or(uri);
        NAMESPACES.iter().find(|(start, ..)| address.starts_with(start.as_bytes())).map(|&(.., namespace)| namespace)
    }

    /// Returns the namespace that usually has this prefix. For a prefix that is bound to an unknown namespace or unbound: some
    /// readers go by the prefix alone.
    pub fn usual_for(prefix: &[u8]) -> Self {
        let found = NAMESPACES.iter().find(|(_, usual, _)| usual.as_bytes().eq_ignore_ascii_case(prefix));
        found.map_or(Namespace::Other, |&(.., namespace)| namespace)
    }
}

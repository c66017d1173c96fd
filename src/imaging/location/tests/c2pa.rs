//! A manifest with a location is removed, wherever the location is, and nothing that a reader would recognise as a manifest
//! stays.

use super::super::{Cleaned, clean};
use super::build::{COORDINATE, Order, PLACE, app1, exif_segment, jpeg, place_xmp, png, riff, riff_chunk, segment, xmp};
use super::c2pa_build::{
    app11, array, bytes, cbor, files, gif_extension, innocent, json, jumbf, manifest, map, place_store, store, store_with,
    superbox, text,
};
use super::{has, remove, removed};
use crate::model::image::{Credentials, Format};

#[track_caller]
fn goes(assertion: Vec<u8>) {
    let store = store_with(&[assertion]);
    for (file, without, format) in files(&store) {
        let Cleaned { file: cleaned, credentials } = clean(&file, format);
        assert_eq!(credentials, Credentials::Removed, "{format}");
        assert_eq!(cleaned.as_deref(), Some(&without[..]), "{format}");
    }
}

#[track_caller]
fn stays(assertion: Vec<u8>) {
    for (file, _, format) in files(&store_with(&[assertion])) {
        let cleaned = clean(&file, format);
        assert_eq!((cleaned.file, cleaned.credentials), (None, Credentials::Kept), "{format}");
    }
}

#[test]
fn an_assertion_without_a_location_is_unchanged() {
    stays(json("stds.exif", r#"{"@context":{"exif":"http://ns.adobe.com/exif/1.0/"},"exif:ISOSpeedLatitudeyyy":3}"#));
    stays(json("cawg.metadata", r#"{"photoshop:Headline":"City of Country, State","dc:title":["a \"location\""]}"#));
    stays(cbor("c2pa.hash.multi-asset", &map(&[("parts", array(&[map(&[("location", map(&[("byteOffset", vec![0])]))])]))])));
    stays(json("cawg.identity", r#"{"address":"https://example.org/@ann","name":"region"}"#));
    // Hashes and sentences may start like JSON.
    stays(cbor("org.example", &map(&[("hash", bytes(b"{\xff\0\x80")), ("alg", text("[\"sha256")), ("salt", bytes(b"[\"\0"))])));
    stays(superbox(b"uuid", "org.example.blob", &[jumbf(b"uuid", &[200; 100])]));
}

#[test]
fn a_manifest_with_a_location_name_is_removed() {
    for name in [
        "photoshop:City",
        "photoshop:Country",
        "photoshop:State",
        "Iptc4xmpCore:Location",
        "Iptc4xmpExt:LocationShown",
        "Iptc4xmpExt:CountryName",
        "exif:GPSLatitude",
        "EXIF:GPSLongitude",
        "contentLocation",
        "locationCreated",
        "latitude",
        "lng",
        "country",
        "location",
        "geo",
        "schema:locationCreated",
        "http://ns.adobe.com/photoshop/1.0/City",
        "https://schema.org/contentLocation",
        "dcterms:spatial",
        "city",
        "phot\\u006fshop:City",
        "photoshop\\u003aCity",
    ] {
        for label in
            ["stds.iptc", "cawg.metadata", "c2pa.metadata", "stds.exif", "stds.schema-org.CreativeWork", "org.example.any"]
        {
            goes(json(label, &format!("{{ \"a\" : [1, {{\"{name}\"\n : \"{PLACE}\"}}]}}")));
        }
        if !name.contains('\\') {
            goes(cbor("org.example.any", &map(&[("a", array(&[map(&[(name, text(PLACE))])]))])));
        }
    }
}

#[test]
fn a_json_ld_context_may_map_names() {
    goes(json("c2pa.metadata", r#"{"p:City":"there","@context":{"p":"http://ns.adobe.com/photoshop/1.0/"}}"#));
    goes(json("c2pa.metadata", r#"{"@context":{"@vocab":"http://ns.adobe.com/photoshop/1.0/"},"State":"there"}"#));
    goes(json("c2pa.metadata", r#"{"@context":{"town":{"@id":"photoshop:City"}},"town":"there"}"#));
    goes(json("c2pa.metadata", r#"{"@context":{"town":"http://ns.adobe.com/photoshop/1.0/City"},"town":"there"}"#));
    goes(json("org.example", r#"{"where":{"@type":"Place","name":"there"}}"#));
    goes(json("org.example", r#"{"where":"geo:47.1,8.2"}"#));
    goes(cbor("c2pa.metadata", &map(&[("q:City", text("there")), ("q", text("http://ns.adobe.com/photoshop/1.0/"))])));
}

#[test]
fn assertion_labels_name_locations_too() {
    goes(json("c2pa.location.broad", r#"{"name":"there"}"#));
    goes(cbor("c2pa.location.precise.v1", &map(&[("x", vec![1])])));
    stays(superbox(b"json", "c2pa.location.broad", &[jumbf(b"json", &[0; 40])]));
}

#[test]
fn locations_inside_embedded_formats_are_found() {
    let thumbnail = jpeg(&[exif_segment(Order::Little)]);
    goes(superbox(
        b"\x40\xcb\x0c\x32",
        "c2pa.thumbnail.claim.jpeg",
        &[jumbf(b"bfdb", b"\0image/jpeg\0"), jumbf(b"bidb", &thumbnail)],
    ));
    goes(cbor("c2pa.data", &map(&[("data", bytes(&thumbnail))])));
    goes(cbor("org.example", &map(&[("xmp", text(&String::from_utf8(place_xmp()).unwrap()))])));
    goes(json("org.example", r#"{"inner":"{\"photoshop:City\":\"there\"}"}"#));
    goes(cbor("org.example", &map(&[("inner", bytes(&place_store()))])));
    goes(superbox(b"json", "org.example", &[jumbf(b"data", format!("{{\"latitude\":{COORDINATE}}}").as_bytes())]));
    goes(superbox(b"json", "org.example", &[jumbf(b"json", b"{}"), json("nested", r#"{"photoshop:City":"there"}"#)]));
    // In chunks, with indefinite length.
    goes(cbor("org.example", b"\xbf\x7f\x64lati\x64tude\xff\xfb\0\0\0\0\0\0\0\0\xff"));
}

#[test]
fn the_manifest_of_an_ingredient_is_checked() {
    let place = manifest(b"c2ma", "urn:c2pa:1", &[json("stds.iptc", &format!(r#"{{"photoshop:City":"{PLACE}"}}"#))]);
    let active = manifest(b"c2ma", "urn:c2pa:2", &innocent());
    for (file, without, format) in files(&store(&[place, active])) {
        assert_eq!(removed(&file, format), without, "{format}");
    }
}

/// Decodes Brotli of `{"photoshop:City":...}` manifests. They were compressed by the reference encoder, since the tests have
/// none.
fn packed(hexadecimal: &str) -> Vec<u8> {
    let brotli = hex::decode(hexadecimal).expect("hexadecimal digits");
    store(&[superbox(b"c2cm", "urn:c2pa:1", &[jumbf(b"brob", &brotli)])])
}

#[test]
fn a_compressed_manifest_is_decompressed() {
    for (file, without, format) in files(&packed(super::c2pa_build::BROTLI_PLACE)) {
        assert_eq!(removed(&file, format), without, "{format}");
    }
    for (file, _, format) in files(&packed(super::c2pa_build::BROTLI_INNOCENT)) {
        assert_eq!(remove(&file, format), None, "{format}");
    }
    for (file, without, format) in files(&packed("1b93")) {
        assert_eq!(removed(&file, format), without, "damaged, {format}");
    }
}

#[test]
fn readers_find_no_manifest_after_removal() {
    let store = place_store();
    // Offsets may point to data after the image, so there the segments stay, empty.
    let file = [jpeg(&[app11(&store, 400)]), b"MotionPhoto_Data".to_vec()].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert!(!has(&cleaned, b"jumb") && !has(&cleaned, b"c2pa"));
    let multiple = [segment(0xe2, b"MPF\0II*\0\x08\0\0\0\0\0"), app11(&store, 60_000)];
    assert_eq!(removed(&jpeg(&multiple), Format::Jpeg).len(), jpeg(&multiple).len());
    // VP8X has no flag for this chunk.
    let extended = |chunks: &[Vec<u8>]| riff(&[&[riff_chunk(b"VP8X", &[0; 10]), riff_chunk(b"VP8L", b"data")], chunks].concat());
    let odd = [&store[..], &[0]].concat();
    assert_eq!(removed(&extended(&[riff_chunk(b"C2PA", &odd)]), Format::Webp), extended(&[]));
}

#[test]
fn other_jumbf_stays() {
    let other = |text: &str| segment(0xeb, &[b"JP\0\x07\0\0\0\x01", &json("org.example", text)[..]].concat());
    let file = jpeg(&[app11(&place_store(), 300), other("{\"a\":1}")]);
    assert_eq!(removed(&file, Format::Jpeg), jpeg(&[other("{\"a\":1}")]));
    let both = jpeg(&[app11(&store_with(&[]), 300), other("{\"a\":1}")]);
    assert_eq!(remove(&both, Format::Jpeg), None);
    // A location in other JUMBF is no reason to remove a manifest whose hash does not cover it; but this hash covers everything.
    let placed = jpeg(&[app11(&store_with(&[]), 300), other("{\"Location\":\"Xanaduville\"}")]);
    assert_eq!(removed(&placed, Format::Jpeg), jpeg(&[]));
}

#[test]
fn segments_out_of_order_are_not_trusted() {
    let store = store_with(&[]);
    let whole = app11(&store, store.len() / 3 + 1);
    let first = 2 + usize::from(u16::from_be_bytes([whole[2], whole[3]]));
    let (first, others) = whole.split_at(first);
    assert_eq!(removed(&jpeg(&[others.to_vec(), first.to_vec()]), Format::Jpeg), jpeg(&[]));
    // One piece is missing, and one occurs twice.
    assert_eq!(removed(&jpeg(&[first.to_vec()]), Format::Jpeg), jpeg(&[]));
    assert_eq!(removed(&jpeg(&[whole.clone(), others.to_vec()]), Format::Jpeg), jpeg(&[]));
}

#[test]
fn an_image_without_content_credentials_reports_none() {
    let xmp = app1("http://ns.adobe.com/xap/1.0/\0", xmp("", "").as_bytes());
    assert_eq!(clean(&jpeg(&[xmp]), Format::Jpeg).credentials, Credentials::None);
    assert_eq!(clean(&jpeg(&[exif_segment(Order::Big)]), Format::Jpeg).credentials, Credentials::None);
    for (_, without, format) in files(&[]) {
        assert_eq!(clean(&without, format).credentials, Credentials::None);
    }
}

#[test]
fn a_second_store_is_removed_with_the_first() {
    let twice = [gif_extension(&place_store()), gif_extension(&store_with(&[]))];
    let cleaned = clean(&super::build::gif(&twice), Format::Gif);
    assert_eq!(cleaned.file, Some(super::build::gif(&[])));
    let chunks = [super::build::chunk(b"caBX", &store_with(&[])), super::build::chunk(b"caBX", &place_store())];
    assert_eq!(removed(&png(&chunks, &[]), Format::Png), png(&[], &[]));
}

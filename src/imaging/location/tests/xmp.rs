//! XMP packets, and those that are cut over segments.

use super::super::{Outcome, remove, xmp::clean};
use super::build::{self, COORDINATE, PLACE, app1, jpeg, place_xmp, xmp};
use super::{assert_no_place, has, removed};
use crate::model::image::Format;
use md5::{Digest, Md5};

const HEADER: &str = "http://ns.adobe.com/xap/1.0/\0";

#[track_caller]
fn cleaned(packet: &str) -> String {
    let mut bytes = packet.as_bytes().to_vec();
    assert_eq!(clean(&mut bytes), Outcome::Edited, "{packet}");
    assert_no_place(&bytes);
    assert_eq!(bytes.len(), packet.len());
    let text = String::from_utf8(bytes.clone()).expect("still UTF-8");
    assert!(text.contains("A title") && text.contains("dc:format=\"image/jpeg\""), "{text}");
    assert_eq!(clean(&mut bytes), Outcome::Unchanged);
    text
}

#[track_caller]
fn assert_wiped(packet: &[u8]) {
    let mut bytes = packet.to_vec();
    assert_eq!(clean(&mut bytes), Outcome::Emptied, "{}", String::from_utf8_lossy(packet));
    assert!(bytes.iter().all(|&byte| byte == b' '));
}

#[test]
fn properties_go_as_attributes_and_as_elements() {
    let text = cleaned(&String::from_utf8(place_xmp()).expect("text"));
    assert!(text.contains("photoshop:Headline=\"Head\"") && !text.contains("GPS") && !text.contains("City"));
}

#[test]
fn every_property_of_a_place_goes_with_its_structure() {
    let namespaces = "xmlns:core=\"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/\" \
        xmlns:ext=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" xmlns:drone-dji='http://www.dji.com/drone-dji/1.0/' \
        xmlns:geo=\"http://www.w3.org/2003/01/geo/wgs84_pos#\" xmlns:dwc=\"http://rs.tdwg.org/dwc/index.htm\" \
        xmlns:DM=\"http://ns.adobe.com/xmp/1.0/DynamicMedia/\" xmlns:Camera=\"http://pix4d.com/camera/1.0\"";
    let structure = format!(
        "<rdf:Bag><rdf:li rdf:parseType=\"Resource\"><ext:City>{PLACE}</ext:City><ext:LocationName><rdf:Alt><rdf:li>\
         {PLACE}</rdf:li></rdf:Alt></ext:LocationName></rdf:li></rdf:Bag>"
    );
    let properties = format!(
        "<ext:LocationShown>{structure}</ext:LocationShown><ext:LocationCreated>{structure}</ext:LocationCreated>\
         <core:Location>{PLACE}</core:Location><core:CountryCode>{PLACE}</core:CountryCode>\
         <photoshop:State>{PLACE}</photoshop:State><photoshop:Country>{PLACE}</photoshop:Country>\
         <geo:lat>{COORDINATE}</geo:lat><dwc:decimalLongitude>{COORDINATE}</dwc:decimalLongitude>\
         <DM:shotLocation>{PLACE}</DM:shotLocation><Camera:GPSXYAccuracy>{COORDINATE}</Camera:GPSXYAccuracy>\
         <drone-dji:AbsoluteAltitude>+{COORDINATE}</drone-dji:AbsoluteAltitude><dc:coverage>{PLACE}</dc:coverage>"
    );
    let attributes = format!(
        "{namespaces} drone-dji:GpsLatitude=\"{COORDINATE}\" drone-dji:GpsLongtitude='{COORDINATE}' \
         drone-dji:GimbalYawDegree=\"+12\" exif:GPSAreaInformation=\"{PLACE}\""
    );
    let text = cleaned(&xmp(&attributes, &properties));
    assert!(text.contains("drone-dji:GimbalYawDegree=\"+12\""));
}

#[test]
fn what_is_no_place_is_untouched() {
    let kept = "<exif:SubjectLocation>10 20</exif:SubjectLocation><exif:ISOSpeedLatitudeyyy>3</exif:ISOSpeedLatitudeyyy>\
        <dc:subject><rdf:Bag><rdf:li>City</rdf:li></rdf:Bag></dc:subject><photoshop:CountryClub>1</photoshop:CountryClub>\
        <!-- written by a program --><dc:rights>GPSLatitude</dc:rights><![CDATA[<exif:GPSLatitude>]]>";
    let mut packet = xmp("xmlns:other=\"http://example.org/\" other:City=\"1\" City=\"2\"", kept).into_bytes();
    assert_eq!(clean(&mut packet), Outcome::Unchanged);
}

#[test]
fn a_namespace_counts_by_its_address_not_by_its_prefix() {
    let any_prefix = format!("xmlns:q='http://ns.adobe.com/photoshop/1.0/' q:City='{PLACE}'");
    cleaned(&xmp(&any_prefix, ""));
    let written_in_references = format!("xmlns:q='http://ns.adobe.com/&#112;hotoshop&#x2f;1.0/' q:City='{PLACE}'");
    cleaned(&xmp(&written_in_references, ""));
    let without_slash = format!("xmlns:q='https://ns.adobe.com/photoshop/1.0' q:City='{PLACE}'");
    cleaned(&xmp(&without_slash, ""));
    let default = format!("<City xmlns='http://ns.adobe.com/photoshop/1.0/'>{PLACE}</City>");
    cleaned(&xmp("", &default));
    // Readers that go by prefix take it for Photoshop's.
    let foreign = format!("<photoshop:City xmlns:photoshop='http://example.org/'>{PLACE}</photoshop:City>");
    cleaned(&xmp("", &foreign));
    let unbound = format!("<Iptc4xmpCore:Location>{PLACE}</Iptc4xmpCore:Location>");
    cleaned(&xmp("", &unbound));
    let inner =
        format!("<dc:x><q:City xmlns:q='http://ns.adobe.com/photoshop/1.0/'>{PLACE}</q:City></dc:x><q:City xmlns:q='n'/>");
    assert!(cleaned(&xmp("", &inner)).contains("<q:City xmlns:q='n'/>"));
}

#[test]
fn comments_references_and_cdata_hide_nothing() {
    let comment = format!("<!-- exif:GPSLatitude=\"{PLACE}\" --><?note city {PLACE}?>");
    cleaned(&xmp("", &comment));
    let cdata = format!("<photoshop:City><![CDATA[{PLACE}</photoshop:City>]]>&#x41;<!-- {PLACE} > --></photoshop:City>");
    cleaned(&xmp("", &cdata));
    let quoted = format!("photoshop:City = '>\"/>{PLACE}' ");
    cleaned(&xmp(&quoted, "<photoshop:State/>"));
}

#[test]
fn a_packet_that_is_not_well_formed_is_wiped() {
    let good = xmp("", "");
    assert_wiped(good.replace("</rdf:RDF>", "").as_bytes());
    assert_wiped(good.replace("</x:xmpmeta>", "</x:other>").as_bytes());
    assert_wiped(good.replace("dc:format=\"", "dc:format=").as_bytes());
    assert_wiped(good.replace("dc:format=\"image/jpeg\"", "dc:format=\"image/jpeg").as_bytes());
    assert_wiped(&good.as_bytes()[..good.len() / 2]);
    assert_wiped(format!("<!DOCTYPE x [<!ENTITY e \"{PLACE}\">]>{good}").as_bytes());
    assert_wiped(good.replace("xmlns:dc=\"", "xmlns:e=\"&e;").as_bytes());
    assert_wiped(b"41.98 12.34");
}

#[test]
fn packets_in_wider_encodings_are_wiped() {
    let packet = xmp("", "<photoshop:City>x</photoshop:City>");
    assert_wiped(&packet.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    assert_wiped(&packet.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    assert_wiped(&packet.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect::<Vec<_>>());
}

#[test]
fn padding_around_a_packet_is_no_fault() {
    let packet = format!("\0 \u{feff}{}\0\0\0", String::from_utf8(place_xmp()).expect("text"));
    cleaned(&packet);
}

#[test]
fn a_jpeg_loses_the_place_of_its_packets() {
    let bare = app1("http://ns.example/whatever\0", &place_xmp());
    let file = jpeg(&[app1(HEADER, &place_xmp()), bare, app1(HEADER, &place_xmp())]);
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"A title").count(), 3);
    assert!(cleaned.ends_with(build::SCAN));
    let without = jpeg(&[app1(HEADER, xmp("", "").as_bytes())]);
    assert_eq!(remove(&without, Format::Jpeg), None);
}

fn extended(guid: &str, packet: &[u8], parts: usize) -> Vec<Vec<u8>> {
    let size = packet.len().div_ceil(parts);
    let part = |(number, data): (usize, &[u8])| {
        let numbers = [(packet.len() as u32).to_be_bytes(), ((number * size) as u32).to_be_bytes()].concat();
        app1("http://ns.adobe.com/xmp/extension/\0", &[guid.as_bytes(), &numbers, data].concat())
    };
    packet.chunks(size).enumerate().map(part).collect()
}

fn guid(packet: &[u8]) -> String {
    Md5::digest(packet).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn main_packet(guid: &str) -> Vec<u8> {
    let note = format!("xmlns:xmpNote=\"http://ns.adobe.com/xmp/note/\" xmpNote:HasExtendedXMP=\"{guid}\"");
    app1(HEADER, xmp(&note, "").as_bytes())
}

#[test]
fn an_extended_packet_is_cleaned_as_one_and_renamed() {
    let packet = place_xmp();
    let mut expected = packet.clone();
    clean(&mut expected);
    let (old, new) = (guid(&packet), guid(&expected));
    for parts in [1, 2, 5, 31] {
        let mut segments = extended(&old, &packet, parts);
        // Their order in the file does not matter.
        segments.reverse();
        segments.insert(0, main_packet(&old));
        let cleaned = removed(&jpeg(&segments), Format::Jpeg);
        assert!(!has(&cleaned, old.as_bytes()));
        let mut wanted = extended(&new, &expected, parts);
        wanted.reverse();
        wanted.insert(0, main_packet(&new));
        assert_eq!(cleaned, jpeg(&wanted));
    }
}

#[test]
fn an_extended_packet_with_a_missing_part_is_wiped() {
    let packet = place_xmp();
    let old = guid(&packet);
    let mut segments = extended(&old, &packet, 3);
    segments[1] = main_packet(&old);
    let cleaned = removed(&jpeg(&segments), Format::Jpeg);
    assert!(!has(&cleaned, old.as_bytes()) && !has(&cleaned, b"photoshop:Headline"));
}

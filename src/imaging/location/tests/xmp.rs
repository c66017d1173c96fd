//! XMP packets, including those split over segments.

use super::super::{Outcome, Policy, remove};
use super::build::{self, COORDINATE, PLACE, app1, jpeg, place_xmp, xmp};

use super::{assert_no_place, has, removed};
use crate::model::image::Format;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

fn clean(packet: &mut [u8]) -> Outcome {
    super::super::xmp::clean(packet, Policy::EDIT)
}

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
fn properties_are_removed_as_attributes_and_as_elements() {
    let text = cleaned(&String::from_utf8(place_xmp()).expect("text"));
    assert!(text.contains("photoshop:Headline=\"Head\"") && !text.contains("GPS") && !text.contains("City"));
}

#[test]
fn every_location_property_is_removed_with_its_structure() {
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
fn properties_that_are_not_locations_are_unchanged() {
    let kept = "<exif:SubjectLocation>10 20</exif:SubjectLocation><exif:ISOSpeedLatitudeyyy>3</exif:ISOSpeedLatitudeyyy>\
        <dc:subject><rdf:Bag><rdf:li>City</rdf:li></rdf:Bag></dc:subject><photoshop:CountryClub>1</photoshop:CountryClub>\
        <!-- written by a program --><dc:rights>GPSLatitude</dc:rights><![CDATA[<exif:GPSLatitude>]]>";
    let mut packet = xmp("xmlns:other=\"http://example.org/\" other:City=\"1\" City=\"2\"", kept).into_bytes();
    assert_eq!(clean(&mut packet), Outcome::Unchanged);
}

#[test]
fn a_namespace_is_identified_by_its_uri_rather_than_its_prefix() {
    let any_prefix = format!("xmlns:q='http://ns.adobe.com/photoshop/1.0/' q:City='{PLACE}'");
    cleaned(&xmp(&any_prefix, ""));
    let written_in_references = format!("xmlns:q='http://ns.adobe.com/&#112;hotoshop&#x2f;1.0/' q:City='{PLACE}'");
    cleaned(&xmp(&written_in_references, ""));
    let without_slash = format!("xmlns:q='https://ns.adobe.com/photoshop/1.0' q:City='{PLACE}'");
    cleaned(&xmp(&without_slash, ""));
    let default = format!("<City xmlns='http://ns.adobe.com/photoshop/1.0/'>{PLACE}</City>");
    cleaned(&xmp("", &default));
    // Readers that go by the prefix take it for Photoshop's.
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
fn a_malformed_packet_is_wiped() {
    let good = xmp("", "");
    assert_wiped(good.replace("</rdf:RDF>", "").as_bytes());
    assert_wiped(good.replace("</x:xmpmeta>", "</x:other>").as_bytes());
    assert_wiped(good.replace("dc:format=\"", "dc:format=").as_bytes());
    assert_wiped(good.replace("dc:format=\"image/jpeg\"", "dc:format=\"image/jpeg").as_bytes());
    assert_wiped(format!("<!DOCTYPE x [<!ENTITY e \"{PLACE}\">]>{good}").as_bytes());
    assert_wiped(good.replace("xmlns:dc=\"", "xmlns:e=\"&e;").as_bytes());
    assert_wiped(b"41.98 12.34");
}

/// Returns the text in UTF-16 and UTF-32, in both byte orders.
fn wider(text: &str) -> Vec<Vec<u8>> {
    let utf_32 = |bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|character| bytes(u32::from(character))).collect();
    vec![
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        utf_32(u32::to_be_bytes),
        utf_32(u32::to_le_bytes),
    ]
}

#[test]
fn packets_in_utf_16_and_utf_32_are_cleaned() {
    let packet = String::from_utf8(place_xmp()).expect("text").replace("A title", "Titel: 世界 Größe");
    let mut narrow = packet.clone().into_bytes();
    assert_eq!(clean(&mut narrow), Outcome::Edited);
    let expected = wider(std::str::from_utf8(&narrow).expect("still UTF-8"));
    for (wide, expected) in wider(&packet).into_iter().zip(expected) {
        for padding in [0, 4] {
            let mut wide = [&vec![0; padding], &wide[..]].concat();
            assert_eq!(clean(&mut wide), Outcome::Edited);
            assert_eq!(wide[padding..], expected);
            assert_eq!(clean(&mut wide), Outcome::Unchanged);
        }
    }
    for mut wide in wider(&xmp("", "")) {
        assert_eq!(clean(&mut wide), Outcome::Unchanged);
    }
    for wide in wider("<x><y></x>") {
        assert_wiped(&wide);
    }
}

#[test]
fn data_after_the_root_stays_unless_it_names_a_location() {
    let tail = "\n </rdf:li></mwg-rs:RegionList>\n </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>";
    let mut kept = [xmp("", ""), tail.into()].concat().into_bytes();
    assert_eq!(clean(&mut kept), Outcome::Unchanged);
    let text = cleaned(&[&String::from_utf8(place_xmp()).expect("text"), tail].concat());
    assert!(text.ends_with(tail));
    for place in [
        format!("</a><photoshop:City>{PLACE}</photoshop:City>"),
        format!("</a> exif:GPSLatitude=\"{PLACE}\""),
        "</a>41°59'N".into(),
    ] {
        let text = cleaned(&[xmp("", ""), place].concat());
        assert!(text.trim_end().ends_with("<?xpacket end=\"w\"?>") || text.trim_end().ends_with("</x:xmpmeta>"), "{text}");
    }
}

#[test]
fn a_truncated_packet_is_cleaned_up_to_the_cut() {
    let whole = xmp("", "<dc:rights>Ann</dc:rights>");
    let rdf = whole.find("<rdf:Description").expect("a root");
    for end in rdf..whole.len() {
        if !whole.is_char_boundary(end) {
            continue;
        }
        let mut cut = whole.as_bytes()[..end].to_vec();
        assert_eq!(clean(&mut cut), Outcome::Unchanged, "{}", &whole[..end]);
    }
    let place = String::from_utf8(place_xmp()).expect("text");
    let start = place.find("exif:GPSLatitude").expect("a latitude");
    for end in start..place.len() {
        let mut cut = place.as_bytes()[..end].to_vec();
        clean(&mut cut);
        assert_no_place(&cut);
        let text = String::from_utf8_lossy(&cut).into_owned();
        let digits = text.matches(|character: char| character.is_ascii_digit()).count();
        let without = xmp("photoshop:Headline=\"Head\"", "");
        assert!(digits <= without.matches(|character: char| character.is_ascii_digit()).count(), "{text}");
        assert_eq!(clean(&mut cut), Outcome::Unchanged);
    }
}

#[test]
fn abbreviated_and_misspelt_names_are_location_properties_too() {
    let drone = format!(
        "xmlns:d='http://example.org/drone' d:LRFTargetLat='{COORDINATE}' d:LRFTargetAlt='{COORDINATE}' d:HomeLng='{COORDINATE}' \
         d:Lattitude='{COORDINATE}' d:TargetLong='-12.{COORDINATE}' d:LRFTargetDistance='54.1' d:AltText='A cat' d:LongExposure='1'"
    );
    let text =
        cleaned(&xmp(&drone, &format!("<d:Alt>{COORDINATE}.5</d:Alt><d:Alt><rdf:Alt><rdf:li>a</rdf:li></rdf:Alt></d:Alt>")));
    for kept in ["d:LRFTargetDistance='54.1'", "d:AltText='A cat'", "d:LongExposure='1'", "<rdf:li>a</rdf:li>"] {
        assert!(text.contains(kept), "{kept}");
    }
    let schema = format!("<s:contentLocation xmlns:s='https://schema.org/'><s:Place s:name='{PLACE}'/></s:contentLocation>");
    cleaned(&xmp("", &schema));
}

#[test]
fn coordinates_and_map_links_in_other_properties_are_removed_and_the_text_stays() {
    let text = cleaned(&xmp(
        &format!("photoshop:Instructions='see geo:41.{COORDINATE},12.5 there' dc:source=\"https://maps.google.com/?q={PLACE}\""),
        &format!("<dc:description><rdf:Alt><rdf:li>Latitude: 41.{COORDINATE} on tour, f/2.8</rdf:li></rdf:Alt></dc:description>"),
    ));
    for kept in ["'see ", " there'", "dc:source=\"", " on tour, f/2.8</rdf:li>"] {
        assert!(text.contains(kept), "{text}");
    }
}

#[test]
fn a_human_readable_text_of_two_bare_numbers_loses_them() {
    let place = format!("41.{COORDINATE}, 12.{COORDINATE}");
    for name in [
        "dc:title",
        "dc:description",
        "dc:subject",
        "photoshop:Headline",
        "exif:UserComment",
        "lr:hierarchicalSubject",
        "digiKam:TagsList",
        "MicrosoftPhoto:LastKeywordXMP",
        "MicrosoftPhoto:LastKeywordIPTC",
        "mediapro:CatalogSets",
        "Iptc4xmpCore:AltTextAccessibility",
        "Iptc4xmpCore:ExtDescrAccessibility",
        "xmpRights:UsageTerms",
        "Iptc4xmpExt:Event",
        "mwg-rs:Name",
    ] {
        cleaned(&xmp("", &format!("<{name}><rdf:Alt><rdf:li xml:lang='x-default'>{place}</rdf:li></rdf:Alt></{name}>")));
        cleaned(&xmp("", &format!("<{name}>\n {place}\n</{name}>")));
        cleaned(&xmp(&format!("{name}='{place}'"), ""));
    }
    cleaned(&xmp(
        "",
        &format!("<dc:subject><rdf:Bag><rdf:li>a</rdf:li><rdf:li>geo:lat=41.{COORDINATE}</rdf:li></rdf:Bag></dc:subject>"),
    ));
    // Elsewhere they are a measurement of a lens.
    let measures = "<c:PrincipalPoint>2.432562,1.829434</c:PrincipalPoint><dc:title>0.8750, 0.1250</dc:title>\
        <c:Points><rdf:Seq><rdf:li>12.34123, 41.98123</rdf:li></rdf:Seq></c:Points>";
    let mut packet = xmp("c:PrincipalPoint='2.432562,1.829434'", measures).into_bytes();
    assert_eq!(clean(&mut packet), Outcome::Unchanged);
}

#[test]
fn an_image_inside_a_packet_is_cleaned() {
    let image = jpeg(&[build::exif_segment(build::Order::Big)]);
    let encoded = STANDARD.encode(&image);
    let lines = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).expect("text")).collect::<Vec<_>>();
    for joined in [lines.join("\n"), lines.join("&#xA;"), encoded.clone()] {
        let packet = xmp("", &format!("<xmpGImg:image>{joined}</xmpGImg:image>"));
        let text = cleaned(&packet);
        let start = text.find("<xmpGImg:image>").expect("the image") + 15;
        let end = text.find("</xmpGImg:image>").expect("the image");
        let digits = text[start..end].replace("&#xA;", "").replace('\n', "");
        let bytes = STANDARD.decode(digits).expect("still base64");
        super::assert_exif_kept(&bytes[12..12 + build::tiff(build::Order::Big).len()]);
        assert!(bytes.ends_with(build::SCAN));
    }
    let plain = STANDARD.encode(jpeg(&[]));
    let mut without = xmp("", &format!("<xmpGImg:image>{plain}</xmpGImg:image>")).into_bytes();
    assert_eq!(clean(&mut without), Outcome::Unchanged);
}

#[test]
fn padding_around_a_packet_is_accepted() {
    let packet = format!("\0 \u{feff}{}\0\0\0", String::from_utf8(place_xmp()).expect("text"));
    cleaned(&packet);
}

#[test]
fn a_jpeg_loses_the_location_of_its_xmp_packets() {
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
fn an_extended_packet_is_cleaned_as_one_and_gets_a_new_guid() {
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

#[test]
fn coordinates_written_with_character_references_are_found() {
    for (value, expected) in [
        ("GPS: 41.9876,&#32;12.3456", ""),
        ("GPS: 41.9876,&#10;12.3456", ""),
        ("GPS: 41.9876,&#xA;12.3456", ""),
        ("GPS: 41.9876,&#160;12.3456", ""),
        ("GPS: 41.9876,\u{a0}12.3456", ""),
        ("GPS: 41&#46;9876, 12.3456 x", "x"),
        ("GPS: &#52;1.9876, 12.345&#x36;", ""),
        ("Latitude: 41.9876&#xA;Longitude: 12.3456", "&#xA;"),
        ("https://maps.google.com/?z=3&#38;ll=41.9876,12.3456 x", "x"),
        ("POINT(12.3456&#32;41.9876)", "POINT( )"),
        ("&lt;coordinates&gt;12.3456,41.9876,0&lt;/coordinates&gt;", "&lt;coordinates&gt; &lt;/coordinates&gt;"),
    ] {
        let attribute = xmp(&format!("photoshop:Headline=\"{value}\""), "");
        let element = xmp("", &format!("<photoshop:Headline>{value}</photoshop:Headline>"));
        for (packet, start, end) in [(attribute, "Headline=\"", "\""), (element, "<photoshop:Headline>", "</photoshop")] {
            let text = cleaned(&packet);
            let value = text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).expect("the headline").0;
            let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            assert_eq!(words.join(" "), expected, "{packet}");
        }
    }
    let alt = xmp("", "<a:TargetAlt xmlns:a=\"http://a.example/\">&#52;71&#46;25</a:TargetAlt>");
    assert!(!cleaned(&alt).contains("TargetAlt"));
    for value in ["Size &#52;1 x 12&#46;5", "a &amp; b &#160; &#10; c", "25&#xb0;C"] {
        let mut packet = xmp("", &format!("<photoshop:Headline>{value}</photoshop:Headline>")).into_bytes();
        assert_eq!(clean(&mut packet), Outcome::Unchanged, "{value}");
    }
}

//! The walk through a JPEG: where segments may occur, and what is not a segment.

use super::super::remove;
use super::build::{COORDINATE, Order, PLACE, SCAN, exif_segment, jpeg, place_xmp, segment, tiff, xmp};
use super::{assert_exif_kept, has, removed};
use crate::model::image::Format;

#[test]
fn segments_between_scans_are_cleaned() {
    let scan = &SCAN[..SCAN.len() - 2];
    let file = [&[0xff, 0xd8][..], scan, &exif_segment(Order::Big), &[0xff, 0xff], scan, &SCAN[SCAN.len() - 2..]].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    let start = 2 + scan.len() + 10;
    assert_exif_kept(&cleaned[start..start + tiff(Order::Big).len()]);
    assert_eq!(cleaned[2..2 + scan.len()], *scan);
    assert!(cleaned.ends_with(SCAN));
}

#[test]
fn other_segments_are_unchanged() {
    let others = [
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01 Location GPS"),
        segment(0xe2, b"MPF\0MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\0\0\0\0\0"),
        segment(0xee, b"Adobe\0\x64\0\0\0\0\0"),
        segment(0xfe, b"A comment about a city"),
        segment(0xe1, b"something else"),
    ];
    assert_eq!(remove(&jpeg(&others), Format::Jpeg), None);
    let mut with_exif = others.to_vec();
    with_exif.push(exif_segment(Order::Little));
    let cleaned = removed(&jpeg(&with_exif), Format::Jpeg);
    assert!(cleaned.starts_with(&jpeg(&others)[..jpeg(&others).len() - SCAN.len()]));
}

#[test]
fn a_comment_loses_only_its_coordinates() {
    let comment = segment(0xfe, format!("Road 5, exif:GPSLatitude={PLACE}\nLatitude: 41.{COORDINATE}, lovely").as_bytes());
    let cleaned = removed(&jpeg(&[comment, segment(0xfe, b"another")]), Format::Jpeg);
    for kept in [&b"another"[..], b"Road 5, ", b", lovely"] {
        assert!(has(&cleaned, kept));
    }
}

#[test]
fn comments_and_jumbf_of_a_second_image_are_cleaned_like_those_of_the_first() {
    let comment = segment(0xfe, format!("Road 5, Latitude: 41.{COORDINATE}, lovely").as_bytes());
    let record = segment(0xeb, format!("JP\0\x01\0\0\0\x01....jumb{{\"exif:GPSLatitude\":\"{PLACE}\"}}").as_bytes());
    let second = jpeg(&[segment(0xe0, b"JFIF\0"), comment.clone(), record]);
    let cleaned = removed(&[jpeg(&[]), vec![0xff, 0xd8, 7], second].concat(), Format::Jpeg);
    assert!(has(&cleaned, b"Road 5, ") && has(&cleaned, b", lovely"));
    // Data that only resembles a comment, in a video or after damage, is unchanged.
    let stray = [&b"\xff\xd8\xff"[..], &[0xe0, 0, 3, 1], &comment, b"no scan"].concat();
    for other in [comment, stray] {
        assert_eq!(remove(&[jpeg(&[]), other].concat(), Format::Jpeg), None);
    }
}

#[test]
fn a_packet_that_continues_after_its_segment_is_cleaned_as_one() {
    let packet = place_xmp();
    let header = b"http://ns.adobe.com/xap/1.0/\0";
    for cut in [packet.len() - 20, packet.len() / 2, packet.len() / 3] {
        let (inside, outside) = packet.split_at(cut);
        let file = jpeg(&[segment(0xe1, &[header, inside].concat()), outside.to_vec(), segment(0xfe, b"a comment")]);
        let cleaned = removed(&file, Format::Jpeg);
        assert!(has(&cleaned, b"A title") && has(&cleaned, b"photoshop:Headline") && has(&cleaned, b"a comment"));
        let without = xmp("", "");
        let (inside, outside) = without.as_bytes().split_at(cut.min(without.len() - 5));
        let file = jpeg(&[segment(0xe1, &[header, inside].concat()), outside.to_vec()]);
        assert_eq!(remove(&file, Format::Jpeg), None);
    }
}

#[test]
fn jumbf_with_coordinates_is_removed_as_a_whole() {
    let record = format!("JP\0\x01\0\0\0\x01....jumb{{\"exif:GPSLatitude\":\"{PLACE}\"}}");
    let cleaned = removed(&jpeg(&[segment(0xeb, record.as_bytes()), segment(0xeb, b"JP signature")]), Format::Jpeg);
    assert!(!has(&cleaned, b"signature"));
    let innocent = jpeg(&[segment(0xeb, b"JP\0\x01....jumb{\"dc:title\":\"x\"}")]);
    assert_eq!(remove(&innocent, Format::Jpeg), None);
}

#[test]
fn a_truncated_file_is_cleaned_up_to_its_end() {
    let whole = jpeg(&[exif_segment(Order::Big)]);
    let table = whole.len() - SCAN.len();
    for end in [whole.len() - 3, table, table - 1] {
        removed(&whole[..end], Format::Jpeg);
    }
}

#[test]
fn a_comment_in_utf_16_loses_only_its_coordinates() {
    let words = format!("Größe, Latitude: 41.{COORDINATE}, lovely");
    let little: Vec<u8> = words.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = words.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for comment in [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big] {
        let cleaned = removed(&jpeg(&[segment(0xfe, &comment)]), Format::Jpeg);
        let narrow: Vec<u8> = cleaned.iter().copied().filter(|&byte| byte != 0).collect();
        super::assert_no_place(&narrow);
        assert!(has(&narrow, b"Gr\xf6\xdfe, ") && has(&narrow, b", lovely"));
    }
    for other in [&b"lovely\0\0\0"[..], b"", b"\xff\xfe", b"\0\0\0"] {
        assert_eq!(remove(&jpeg(&[segment(0xfe, other)]), Format::Jpeg), None);
    }
    removed(&jpeg(&[segment(0xfe, format!("Latitude: 41.{COORDINATE}\0\0\0").as_bytes())]), Format::Jpeg);
}

#[test]
fn texts_of_old_programs_lose_only_their_coordinates() {
    let words = format!("Road 5, Latitude: 41.{COORDINATE}, lovely");
    let wide: Vec<u8> = words.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let tag = |number: u8, text: &[u8]| {
        let length = (text.len() as u16 + 4).to_be_bytes();
        [&[0, number][..], &length, &(text.len() as u32 / 2).to_be_bytes(), text].concat()
    };
    let ducky = |text: &[u8]| [b"Ducky\0\x01\0\x04\0\0\0\x50", &tag(2, text)[..], &tag(3, text), &[0, 0]].concat();
    let info = format!("OLYMPUS\0[picture info]\r\nGPSLatitude=41.{COORDINATE}\r\nRoad 5, \r\n, lovely");
    for body in [
        segment(0xec, &ducky(words.as_bytes())),
        segment(0xec, &ducky(&wide)),
        segment(0xec, info.as_bytes()),
        segment(0xea, &[b"UNICODE\0", &wide[..]].concat()),
    ] {
        let cleaned = removed(&jpeg(std::slice::from_ref(&body)), Format::Jpeg);
        let narrow: Vec<u8> = cleaned.iter().copied().filter(|&byte| byte != 0).collect();
        super::assert_no_place(&narrow);
        assert!(has(&narrow, b"Road 5, ") && has(&narrow, b", lovely"));
    }
    let innocent =
        [segment(0xec, &ducky(b"A title")), segment(0xec, b"[picture info]\r\nShutter=250"), segment(0xec, b"Ducky\0")];
    assert_eq!(remove(&jpeg(&innocent), Format::Jpeg), None);
}

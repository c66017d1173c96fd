//! A JPEG's walk: where segments may stand, and what is not one.

use super::super::remove;
use super::build::{Order, PLACE, SCAN, exif_segment, jpeg, segment, tiff};
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
fn other_segments_are_untouched() {
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
fn a_comment_with_coordinates_by_name_goes() {
    let comment = segment(0xfe, format!("exif:GPSLatitude={PLACE}").as_bytes());
    let cleaned = removed(&jpeg(&[comment, segment(0xfe, b"another")]), Format::Jpeg);
    assert!(has(&cleaned, b"another"));
}

#[test]
fn a_provenance_record_with_coordinates_goes_whole() {
    let record = format!("JP\0\x01\0\0\0\x01....jumb{{\"exif:GPSLatitude\":\"{PLACE}\"}}");
    let cleaned = removed(&jpeg(&[segment(0xeb, record.as_bytes()), segment(0xeb, b"JP signature")]), Format::Jpeg);
    assert!(!has(&cleaned, b"signature"));
    let innocent = jpeg(&[segment(0xeb, b"JP\0\x01....jumb{\"dc:title\":\"x\"}")]);
    assert_eq!(remove(&innocent, Format::Jpeg), None);
}

#[test]
fn a_file_that_ends_too_early_is_cleaned_as_far_as_it_goes() {
    let whole = jpeg(&[exif_segment(Order::Big)]);
    let table = whole.len() - SCAN.len();
    for end in [whole.len() - 3, table, table - 1] {
        removed(&whole[..end], Format::Jpeg);
    }
}

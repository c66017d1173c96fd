//! Hostile stores: each is handled in time and memory proportional to its length.

use super::super::remove;
use super::build::{Order, exif_segment, jpeg, segment};
use super::c2pa_build::{
    app11, array, bytes, cbor, data_hash, files, innocent, json, jumbf, manifest, map, place_store, store, store_with, superbox,
    text,
};
use crate::model::image::Format;

#[track_caller]
fn check(file: &[u8], format: Format) -> Option<Vec<u8>> {
    let cleaned = remove(file, format)?;
    assert_eq!(remove(&cleaned, format), None);
    Some(cleaned)
}

#[test]
fn every_prefix_and_every_damaged_byte_of_a_store_is_handled() {
    let whole = store(&[manifest(b"c2ma", "urn:c2pa:1", &[innocent(), vec![data_hash(&[(2, 400)])]].concat())]);
    let photo = |store: &[u8]| jpeg(&[exif_segment(Order::Big), app11(store, 300)]);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] = if at % 2 == 0 { 0xff } else { whole[at] ^ 1 };
        for store in [&whole[..at], &damaged] {
            check(&photo(store), Format::Jpeg);
            for (file, _, format) in files(store) {
                check(&file, format);
            }
        }
    }
}

#[test]
fn every_truncation_of_a_file_with_a_store_is_handled() {
    for (file, _, format) in files(&place_store()) {
        for end in 0..file.len() {
            check(&file[..end], format);
        }
    }
}

#[test]
fn a_store_nested_beyond_the_limits_is_removed() {
    let mut boxes = jumbf(b"json", b"{}");
    for _ in 0..100_000 {
        boxes = superbox(b"json", "x", &[boxes]);
        if boxes.len() > 60_000 {
            break;
        }
    }
    let mut strings = store_with(&[]);
    while strings.len() < 60_000 {
        strings = store_with(&[cbor("org.example", &map(&[("a", bytes(&strings))]))]);
    }
    let arrays = cbor("org.example", &[0x81; 60_000]);
    let lengths = cbor("org.example", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a");
    let long = cbor("org.example", b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x7b\x7f\xff\xff\xff\xff\xff\xff\xff");
    let breaks = cbor("org.example", &[0xff; 9]);
    let lie = jumbf(b"jumb", b"\0\0\0\0");
    for assertion in [boxes, strings, arrays, lengths, long, breaks, lie, json("a", "{\"open"), json("a", "\0{")] {
        for (file, without, format) in files(&store_with(&[assertion])) {
            assert_eq!(check(&file, format), Some(without), "{format}");
        }
    }
}

#[test]
fn large_and_repetitive_stores_are_checked_quickly() {
    let keys = array(&vec![map(&[("key", text("value"))]); 20_000]);
    let prefixes: String = (0..20_000).map(|at| format!("\"p{at}\":\"http://purl.org/dc/terms/\",")).collect();
    let quotes = "\"".repeat(200_000);
    let escapes = format!("[\"{}\"]", "\\\\".repeat(100_000));
    let manifests = store(&vec![manifest(b"c2ma", "urn:c2pa:1", &[]); 2_000]);
    let empty_boxes = store_with(&[jumbf(b"free", b"").repeat(50_000)]);
    let assertions = [cbor("org.example", &keys), json("a", &format!("{{{prefixes}}}")), json("a", &quotes), json("a", &escapes)];
    for store in assertions.into_iter().map(|assertion| store_with(&[assertion])).chain([manifests, empty_boxes]) {
        for (file, _, format) in files(&store) {
            check(&file, format);
        }
    }
    let tiny = segment(0xeb, b"JP\0\x01\0\0\0\x01\0\0\0\x10jumb\0\0\0\0").repeat(40_000);
    check(&jpeg(&[tiny]), Format::Jpeg);
    let numbered = (0..60_000u32)
        .flat_map(|at| segment(0xeb, &[b"JP", &at.to_be_bytes()[2..], b"\0\0\0\x01\0\0\0\x10jumb\0\0\0\0"].concat()));
    check(&jpeg(&[numbered.collect()]), Format::Jpeg);
}

#[test]
fn a_store_above_the_size_limit_is_removed_unread() {
    let large = store_with(&[superbox(b"uuid", "org.example", &[jumbf(b"uuid", &vec![200; 13 << 20])])]);
    for (file, without, format) in files(&large).into_iter().skip(1) {
        assert!(check(&file, format) == Some(without), "{format}");
    }
}

#[test]
fn a_decompression_bomb_is_removed_unread() {
    // A megabyte of Brotli can hold terabytes; this one holds 64 MiB of zeros in 66 bytes.
    let bomb = hex::decode(super::c2pa_build::BROTLI_BOMB).expect("hexadecimal digits");
    let store = store(&[superbox(b"c2cm", "urn:c2pa:1", &[jumbf(b"brob", &bomb)])]);
    for (file, without, format) in files(&store) {
        assert_eq!(check(&file, format), Some(without), "{format}");
    }
}

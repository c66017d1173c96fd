//! Data after the image: further images, videos, blocks of phones.

use super::build::{COORDINATE, Order, PLACE, app1, exif_segment, gif, jpeg, mp4_box, place_xmp, png, riff, riff_chunk};
use super::{has, remove, removed};
use crate::model::image::Format;

fn data_box(value: &str) -> Vec<u8> {
    mp4_box(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], value.as_bytes()].concat())
}

fn key(name: &str) -> Vec<u8> {
    mp4_box(b"mdta", name.as_bytes())
}

fn video() -> Vec<u8> {
    let place = format!("\0\x0f\x15G+41.98{PLACE}/");
    let keys = [
        &[0, 0, 0, 0, 0, 0, 0, 3][..],
        &key("com.apple.quicktime.make"),
        &key("com.apple.quicktime.location.ISO6709"),
        &key("com.apple.quicktime.model"),
    ];
    let items = [
        mp4_box(&[0, 0, 0, 1], &data_box("Apple")),
        mp4_box(&[0, 0, 0, 2], &data_box(PLACE)),
        mp4_box(&[0, 0, 0, 3], &data_box("iPhone")),
    ];
    let meta = mp4_box(
        b"meta",
        &[mp4_box(b"hdlr", &[0; 25]), mp4_box(b"keys", &keys.concat()), mp4_box(b"ilst", &items.concat())].concat(),
    );
    let versioned = mp4_box(b"meta", &[&[0; 4][..], &mp4_box(b"ilst", &mp4_box(b"\xa9xyz", &data_box(PLACE)))].concat());
    let loci = mp4_box(b"loci", &[PLACE.as_bytes(), &COORDINATE.to_be_bytes()].concat());
    let user =
        mp4_box(b"udta", &[mp4_box(b"\xa9xyz", place.as_bytes()), loci, mp4_box(b"XMP_", &place_xmp()), versioned].concat());
    let moov = mp4_box(b"moov", &[mp4_box(b"mvhd", &[7; 100]), user, meta].concat());
    let uuid = b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    let uuid = mp4_box(b"uuid", &[&uuid[..], &place_xmp()].concat());
    [mp4_box(b"ftyp", b"mp42\0\0\0\0mp42isom"), mp4_box(b"mdat", b"\xa9xyz loci picture data"), moov, uuid].concat()
}

#[test]
fn further_images_are_cleaned_in_place() {
    let second = jpeg(&[exif_segment(Order::Little), app1("http://ns.adobe.com/xap/1.0/\0", &place_xmp())]);
    let file = [jpeg(&[exif_segment(Order::Big)]), vec![0; 37], second.clone(), second].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"Kamera").count(), 3);
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"A title").count(), 2);
}

#[test]
fn a_motion_photo_keeps_its_video_without_the_location() {
    let file = [jpeg(&[]), b"MotionPhoto_Data".to_vec(), video()].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    for kept in [&b"\xa9xyz loci picture data"[..], b"iPhone", b"Apple", b"A title", &[7; 100]] {
        assert!(has(&cleaned, kept), "{}", String::from_utf8_lossy(kept));
    }
}

#[test]
fn boxes_with_false_sizes_stop_the_walk() {
    for size in [0u32, 1, 7, 9, 0xffff_ffff] {
        let lying = [&size.to_be_bytes()[..], b"moov", &[0, 0, 0, 1, 0, 0, 0, 2]].concat();
        let file = [jpeg(&[]), mp4_box(b"ftyp", b"mp42"), lying, b"more".to_vec()].concat();
        assert_eq!(remove(&file, Format::Jpeg), None);
    }
}

#[test]
fn samsungs_country_code_is_removed() {
    let trailer = b"\0\0\xa1\x0a\x08\0\0\0MCC_Data262SEFHxxxxSEFT";
    let cleaned = removed(&[jpeg(&[]), trailer.to_vec()].concat(), Format::Jpeg);
    assert!(cleaned.ends_with(b"MCC_Data   SEFHxxxxSEFT"));
}

#[test]
fn the_trailer_of_every_format_is_cleaned() {
    let after = [jpeg(&[exif_segment(Order::Big)]), video()].concat();
    let behind = |file: Vec<u8>| [file, after.clone()].concat();
    removed(&behind(png(&[], &[])), Format::Png);
    removed(&behind(gif(&[])), Format::Gif);
    removed(&behind(riff(&[riff_chunk(b"VP8L", b"data")])), Format::Webp);
}

//! EXIF in all containers, and the ways in which TIFF can hide a location.

use super::super::block::Kind;
use super::super::{Outcome, Policy, clean_block, remove};
use super::build::{self, COORDINATE, Order, PLACE, TiffBuilder, app1, exif_segment, jpeg, tiff, tiff_with};
use super::{assert_exif_kept, assert_no_place, has, removed};
use crate::imaging::metadata;
use crate::model::image::Format;

fn clean(tiff: &mut [u8]) -> Outcome {
    super::super::tiff::clean(tiff, Policy::EDIT)
}

#[test]
fn the_gps_ifd_is_removed_and_everything_else_stays_in_both_byte_orders() {
    for order in [Order::Big, Order::Little] {
        let mut block = tiff(order);
        let before = block.len();
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert_eq!(block.len(), before);
        assert_exif_kept(&block);
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
}

#[test]
fn only_the_entries_of_an_ifd_move() {
    let original = tiff(Order::Little);
    let mut block = original.clone();
    clean(&mut block);
    let note = |bytes: &[u8]| memchr::memmem::find(bytes, b"MAKER\0note");
    assert_eq!(note(&block), note(&original));
}

#[test]
fn exif_without_a_location_is_unchanged() {
    let mut builder = TiffBuilder::new(Order::Big);
    let entries = [builder.ascii(0x010f, "Kamera")];
    let first = builder.ifd(&entries, 0);
    let mut block = builder.finish(first);
    assert_eq!(clean(&mut block), Outcome::Unchanged);
    assert_eq!(remove(&jpeg(&[app1("Exif\0\0", &block)]), Format::Jpeg), None);
}

#[test]
fn a_jpeg_loses_the_location_of_every_exif_segment() {
    let file = jpeg(&[exif_segment(Order::Big), exif_segment(Order::Little), exif_segment(Order::Big)]);
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert_exif_kept(&cleaned[12..12 + tiff(Order::Big).len()]);
    assert!(cleaned.ends_with(build::SCAN));
}

#[test]
fn exif_that_continues_in_the_next_segment_is_one_block() {
    let whole = tiff(Order::Big);
    let (one, two) = whole.split_at(whole.len() - 40);
    let cleaned = removed(&jpeg(&[app1("Exif\0\0", one), app1("Exif\0\0", two)]), Format::Jpeg);
    let joined = [&cleaned[12..12 + one.len()], &cleaned[12 + one.len() + 10..12 + one.len() + 10 + two.len()]].concat();
    assert_exif_kept(&joined);
}

#[test]
fn a_gps_pointer_in_any_ifd_is_found() {
    for parent in [0x014a, 0x8769, 0xa005] {
        let mut block = tiff_with(Order::Big, |tiff| {
            let gps = tiff.gps();
            let pointer = [tiff.ascii(0x0131, "Program"), tiff.long(0x8825, gps)];
            let child = tiff.ifd(&pointer, 0);
            if parent == 0x8769 { Vec::new() } else { vec![tiff.long(parent, child)] }
        });
        if parent == 0x8769 {
            // IFD1 points to it as well.
            let mut builder = TiffBuilder::new(Order::Little);
            let gps = builder.gps();
            let second = [builder.long(0x8825, gps)];
            let ifd1 = builder.ifd(&second, 0);
            let first = [builder.ascii(0x010f, "Kamera")];
            let ifd0 = builder.ifd(&first, ifd1);
            block = builder.finish(ifd0);
        }
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert_no_place(&block);
    }
}

#[test]
fn two_pointers_and_a_list_of_pointers_are_all_followed() {
    let mut block = tiff_with(Order::Little, |tiff| {
        let (one, two) = (tiff.gps(), tiff.gps());
        let list = [tiff.u32(one), tiff.u32(two)].concat();
        vec![(0x8825, 4, 2, list)]
    });
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_exif_kept(&block);
}

#[test]
fn geotiff_tags_are_removed() {
    let mut block = tiff_with(Order::Big, |tiff| vec![tiff.ascii(0x87b1, PLACE), tiff.rationals(0x8482, &[(COORDINATE, 1)])]);
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_exif_kept(&block);
}

#[test]
fn embedded_xmp_iptc_and_photoshop_blocks_are_cleaned() {
    let (xmp, iptc, resources) = (build::place_xmp(), build::iptc(), build::resources());
    let mut block = tiff_with(Order::Big, |_| {
        vec![
            (0x02bc, 1, xmp.len() as u32, xmp.clone()),
            (0x83bb, 7, iptc.len() as u32, iptc.clone()),
            (0x8649, 1, resources.len() as u32, resources.clone()),
        ]
    });
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_exif_kept(&block);
    assert!(has(&block, b"A title") && has(&block, b"A caption") && has(&block, b"photoshop:Headline"));
}

#[test]
fn a_thumbnail_with_its_own_exif_is_cleaned() {
    let thumbnail = jpeg(&[exif_segment(Order::Little)]);
    let mut block = tiff_with(Order::Big, |tiff| {
        let at = tiff.bytes.len() as u32;
        tiff.bytes.extend(&thumbnail);
        vec![tiff.long(0x0201, at), tiff.long(0x0202, thumbnail.len() as u32)]
    });
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_exif_kept(&block);
}

#[test]
fn a_coordinate_overlapped_by_a_false_length_is_removed_but_an_ifd_never_is() {
    // The copyright claims the whole block.
    let mut block = tiff_with(Order::Big, |_| vec![]);
    let entry = memchr::memmem::find(&block, &[0x82, 0x98, 0, 2]).expect("a copyright");
    let length = block.len() as u32;
    block[entry + 4..entry + 8].copy_from_slice(&length.to_be_bytes());
    block[entry + 8..entry + 12].copy_from_slice(&[0; 4]);
    clean(&mut block);
    assert_no_place(&block);
    assert_eq!(super::exif_field(&block, ::exif::Tag::Make, ::exif::In::PRIMARY).as_deref(), Some("\"Kamera\""));

    // The GPS pointer refers to IFD0 itself.
    let mut builder = TiffBuilder::new(Order::Big);
    let first = builder.bytes.len() as u32 + 8;
    let entries = [builder.ascii(0x010f, "Kamera!"), builder.long(0x8825, first)];
    let ifd0 = builder.ifd(&entries, 0);
    assert_eq!(ifd0, first);
    let mut block = builder.finish(ifd0);
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_eq!(super::exif_field(&block, ::exif::Tag::Make, ::exif::In::PRIMARY).as_deref(), Some("\"Kamera!\""));
}

#[test]
fn a_value_shared_with_kept_entries_is_kept() {
    // The latitude claims the bytes of the copyright.
    let mut block = tiff(Order::Big);
    let copyright = memchr::memmem::find(&block, b"Ann Example").expect("a copyright") as u32;
    let latitude = memchr::memmem::find(&block, &[0, 2, 0, 5, 0, 0, 0, 3]).expect("a latitude");
    block[latitude + 8..latitude + 12].copy_from_slice(&copyright.to_be_bytes());
    assert_eq!(clean(&mut block), Outcome::Edited);
    let copyright = super::exif_field(&block, ::exif::Tag::Copyright, ::exif::In::PRIMARY);
    assert_eq!(copyright.as_deref(), Some("\"Ann Example 2024\""));
}

#[test]
fn a_stale_pointer_does_not_damage_other_data() {
    // It points into the thumbnail's scan; an IFD with that many entries does not fit.
    let mut builder = TiffBuilder::new(Order::Big);
    let data = builder.bytes.len() as u32;
    builder.bytes.extend([0xee; 600]);
    let entries = [builder.long(0x8825, data + 10)];
    let ifd0 = builder.ifd(&entries, 0);
    let mut block = builder.finish(ifd0);
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_eq!(block[8..18], [0xee; 10]);
    assert_eq!(block[20..608], [0xee; 588]);
}

#[test]
fn every_text_tag_loses_only_its_coordinates() {
    let place = format!("Ann, Lat. 41.{COORDINATE}, geo:lon=12.{COORDINATE}, 2024");
    let wide: Vec<u8> = place.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    // With any type, if the tag is one of a text.
    let texts = [0x010d, 0x010e, 0x011d, 0x013b, 0x8298, 0xa436, 0xa437, 0xa438].map(|tag| (tag, 7));
    let typed = [0x9213, 0xa430, 0xa480, 0xfdea].into_iter().flat_map(|tag| [(tag, 2), (tag, 129)]);
    let narrow = texts.into_iter().chain(typed).map(|(tag, kind)| (tag, kind, place.as_bytes(), &b"Ann, "[..], &b", 2024"[..]));
    let windows = (0x9c9b..=0x9c9f).map(|tag| (tag, 1, &wide[..], &b"A\0n\0n\0,\0 \0"[..], &b",\0 \x002\x000\x002\x004\0"[..]));
    for (tag, kind, text, before, after) in narrow.chain(windows) {
        for order in [Order::Big, Order::Little] {
            let mut builder = TiffBuilder::new(order);
            let first = builder.ifd(&[(tag, kind, text.len() as u32, text.to_vec())], 0);
            let mut block = builder.finish(first);
            assert_eq!(clean(&mut block), Outcome::Edited, "{tag:#x}");
            assert_no_place(&block);
            assert!(block[8..].starts_with(before) && has(&block, after), "{tag:#x}");
            assert!(!has(&block, &text[text.len() / 2..text.len() / 2 + 8]), "{tag:#x}");
            assert_eq!(clean(&mut block), Outcome::Unchanged);
        }
    }
}

#[test]
fn a_text_ends_where_an_ifd_starts() {
    let mut builder = TiffBuilder::new(Order::Big);
    let text = format!("Latitude: 41.{COORDINATE} x");
    let entries = [builder.ascii(0x010e, &text), builder.ascii(0x010f, "Kamera")];
    let first = builder.ifd(&entries, 0);
    let mut block = builder.finish(first);
    let claimed = (block.len() - 8) as u32;
    let entry = first as usize + 2;
    block[entry + 4..entry + 8].copy_from_slice(&claimed.to_be_bytes());
    let table = block[first as usize..].to_vec();
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert_no_place(&block);
    assert!(block.ends_with(&table));
}

#[test]
fn entries_with_the_same_text_are_charged_once() {
    let mut builder = TiffBuilder::new(Order::Little);
    builder.bytes.extend([b'x'; 2000]);
    let entries: Vec<_> = (0..40).map(|tag| (0xc000 + tag, 2, 2000, vec![8, 0, 0, 0])).collect();
    let mut block = builder.bytes.clone();
    let first = block.len() as u32;
    block.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, field) in entries {
        block.extend([&u16::to_le_bytes(tag)[..], &u16::to_le_bytes(kind), &u32::to_le_bytes(count), &field].concat());
    }
    block.extend([0; 4]);
    block[4..8].copy_from_slice(&first.to_le_bytes());
    block[8..28].copy_from_slice(b"Latitude: 41.98123 x");
    assert_eq!(clean(&mut block), Outcome::Edited);
    assert!(block[8..26].iter().all(|&byte| byte == b' ') && block[27..2008].iter().all(|&byte| byte == b'x'));
}

#[test]
fn a_block_that_is_not_tiff_is_wiped_if_it_looks_like_a_location() {
    let order = |bytes: &[u8]| [b"junk", bytes].concat();
    let pointers = [order(&[0x88, 0x25, 0, 4, 0, 0, 0, 1]), order(&[0x25, 0x88, 4, 0, 1, 0, 0, 0])];
    let latitude = order(&[2, 0, 5, 0, 3, 0, 0, 0]);
    let names = order(format!(" GPSAreaInformation {PLACE}").as_bytes());
    for mut block in pointers.into_iter().chain([latitude, names, order(b" 41\xb059'N 12\xb020'E")]) {
        assert_eq!(clean(&mut block), Outcome::Emptied);
        assert!(block.iter().all(|&byte| byte == 0));
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
    for mut block in [order(b" and more"), order(&[0x88, 0x25, 0xff, 0xff]), vec![0x88; 70_000]] {
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
}

#[test]
fn a_pointer_of_a_type_without_offsets_is_not_followed() {
    // Photoshop Elements has written a text of 154 bytes instead of the pointer to the EXIF IFD.
    for kind in [1, 2, 6, 7] {
        let mut block =
            tiff_with(Order::Little, |tiff| vec![(0x014a, kind, 154, vec![b' '; 154]), tiff.ascii(0x0131, "Program")]);
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert_exif_kept(&block);
        let mut builder = TiffBuilder::new(Order::Big);
        let entries = [builder.ascii(0x010f, "Kamera"), (0x8769, kind, 154, (0..154).collect())];
        let first = builder.ifd(&entries, 0);
        let mut block = builder.finish(first);
        assert_eq!(clean(&mut block), Outcome::Unchanged);
    }
}

#[test]
fn a_four_byte_pointer_of_a_wrong_type_is_followed() {
    for (kind, count) in [(4, 1), (9, 1), (13, 1), (7, 4), (1, 4), (3, 2), (2, 4)] {
        let mut builder = TiffBuilder::new(Order::Big);
        let gps = builder.gps();
        let entries = [(0x8825, kind, count, builder.u32(gps))];
        let exif = builder.ifd(&entries, 0);
        let entries = [builder.ascii(0x010f, "Kamera"), (0x8769, kind, count, builder.u32(exif))];
        let first = builder.ifd(&entries, 0);
        let mut block = builder.finish(first);
        assert_eq!(clean(&mut block), Outcome::Edited);
        assert_no_place(&block);
    }
}

#[test]
fn texts_lose_coordinates_and_keep_the_rest() {
    let place = format!("Road 5, Latitude: 41.{COORDINATE} Longitude: -12.{COORDINATE}, f/2.8");
    let wide = |bytes: fn(u16) -> [u8; 2]| place.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let coded = |code: &[u8; 8], text: &[u8]| [&code[..], text].concat();
    for order in [Order::Big, Order::Little] {
        let own = if order == Order::Big { wide(u16::to_be_bytes) } else { wide(u16::to_le_bytes) };
        for comment in [
            coded(b"ASCII\0\0\0", place.as_bytes()),
            coded(&[0; 8], place.as_bytes()),
            place.as_bytes().to_vec(),
            coded(b"UNICODE\0", &own),
            coded(b"UNICODE\0", &wide(u16::to_le_bytes)),
            coded(b"UNICODE\0", &[&[0xfe, 0xff], &wide(u16::to_be_bytes)[..]].concat()),
        ] {
            let title = wide(u16::to_le_bytes);
            let mut block = tiff_with(order, |tiff| {
                let entries = [(0x9286, 7, comment.len() as u32, comment.clone())];
                let extra = tiff.ifd(&entries, 0);
                vec![tiff.ascii(0x010e, &place), (0x9c9b, 1, title.len() as u32, title.clone()), tiff.long(0x014a, extra)]
            });
            assert_eq!(clean(&mut block), Outcome::Edited);
            assert_exif_kept(&block);
            let left: Vec<u8> = block.iter().copied().filter(|&byte| byte != 0).collect();
            assert!(!has(&left, COORDINATE.to_string().as_bytes()));
            assert_eq!(memchr::memmem::find_iter(&left, b"Road 5, ").count(), 3);
            assert_eq!(memchr::memmem::find_iter(&left, b", f/2.8").count(), 3);
            assert_eq!(clean(&mut block), Outcome::Unchanged);
        }
    }
}

#[test]
fn a_lower_case_or_misplaced_header_hides_nothing() {
    let block = tiff(Order::Big);
    for header in [&b"exif\0\0"[..], b"EXIF\0\0", b"\0Exif\0\0", b"\x01\x02\x03\x04Exif\0\0"] {
        let file = jpeg(&[build::segment(0xe1, &[header, &block].concat())]);
        let cleaned = removed(&file, Format::Jpeg);
        assert_exif_kept(&cleaned[6 + header.len()..6 + header.len() + block.len()]);
    }
}

#[test]
fn stray_bytes_between_segments_hide_nothing() {
    let stray = b"\0\x12stray\xff\0bytes".to_vec();
    let file = jpeg(&[stray.clone(), exif_segment(Order::Big), stray.clone(), exif_segment(Order::Little), stray]);
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"Kamera").count(), 2);
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"stray\xff\0bytes").count(), 3);
}

#[test]
fn a_wiped_block_keeps_its_orientation() {
    for order in [Order::Little, Order::Big] {
        let mut block = tiff(order);
        let orientation = |block: &[u8]| metadata::orientation(block, Some(0..block.len()));
        assert_eq!(orientation(&block), 6);
        let length = block.len();
        assert_eq!(clean_block(Kind::Exif, &mut block, Policy::WIPE), Outcome::Edited);
        assert_eq!((orientation(&block), block.len()), (6, length));
        assert!(block[26..].iter().all(|&byte| byte == 0), "everything else is wiped");
        assert_eq!(clean_block(Kind::Exif, &mut block, Policy::WIPE), Outcome::Unchanged);
    }
}

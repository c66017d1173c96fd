//! Vendor-specific blocks, each with a location and with other data.

use super::build::{COORDINATE, Order, PLACE, TiffBuilder, chunk, dataset, iptc, jpeg, mp4_box, segment};
use super::{assert_no_place, exif_field, has, remove, removed};
use crate::model::image::Format;

#[track_caller]
fn left(segments: &[Vec<u8>]) -> Vec<u8> {
    let file = jpeg(segments);
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    cleaned
}

/// Returns the records of a thermal camera: a position, and one that stays.
fn records(big_endian: bool, with_gps: bool) -> Vec<u8> {
    let u32 = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let u16 = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let gps = [&COORDINATE.to_be_bytes()[..], PLACE.as_bytes(), &[0; 60]].concat();
    let other = b"temperatures".repeat(20_000);
    let mut file = [b"FFF\0KAMERA\0\0\0\0\0\0\0\0\0\0", &u32(100)[..], &u32(64), &u32(2)].concat();
    file.resize(64, 0);
    let mut at = 64 + 2 * 32;
    for (kind, data) in [(if with_gps { 0x2b } else { 0x2c }, &gps), (1, &other)] {
        let entry = [&u16(kind)[..], &u16(1), &u32(100), &u32(1), &u32(at), &u32(data.len() as u32), &[0; 8], &u32(7)].concat();
        file.extend(entry);
        at += data.len() as u32;
    }
    [file, gps, other].concat()
}

fn flir(file: &[u8]) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = file.chunks(60_000).collect();
    let last = parts.len() as u8 - 1;
    parts
        .iter()
        .enumerate()
        .map(|(number, part)| segment(0xe1, &[b"FLIR\0\x01", &[number as u8, last][..], part].concat()))
        .collect()
}

#[test]
fn a_thermal_cameras_position_is_removed_and_its_temperatures_stay() {
    for big_endian in [true, false] {
        let mut segments = flir(&records(big_endian, true));
        assert!(segments.len() > 4);
        let cleaned = left(&segments);
        assert_eq!(memchr::memmem::find_iter(&cleaned, b"temperatures").count(), 19_996);
        // After the first segment, their order does not matter.
        segments[1..].reverse();
        left(&segments);
        // Some programs write zero for all numbers.
        segments[1..].reverse();
        segments.iter_mut().for_each(|segment| segment[10..12].fill(0));
        left(&segments);
        assert_eq!(remove(&jpeg(&flir(&records(big_endian, false))), Format::Jpeg), None);
    }
}

#[test]
fn records_with_a_false_directory_are_unchanged() {
    for (at, value) in [(0x14, 7u32), (0x18, u32::MAX), (0x1c, u32::MAX), (64 + 0x0c, u32::MAX), (64 + 0x10, u32::MAX)] {
        let mut file = records(true, true);
        file[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let _ = remove(&jpeg(&flir(&file)), Format::Jpeg);
    }
}

fn klv(key: &[u8; 4], kind: u8, size: u8, data: &[u8]) -> Vec<u8> {
    let count = (data.len() / usize::from(size)) as u16;
    let mut entry = [&key[..], &[kind, size], &count.to_be_bytes(), data].concat();
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

fn telemetry() -> Vec<u8> {
    let position = [COORDINATE.to_be_bytes(), COORDINATE.to_le_bytes(), [0; 4], [0; 4], [1; 4]].concat();
    let gps5 =
        [klv(b"STNM", b'c', 1, b"GPS (Lat.)"), klv(b"SCAL", b'l', 4, &[1; 20]), klv(b"GPS5", b'l', 20, &position)].concat();
    let gps9 = [klv(b"GPSU", b'c', 16, &PLACE.repeat(2).as_bytes()[..16]), klv(b"GPS9", b'?', 20, &position)].concat();
    let accelerometer = klv(b"ACCL", b's', 6, b"keepit");
    let streams = [gps5, gps9, accelerometer].map(|stream| klv(b"STRM", 0, 1, &stream)).concat();
    klv(b"DEVC", 0, 1, &[klv(b"DVNM", b'c', 1, b"HERO12"), streams].concat())
}

#[test]
fn gopro_positions_are_removed_and_other_streams_stay() {
    let cleaned = left(&[segment(0xe6, &[b"GoPro\0", &telemetry()[..]].concat())]);
    for kept in [&b"HERO12"[..], b"keepit", b"STNM", b"FREE"] {
        assert!(has(&cleaned, kept));
    }
    assert!(!has(&cleaned, b"GPS5") && !has(&cleaned, b"GPS9"));
    let whole = telemetry();
    let (one, two) = whole.split_at(90);
    left(&[segment(0xe6, &[b"GoPro\0", one].concat()), segment(0xe6, &[b"GoPro\0", two].concat())]);
    let user = mp4_box(b"moov", &mp4_box(b"udta", &mp4_box(b"GPMF", &telemetry())));
    removed(&[jpeg(&[]), mp4_box(b"ftyp", b"mp42"), user].concat(), Format::Jpeg);
    let without = klv(b"DEVC", 0, 1, &klv(b"ACCL", b's', 6, b"keepit"));
    assert_eq!(remove(&jpeg(&[segment(0xe6, &[b"GoPro\0", &without[..]].concat())]), Format::Jpeg), None);
}

fn insta360(records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut trailer: Vec<u8> = Vec::new();
    for (number, data) in records {
        trailer.extend([data, &number.to_le_bytes()[..], &(data.len() as u32).to_le_bytes()].concat());
    }
    trailer.extend([0; 32]);
    let length = trailer.len() as u32 + 40;
    trailer.extend([length.to_le_bytes(), 3u32.to_le_bytes()].concat());
    [&trailer, &b"8db42d694ccc418790edff439fe026bf"[..]].concat()
}

#[test]
fn positions_in_an_insta360_trailer_are_removed() {
    let position = [&COORDINATE.to_le_bytes()[..], PLACE.as_bytes()].concat();
    let trailer = insta360(&[(0x700, &position), (0x300, b"gyroscope"), (0x700, &position), (0x101, b"\x0a\x05SN123")]);
    let file = [jpeg(&[]), trailer.clone(), trailer].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert_eq!(memchr::memmem::find_iter(&cleaned, b"gyroscope").count(), 2);
    let without = [jpeg(&[]), insta360(&[(0x300, b"gyroscope"), (0x101, b"SN123")])].concat();
    assert_eq!(remove(&without, Format::Jpeg), None);
    // Lengths that point before the trailer, or outside the file.
    for length in [u32::MAX, 1000, 0] {
        let mut lying = insta360(&[(0x700, &position)]);
        let head = lying.len() - 78;
        lying[head + 2..head + 6].copy_from_slice(&length.to_le_bytes());
        let _ = remove(&[jpeg(&[]), lying].concat(), Format::Jpeg);
    }
}

#[test]
fn appended_iptc_is_cleaned() {
    let head = [&b"AXS!\x01\x00\x00\x01\0\0\0\0IPTC"[..], &(iptc().len() as u32).to_be_bytes(), &[0; 4]].concat();
    let file = [jpeg(&[]), head, iptc(), b"AXS!\0\0\0\x17\0\0\0\0".to_vec()].concat();
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert!(has(&cleaned, b"A caption") && has(&cleaned, b"AXS!\0\0\0\x17"));
    // Two datasets may occur by chance.
    let chance = [dataset(2, 90, PLACE), dataset(2, 5, "x")].concat();
    assert_eq!(remove(&[jpeg(&[]), chance].concat(), Format::Jpeg), None);
}

#[test]
fn media_jukebox_loses_its_locations() {
    let xml = format!("<MJMD><Name>A title</Name><Places>{PLACE}</Places><People>Ann</People></MJMD>");
    let cleaned = left(&[segment(0xe9, &[b"Media Jukebox\0\0\0\0\x01", xml.as_bytes()].concat())]);
    assert!(has(&cleaned, b"<Name>A title</Name>") && has(&cleaned, b"<People>Ann</People>"));
    let without = segment(0xe9, b"Media Jukebox\0\0<MJMD><Name>A title</Name></MJMD>");
    assert_eq!(remove(&jpeg(&[without]), Format::Jpeg), None);
}

/// Returns Ricoh's tags: names, texts, and numbers of menu items.
fn rmeta(order: Order, names: &str, texts: &str, numbers: &[u16]) -> Vec<u8> {
    let builder = TiffBuilder::new(order);
    let section = |kind: u16, data: &[u8]| [builder.u16(kind), builder.u16(data.len() as u16 + 2), data.to_vec()].concat();
    let numbers: Vec<u8> = numbers.iter().flat_map(|&number| builder.u16(number)).collect();
    let mark = if order == Order::Big { b"MM" } else { b"II" };
    let head = [mark.to_vec(), vec![0; 2], builder.u16(0), vec![0; 2], builder.u16(14), vec![0; 4]].concat();
    let tags = [builder.u16(names.split('\0').count() as u16), vec![0; 8]].concat();
    let sections = [section(1, names.as_bytes()), section(2, texts.as_bytes()), section(3, &numbers)].concat();
    segment(0xe5, &[b"RMETA\0".to_vec(), head, tags, sections].concat())
}

#[test]
fn ricohs_tags_lose_the_location() {
    for order in [Order::Big, Order::Little] {
        let texts = format!("Warning\0{PLACE}\0Yes");
        let cleaned = left(&[rmeta(order, "Sign type\0Location\0Lit", &texts, &[2, 0xfff7, 3])]);
        assert!(has(&cleaned, b"Warning\0           \0Yes"));
        assert!(!has(&cleaned, &TiffBuilder::new(order).u16(0xfff7)));
        let without = rmeta(order, "Sign type\0Lit", "Warning\0Yes", &[2, 3]);
        assert_eq!(remove(&jpeg(&[without]), Format::Jpeg), None);
    }
}

/// Returns EXIF with a MakerNote that starts with `head`, and an IFD with offsets from the start of the TIFF or of the note.
fn with_note(order: Order, head: &[u8], entries: &[(u16, Vec<u8>)], from_note: bool) -> Vec<u8> {
    let mut builder = TiffBuilder::new(order);
    let start = builder.bytes.len() as u32;
    let ifd = start + head.len() as u32;
    let values_at = ifd + 2 + 12 * entries.len() as u32 + 4;
    let mut table = builder.u16(entries.len() as u16);
    let mut values = Vec::new();
    for (tag, value) in entries {
        let offset = values_at + values.len() as u32 - if from_note { start } else { 0 };
        let mut field = if value.len() > 4 { builder.u32(offset) } else { value.clone() };
        field.resize(4, 0);
        table.extend([builder.u16(*tag), builder.u16(7), builder.u32(value.len() as u32), field].concat());
        if value.len() > 4 {
            values.extend(value);
        }
    }
    let note = [head, &table, &[0; 4], &values].concat();
    builder.bytes.extend(&note);
    let note_entry = (0x927c, 7, note.len() as u32, builder.u32(start));
    // The note is already at the expected position.
    let mut exif =
        [builder.u16(1), builder.u16(note_entry.0), builder.u16(7), builder.u32(note_entry.2), note_entry.3, vec![0; 4]].concat();
    let exif_at = builder.bytes.len() as u32;
    builder.bytes.append(&mut exif);
    let entries = [builder.ascii(0x010f, "Kamera"), builder.long(0x8769, exif_at)];
    let first = builder.ifd(&entries, 0);
    builder.finish(first)
}

fn named(text: &str, length: usize) -> Vec<u8> {
    let mut value = text.as_bytes().to_vec();
    value.resize(length, 0);
    value
}

#[track_caller]
fn assert_note(block: &[u8], kept: &[u8]) {
    let file = jpeg(&[segment(0xe1, &[b"Exif\0\0", block].concat())]);
    let cleaned = removed(&file, Format::Jpeg);
    assert_eq!(cleaned.len(), file.len());
    assert!(has(&cleaned, kept));
    let tiff = &cleaned[12..12 + block.len()];
    assert_no_place(tiff);
    assert_eq!(exif_field(tiff, ::exif::Tag::Make, ::exif::In::PRIMARY).as_deref(), Some("\"Kamera\""));
    let changed = tiff.iter().zip(block).filter(|(new, old)| new != old).count();
    assert!(changed <= 3 * PLACE.len() + 8, "{changed} bytes changed");
}

#[test]
fn documented_locations_in_maker_notes_are_removed_and_nothing_moves() {
    let places =
        [(0x66, named("A pet's name", 64)), (0x67, named(PLACE, 64)), (0x6d, named(PLACE, 72)), (0x80, named("---", 72))];
    for order in [Order::Big, Order::Little] {
        assert_note(&with_note(order, b"Panasonic\0\0\0", &places, false), b"A pet's name");
        assert_note(&with_note(order, b"LEICA\0\0\0", &places, false), b"A pet's name");
        let version: Vec<(u16, Vec<u8>)> = vec![
            (0x0001, b"0100".to_vec()),
            (0x0003, named("A setting", 20)),
            (0x0030, named(PLACE, 40)),
            (0x0031, named(PLACE, 20)),
        ];
        assert_note(&with_note(order, b"", &version, false), b"A setting");
        assert_note(&with_note(order, b"", &version, true), b"A setting");
    }
}

#[test]
fn nikons_location_and_altitude_are_removed() {
    for order in [Order::Big, Order::Little] {
        let mut note = TiffBuilder::new(order);
        let location = [&b"0100\x01XAN\x02"[..], &named(PLACE, 70)].concat();
        let barometer = [&b"0100\0\0"[..], &COORDINATE.to_be_bytes(), &[0, 18]].concat();
        let entries = [
            (0x0002, 7, 8, b"settings".to_vec()),
            (0x0039, 7, 79, location),
            (0x00c3, 7, barometer.len() as u32, barometer.clone()),
        ];
        let first = note.ifd(&entries, 0);
        let note = [b"Nikon\0\x02\x10\0\0", &note.finish(first)[..]].concat();
        let mut builder = TiffBuilder::new(order);
        let entries = [builder.ascii(0x010f, "Kamera"), (0x927c, 7, note.len() as u32, note)];
        let first = builder.ifd(&entries, 0);
        assert_note(&builder.finish(first), b"settings");
    }
}

#[test]
fn maker_notes_without_a_location_or_of_other_makers_are_unchanged() {
    let places = [(0x67, named("---", 64)), (0x6d, named("", 72)), (0x23, named("a city of the clock", 20))];
    for block in [
        with_note(Order::Big, b"Panasonic\0\0\0", &places, false),
        with_note(Order::Little, b"AOC\0\0\0", &[(0x67, named(PLACE, 64))], false),
        with_note(Order::Little, b"Panasonic\0\0\0", &[(0x67, named(PLACE, 64))], true),
    ] {
        let file = super::build::png(&[chunk(b"eXIf", &block)], &[]);
        let cleaned = remove(&file, Format::Png);
        assert!(cleaned.is_none() || block.windows(PLACE.len()).any(|window| window == PLACE.as_bytes()));
    }
}

//! Hostile files: truncated, damaged and with overlapping structures.

use super::super::{Outcome, Policy, remove, tiff as exif, xmp};
use super::build::{
    self, Order, TiffBuilder, app1, chunk, exif_segment, gif, jpeg, mp4_box, png, riff, riff_chunk, segment, tiff,
};
use crate::imaging::properties;
use crate::model::image::Format;

/// Returns a file of each format with every block that it can have.
fn samples() -> Vec<(Vec<u8>, Format)> {
    let photoshop = segment(0xed, &[b"Photoshop 3.0\0", &build::resources()[..]].concat());
    let video = mp4_box(b"moov", &mp4_box(b"udta", &mp4_box(b"\xa9xyz", b"\0\x08\0\0+41.98/")));
    let trailer = [jpeg(&[exif_segment(Order::Little)]), mp4_box(b"ftyp", b"mp42"), video].concat();
    let extended = [b"http://ns.adobe.com/xmp/extension/\0", &[b'A'; 32][..], &[0, 0, 0, 28, 0, 0, 0, 0]].concat();
    let extended = segment(0xe1, &[&extended[..], b"<a photoshop:City=\"there\"/> "].concat());
    let makers = [
        segment(0xe6, b"GoPro\0DEVC\0\x01\0\x1cSTRM\0\x01\0\x14GPS5l\x04\0\x03\0\x01\0\x01\0\x01\0\x01\0\x01\0\x01"),
        segment(0xe9, b"Media Jukebox\0<m><Places>there</Places></m>"),
        segment(0xfe, b"{\"lat\":41.98,\"lng\":12.34} N41.98 E12.34 geo:1,2 GPSInfo=there"),
    ];
    let segments = [
        exif_segment(Order::Big),
        makers.concat(),
        app1("http://ns.adobe.com/xap/1.0/\0", &build::place_xmp()),
        extended,
        photoshop,
    ];
    let profile = [b"Raw profile type iptc\0", &build::raw_profile("iptc", &build::resources())[..]].concat();
    let packed = [b"XML:com.adobe.xmp\0\x01\0\0\0", &build::zlib(&build::place_xmp())[..]].concat();
    let chunks = [chunk(b"eXIf", &tiff(Order::Little)), chunk(b"tEXt", &profile), chunk(b"iTXt", &packed)];
    let magic: Vec<u8> = std::iter::once(1).chain((0..=255).rev()).chain([0]).collect();
    let extension = [b"\x21\xff\x0bXMP DataXMP", &build::place_xmp()[..], &magic].concat();
    let header = riff_chunk(b"VP8X", &[12, 0, 0, 0, 2, 0, 0, 1, 0, 0]);
    let metadata = [riff_chunk(b"EXIF", &tiff(Order::Big)), riff_chunk(b"XMP ", &build::place_xmp())].concat();
    vec![
        ([jpeg(&segments), trailer].concat(), Format::Jpeg),
        (png(&chunks, b"after"), Format::Png),
        (gif(&[extension]), Format::Gif),
        (riff(&[header, riff_chunk(b"VP8L", b"data"), metadata]), Format::Webp),
    ]
}

#[track_caller]
fn check(file: &[u8], format: Format) {
    if let Some(cleaned) = remove(file, format) {
        assert_eq!(remove(&cleaned, format), None);
    }
}

#[test]
fn every_prefix_is_handled() {
    for (file, format) in samples() {
        for end in 0..file.len() {
            check(&file[..end], format);
        }
    }
}

#[test]
fn every_damaged_byte_is_handled() {
    for (file, format) in samples() {
        let mut damaged = file.clone();
        for at in 0..file.len() {
            damaged[at] = if at % 2 == 0 { 0xff } else { file[at] ^ 1 };
            check(&damaged, format);
            damaged[at] = file[at];
        }
    }
}

#[test]
fn random_mutations_are_handled() {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let samples = samples();
    for round in 0..1000 {
        for (file, format) in &samples {
            let mut mutated = file.clone();
            for _ in 0..1 + random(6) {
                let (at, length) = (random(mutated.len()), random(24));
                let end = (at + length).min(mutated.len());
                let from = random(mutated.len() - (end - at));
                match random(6) {
                    0 => mutated[at] = random(256) as u8,
                    1 => mutated[at] = mutated[at].wrapping_add(1),
                    2 => mutated.copy_within(from..from + end - at, at),
                    3 => drop(mutated.drain(at..end)),
                    4 => {
                        let copy = mutated[from..from + end - at].to_vec();
                        mutated.splice(at..at, copy);
                    }
                    _ => mutated[at] = [0, 1, 2, 4, 8, 0x7f, 0x80, 0xff][random(8)],
                }
                if mutated.is_empty() {
                    break;
                }
            }
            check(&mutated, *format);
            if round % 8 == 0 {
                properties::location(&mutated);
            }
        }
    }
}

#[test]
fn overlapping_ifds_settle_without_a_location() {
    let mut seed = 99u32;
    let mut random = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 9) % below
    };
    for _ in 0..3000 {
        // A heap of entries with relevant tags and near offsets, at any alignment.
        let mut block = b"MM\0*\0\0\0\x08".to_vec();
        for _ in 0..30 {
            let tag = [0x8825u16, 0x8769, 0x014a, 0x02bc, 0x83bb, 0x8649, 0x0201, 0x010f, 3][random(9) as usize];
            block.extend([&(random(5) as u16).to_be_bytes()[..], &tag.to_be_bytes(), &(random(6) as u16).to_be_bytes()].concat());
            block.extend([random(4).to_be_bytes(), random(260).to_be_bytes()].concat());
            block.truncate(block.len() - random(3) as usize);
        }
        check(&jpeg(&[app1("Exif\0\0", &block)]), Format::Jpeg);
        check(&png(&[chunk(b"eXIf", &block)], &[]), Format::Png);
    }
}

#[test]
fn a_long_chain_of_ifds_is_walked_once() {
    let mut builder = TiffBuilder::new(Order::Little);
    let mut next = builder.gps();
    let last = [builder.long(0x8825, next)];
    next = builder.ifd(&last, 0);
    for _ in 0..100_000 {
        next = builder.ifd(&[], next);
    }
    let mut block = builder.finish(next);
    assert_eq!(exif::clean(&mut block, Policy::EDIT), Outcome::Edited);
    super::assert_no_place(&block);
}

#[test]
fn ifds_that_share_entries_exhaust_the_budget() {
    // Each IFD starts one entry further into the same table, and all of them are pointed to.
    let mut builder = TiffBuilder::new(Order::Big);
    let first = builder.bytes.len() as u32;
    let count = 5000u32;
    let tables: Vec<u8> = (0..count).flat_map(|_| [0x13, 0x88, 0x13, 0x88, 0, 1, 0x13, 0x88, 0x13, 0x88, 0, 0]).collect();
    builder.bytes.extend(tables);
    let pointers = (0..count / 2).flat_map(|number| builder.u32(first + number * 12)).collect();
    let entries = [(0x014a, 4, count / 2, pointers), builder.long(0x8825, 8)];
    let ifd0 = builder.ifd(&entries, 0);
    let mut block = builder.finish(ifd0);
    assert_eq!(exif::clean(&mut block, Policy::EDIT), Outcome::Emptied);
}

#[test]
fn a_cycle_of_ifds_terminates() {
    let mut builder = TiffBuilder::new(Order::Big);
    let entries = [builder.long(0x014a, 8), builder.long(0x8769, 8)];
    let ifd0 = builder.ifd(&entries, 8);
    let mut block = builder.finish(ifd0);
    assert_eq!(exif::clean(&mut block, Policy::EDIT), Outcome::Unchanged);
}

#[test]
fn xml_beyond_the_limits_is_wiped() {
    let deep = ["<a>".repeat(300_000), "</a>".repeat(300_000)].concat();
    let bindings: String = (0..100_000).map(|number| format!(" xmlns:n{number}='u'")).collect();
    let nested: String = (0..200).map(|number| format!("<a xmlns:n{number}='u'>")).collect();
    let attributes = " a='b'".repeat(100_000);
    for text in [deep, format!("<a{bindings}/>"), format!("{nested}{}", "</a>".repeat(200)), format!("<a{attributes}/>")] {
        assert_eq!(xmp::clean(&mut text.into_bytes(), Policy::EDIT), Outcome::Emptied);
    }
    let mut wide = format!("<a>{}</a>", "<b photoshop:City=''/>".repeat(100_000)).into_bytes();
    assert_eq!(xmp::clean(&mut wide, Policy::EDIT), Outcome::Edited);
}

#[test]
fn exif_nested_beyond_the_level_limit_is_wiped() {
    let mut block = tiff(Order::Big);
    for _ in 0..200 {
        let resource = build::resource(0x0422, &block);
        block = build::tiff_with(Order::Little, |_| vec![(0x8649, 1, resource.len() as u32, resource.clone())]);
    }
    assert_eq!(exif::clean(&mut block, Policy::EDIT), Outcome::Edited);
    super::assert_no_place(&block);
}

#[test]
fn many_segments_and_chunks_are_cleaned_quickly() {
    let photoshop = segment(0xed, b"Photoshop 3.0\0");
    let extended = segment(0xe1, &[b"http://ns.adobe.com/xmp/extension/\0", &[b'B'; 40][..]].concat());
    let small = [photoshop, extended, segment(0xe1, b"Exif\0\0"), segment(0xeb, b"JP"), segment(0xfe, b"")].concat();
    check(&jpeg(&[small.repeat(50_000)]), Format::Jpeg);
    check(&[jpeg(&[]), small.repeat(50_000)].concat(), Format::Jpeg);
    for trailing in
        [&b"\xff\xd8\xff"[..], b"\xff\xd8\xff\xfe\0\x02", b"\x1c\x02\x05\0\0", b"8db42d694ccc418790edff439fe026bf", b"\x1c\x02"]
    {
        check(&[jpeg(&[]), trailing.repeat(100_000)].concat(), Format::Jpeg);
    }
    let makers =
        [segment(0xe1, b"FLIR\0\x01\0\0FFF\0"), segment(0xe6, b"GoPro\0DEVC\0\x01\0\0"), segment(0xe5, b"RMETA\0MM")].concat();
    check(&jpeg(&[makers.repeat(50_000)]), Format::Jpeg);
    check(&png(&[chunk(b"tEXt", b"a\0").repeat(200_000)], &[]), Format::Png);
    check(&[jpeg(&[]), b"\0\0\0\x08ftyp".repeat(200_000)].concat(), Format::Jpeg);
    check(&riff(&[riff_chunk(b"JUNK", b"").repeat(200_000)]), Format::Webp);
    let comment = [&b"\x21\xfe"[..], &b"\x01x".repeat(1 << 20), &[0]].concat();
    check(&gif(&[comment]), Format::Gif);
}

#[test]
fn a_block_above_the_size_limit_is_wiped() {
    let large = [tiff(Order::Big), vec![1; 17 << 20]].concat();
    let cleaned = super::removed(&png(&[chunk(b"eXIf", &large)], &[]), Format::Png);
    assert_eq!(cleaned, png(&[], &[]));
}

#[test]
fn crafted_texts_are_searched_once() {
    let parts = [
        "http://",
        "https://maps.google.com",
        "www.",
        "geohack.",
        "geo:1,",
        "lat:",
        "gpslat=",
        "\"lat\":",
        "41.98N ",
        "41°",
        "1:",
        "N 1 ",
        "+12.3",
        "long 1.5 ",
        "gps: ",
        "a:",
        "lat=\"",
        "osm.org/",
        "GPSInfo=x ",
        "&quot;lat&quot;:",
        "\\\"",
        "1,",
        "1/",
        "coordinates ",
    ];
    for part in parts {
        let text = part.repeat((1 << 18) / part.len());
        check(&png(&[chunk(b"tEXt", &[b"Comment\0", text.as_bytes()].concat())], &[]), Format::Png);
        let escaped = text.replace('"', "&quot;");
        check(
            &png(&[chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", build::xmp("", &escaped).as_bytes()].concat())], &[]),
            Format::Png,
        );
    }
}

#[test]
fn entries_that_share_one_large_value_are_cleaned_quickly() {
    let value = vec![7; 4 << 20];
    let header = b"Panasonic\0\0\0";
    let entry = [
        &0x67u16.to_be_bytes()[..],
        &7u16.to_be_bytes(),
        &(value.len() as u32 - 1_000_000).to_be_bytes(),
        &900_000u32.to_be_bytes(),
    ]
    .concat();
    let note = [&header[..], &60_000u16.to_be_bytes(), &entry.repeat(60_000), &value].concat();
    let mut block = build::tiff_with(Order::Big, |_| vec![(0x927c, 7, note.len() as u32, note.clone())]);
    assert_eq!(exif::clean(&mut block, Policy::EDIT), Outcome::Edited);

    // As many records, each spanning the whole file.
    let count = 100_000u32;
    let length = 64 + count * 32;
    let record = [&[0, 0x2b, 0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 0, 0, 0][..], &length.to_be_bytes(), &[0; 12]].concat();
    let mut file =
        [b"FFF\0KAMERA\0\0\0\0\0\0\0\0\0\0", &100u32.to_be_bytes()[..], &64u32.to_be_bytes(), &count.to_be_bytes()].concat();
    file.resize(64, 0);
    file.extend(record.repeat(count as usize));
    let parts: Vec<Vec<u8>> = file.chunks(65_000).map(|part| segment(0xe1, &[b"FLIR\0\x01\0\0", part].concat())).collect();
    check(&jpeg(&parts), Format::Jpeg);
}

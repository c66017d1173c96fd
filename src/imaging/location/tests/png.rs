//! Chunks of PNG, and each way to put a metadata block into one.

use super::super::inflate::Inflater;
use super::build::{self, COORDINATE, Order, PLACE, chunk, png, raw_profile, tiff, xmp, zlib};
use super::{assert_exif_kept, has, remove, removed};
use crate::model::image::Format;

fn text(keyword: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"tEXt", &[keyword.as_bytes(), &[0], text].concat())
}

fn compressed(keyword: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[keyword.as_bytes(), &[0, 0], &zlib(text)].concat())
}

fn international(keyword: &str, text: &[u8], packed: bool) -> Vec<u8> {
    let body = if packed { zlib(text) } else { text.to_vec() };
    chunk(b"iTXt", &[keyword.as_bytes(), &[0, u8::from(packed), 0], b"en\0translated\0", &body].concat())
}

/// Decodes the file, so the checksums must be right. Returns the pixels and the chunks between header and image data, with their
/// types.
#[track_caller]
fn decode(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut options = ::png::DecodeOptions::default();
    options.set_ignore_checksums(false);
    let mut reader = ::png::Decoder::new_with_options(std::io::Cursor::new(file), options).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("an image");
    assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
    let mut chunks = Vec::new();
    let mut at = 8;
    while at < file.len() {
        let length = u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
        let body = file[at + 8..at + 8 + length].to_vec();
        let name: [u8; 4] = file[at + 4..at + 8].try_into().expect("four bytes");
        assert_eq!(chunk(&name, &body), file[at..at + 12 + length], "the checksum is right");
        chunks.push((String::from_utf8_lossy(&name).into_owned(), body));
        at += 12 + length;
    }
    chunks
}

#[track_caller]
fn cleaned(chunks: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    decode(&removed(&png(chunks, &[]), Format::Png))
}

#[test]
fn an_exif_chunk_loses_only_the_location() {
    for order in [Order::Big, Order::Little] {
        let chunks =
            cleaned(&[chunk(b"tIME", &[7, 232, 5, 6, 7, 8, 9]), chunk(b"eXIf", &tiff(order)), text("Title", b"A title")]);
        let names: Vec<&str> = chunks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["IHDR", "tIME", "eXIf", "tEXt", "IDAT", "IEND"]);
        assert_exif_kept(&chunks[2].1);
    }
    let prefixed = cleaned(&[chunk(b"eXIf", &[b"Exif\0\0", &tiff(Order::Big)[..]].concat())]);
    assert_exif_kept(&prefixed[1].1[6..]);
}

#[test]
fn a_png_without_a_location_is_unchanged() {
    let chunks = [
        text("Title", b"GPSLatitude"),
        compressed("Comment", b"a city"),
        text("Description", b"f/2.8, 1920x1080, 45 degrees, Exposure latitude: 13.5 stops"),
        text("IPTC:Destination", b"a desk"),
        chunk(b"eXIf", b"neither II nor MM"),
        text("date:create", b"2024"),
        text("XML:com.adobe.xmp", xmp("", "").as_bytes()),
        text("Raw profile type icc", b"not hexadecimal"),
        chunk(b"caBX", b"jumb {}"),
    ];
    assert_eq!(remove(&png(&chunks, b"trailing"), Format::Png), None);
}

#[test]
fn xmp_is_cleaned_in_every_text_chunk() {
    let packet = build::place_xmp();
    let keyword = "XML:com.adobe.xmp";
    let kinds = [
        text(keyword, &packet),
        compressed(keyword, &packet),
        international(keyword, &packet, false),
        international(keyword, &packet, true),
    ];
    for kind in kinds {
        let chunks = cleaned(&[kind]);
        let mut inflater = Inflater::new();
        let bodies = (0..chunks[1].1.len()).filter_map(|at| inflater.inflate(&chunks[1].1[at..]));
        let opened = bodies.into_iter().find(|body| body.len() > 9).unwrap_or(chunks[1].1.clone());
        assert!(has(&opened, b"A title") && has(&opened, b"photoshop:Headline"));
        super::assert_no_place(&opened);
    }
}

#[test]
fn raw_profiles_are_cleaned_in_every_text_chunk() {
    let exif = [b"Exif\0\0", &tiff(Order::Little)[..]].concat();
    let with_header = [b"http://ns.adobe.com/xap/1.0/\0", &build::place_xmp()[..]].concat();
    let profiles: [(&str, Vec<u8>); 7] = [
        ("exif", exif.clone()),
        ("APP1", exif.clone()),
        ("exif", tiff(Order::Big)),
        ("APP1", with_header),
        ("xmp", build::place_xmp()),
        ("iptc", build::resources()),
        ("iptc", build::iptc()),
    ];
    for (name, profile) in profiles {
        let keyword = format!("Raw profile type {name}");
        let text_of_it = raw_profile(name, &profile);
        let plain = cleaned(&[text(&keyword, &text_of_it)]);
        let lines = &plain[1].1[keyword.len() + 1..];
        assert_eq!(lines.len(), text_of_it.len());
        assert_eq!(memchr::memchr_iter(b'\n', lines).count(), memchr::memchr_iter(b'\n', &text_of_it).count());
        let opened = decode_profile(lines);
        super::assert_no_place(&opened);
        assert_eq!(opened.len(), profile.len());
        if profile == exif {
            assert_exif_kept(&opened[6..]);
        } else {
            assert!(has(&opened, b"A title") || has(&opened, b"Kamera"));
        }
        for packed in [compressed(&keyword, &text_of_it), international(&keyword, &text_of_it, true)] {
            let body = cleaned(&[packed])[1].1.clone();
            let start = memchr::memmem::find(&body, &zlib(lines)[..4]).expect("the same, compressed");
            assert_eq!(Inflater::new().inflate(&body[start..]).expect("inflates"), lines);
        }
    }
}

fn decode_profile(lines: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(lines).expect("text");
    let digits: String = text.splitn(4, '\n').last().expect("hexadecimal digits").split_whitespace().collect();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal digits")).collect()
}

#[test]
fn texts_with_a_location_keyword_are_dropped() {
    for keyword in
        ["exif:GPSLatitude", "GPSInfo", "exif:GPSInfo", "Location", "location", "photoshop:City", "Longitude", "geo:lat"]
    {
        let place = [text(keyword, PLACE.as_bytes()), compressed(keyword, b"x"), international(keyword, PLACE.as_bytes(), false)];
        let mut chunks = place.to_vec();
        chunks.push(text("exif:Make", b"Kamera"));
        let left = cleaned(&chunks);
        assert_eq!(left.len(), 4, "{keyword}");
        assert!(has(&left[1].1, b"Kamera"));
    }
}

#[test]
fn keywords_of_other_programs_are_recognised() {
    for keyword in
        ["IPTC:State", "IPTC:ContentLocationName", "EXIF_GPSAreaInformation", "EXIF_GPSDestBearing", "State", "lat", "Address"]
    {
        assert_eq!(cleaned(&[text(keyword, PLACE.as_bytes())]).len(), 3, "{keyword}");
    }
}

#[test]
fn human_readable_texts_lose_only_their_coordinates() {
    let place = format!("Road 5, GPSLatitude=41.{COORDINATE} GPSLongitude=12.{COORDINATE}");
    for keyword in ["Comment", "Description", "Title", "exif:UserComment", "EXIF_ImageDescription", "IPTC:Caption"] {
        for chunk in [
            text(keyword, place.as_bytes()),
            compressed(keyword, place.as_bytes()),
            international(keyword, place.as_bytes(), true),
        ] {
            let body = cleaned(&[chunk])[1].1.clone();
            let opened = (0..body.len()).filter_map(|at| Inflater::new().inflate(&body[at..])).find(|text| text.len() > 9);
            let opened = opened.unwrap_or(body);
            super::assert_no_place(&opened);
            assert!(has(&opened, b"Road 5, "), "{keyword}");
        }
    }
}

#[test]
fn xml_in_a_meta_chunk_is_cleaned() {
    let xml = format!(
        "\u{feff}<meta><title>A title</title><Location><a>{PLACE}</a></Location><note Latitude='41.{COORDINATE}'/></meta>"
    );
    let wide: Vec<u8> = xml.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [xml.clone().into_bytes(), wide] {
        let left = cleaned(&[chunk(b"meTa", &body)]);
        let narrow: Vec<u8> = left[1].1.iter().copied().filter(|&byte| byte != 0).collect();
        super::assert_no_place(&narrow);
        assert!(has(&narrow, b"<title>A title</title>") && has(&narrow, b"<note "));
    }
}

#[test]
fn text_that_cannot_be_decompressed_is_dropped() {
    let bomb = vec![b' '; 17 << 20];
    for broken in [
        compressed("XML:com.adobe.xmp", &bomb),
        text("Raw profile type exif", b"\nexif\n 4\n0g"),
        text("Raw profile type exif", b"4d4d"),
        text("XML:com.adobe.xmp", b"<x><y></x>"),
        chunk(b"eXIf", b"neither II nor MM, GPSLatitude"),
        chunk(b"caBX", b"jumb {\"GPSLatitude\": 1}"),
        chunk(b"zxIf", &[&[0, 0, 0, 0, 9][..], &zlib(&tiff(Order::Big))].concat()),
    ] {
        assert_eq!(cleaned(&[broken]).len(), 3);
    }
}

#[test]
fn many_small_decompression_bombs_share_one_limit() {
    let mut inflater = Inflater::new();
    let bomb = zlib(&vec![b' '; 10 << 20]);
    let opened = (0..100).filter(|_| inflater.inflate(&bomb).is_some()).count();
    assert_eq!(opened, 3);
}

#[test]
fn an_animation_keeps_its_chunks() {
    let control = chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]);
    let frame = chunk(b"fcTL", &[&[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2], &[0; 14][..]].concat());
    let left = cleaned(&[control.clone(), chunk(b"eXIf", &tiff(Order::Big)), frame.clone()]);
    assert_eq!(chunk(b"acTL", &left[1].1), control);
    assert_eq!(chunk(b"fcTL", &left[3].1), frame);
}

#[test]
fn a_damaged_text_is_dropped_only_if_its_readable_part_names_a_location() {
    let place = format!("Road 5, GPSLatitude=41.{COORDINATE} GPSLongitude=12.{COORDINATE} {}", "and so on, ".repeat(50));
    let harmless = "A comment about a city. ".repeat(50);
    let damaged = |text: &str| {
        let whole = zlib(text.as_bytes());
        let mut checksum = whole.clone();
        *checksum.last_mut().expect("a checksum") ^= 1;
        [checksum, whole[..whole.len() - 6].to_vec(), whole[..whole.len() - 2].to_vec()]
    };
    let chunks = |stored: &[u8]| {
        [chunk(b"zTXt", &[b"Comment\0\0", stored].concat()), chunk(b"iTXt", &[b"Comment\0\x01\0\0\0", stored].concat())]
    };
    for stored in damaged(&place) {
        for chunk in chunks(&stored) {
            assert_eq!(cleaned(&[chunk]).len(), 3);
        }
    }
    for stored in damaged(&harmless).into_iter().chain([b"not zlib".to_vec(), Vec::new()]) {
        assert_eq!(remove(&png(&chunks(&stored), &[]), Format::Png), None);
    }
    let none = chunk(b"zTXt", b"Raw profile type exif\0\0not zlib");
    assert_eq!(remove(&png(&[none], &[]), Format::Png), None);
}

#[test]
fn exif_chunks_are_found_in_any_case_and_after_the_end() {
    for name in [b"eXIf", b"exIf", b"exIF", b"EXIF"] {
        // An upper-case first letter marks a chunk that decoders must know.
        if name[0].is_ascii_lowercase() {
            assert_exif_kept(&cleaned(&[chunk(name, &tiff(Order::Big))])[1].1);
        }
        let after = [chunk(name, &tiff(Order::Little)), text("Title", b"A title"), b"trailing".to_vec()].concat();
        let file = png(&[], &after);
        let left = removed(&file, Format::Png);
        assert_eq!(left.len(), file.len());
        assert!(left.ends_with(&after[after.len() - 20..]));
        let start = file.len() - after.len();
        assert_eq!(left[..start], file[..start]);
        let exif = &left[start + 8..start + 8 + tiff(Order::Little).len()];
        assert_exif_kept(exif);
        assert_eq!(chunk(name, exif), left[start..start + 12 + exif.len()], "the checksum is right");
    }
    let innocent = [chunk(b"eXIf", b"neither II nor MM"), text("Title", b"A title")].concat();
    assert_eq!(remove(&png(&[], &innocent), Format::Png), None);
}

#[test]
fn texts_with_any_keyword_lose_their_coordinates() {
    let place = format!("Road 5, GPSLatitude=41.{COORDINATE} GPSLongitude=12.{COORDINATE}");
    for keyword in ["Label", "parameters", "workflow", "x", "Thumb::URI", "Software", "memo"] {
        for chunk in [text(keyword, place.as_bytes()), international(keyword, place.as_bytes(), false)] {
            let body = cleaned(&[chunk])[1].1.clone();
            assert!(has(&body, b"Road 5, "), "{keyword}");
        }
        assert_eq!(cleaned(&[compressed(keyword, place.as_bytes())]).len(), 4);
        // Data for programs may be two numbers.
        assert_eq!(remove(&png(&[text(keyword, b"41.98123, 12.34123")], &[]), Format::Png), None);
    }
}

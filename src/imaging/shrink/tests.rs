//! Tests which images are scaled down, and what survives.

use super::super::tests::test_images::{self, BLUE, CLEAR, GREEN, QUARTERS, RED, WHITE, exif, jpeg, rgb, rgba};
use super::super::tests::webp_files;
use super::*;
use crate::imaging::{Processed, decode, inspect_stored, location, process};
use crate::model::rendering::{Fit, Rendering};
use mozjpeg::ColorSpace;

/// 100 pixels per side and 8000 in total.
fn limits() -> Limits {
    Limits { min_side: 1, max_side: 100, max_pixels: 8000, thumbnail_heights: Vec::new(), shrink: true, ..Limits::default() }
}

/// Returns the smaller file, and the service's view of it.
fn shrunk(file: &[u8]) -> (Shrunk, Header, Processed) {
    let limits = limits();
    assert!(crate::imaging::inspect(file, &limits).is_err(), "it is larger than the limits");
    let header = crate::imaging::inspect_oversize(file, &limits).expect("it can be scaled down");
    assert!(header.oversize && header.weight_bytes > 0);
    let shrunk = crate::imaging::shrink(file, &header, &limits).expect("it is scaled down");
    let small = crate::imaging::inspect(&shrunk.file, &limits).expect("it is within the limits");
    assert_eq!((small.format, small.orientation), (header.format, header.orientation));
    let processed = process(&shrunk.file, &small, &limits).expect("a whole file");
    (shrunk, small, processed)
}

/// Returns the middle of each quarter as displayed, as RGBA.
fn quarters(processed: &Processed) -> [[u8; 4]; 4] {
    let thumbnail = &processed.thumbnails[0];
    [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
        .map(|(across, down)| super::super::tests::pixel_at(thumbnail, across, down))
}

fn assert_close(found: [[u8; 4]; 4], expected: [[u8; 4]; 4]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 24), "{found:?} for {expected:?}");
    }
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

/// Inserts segments after SOI.
fn with_segments(file: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [&file[..2], &segments.concat(), &file[2..]].concat()
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &checksum.sum().to_be_bytes()].concat()
}

fn contains(file: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(file, part).is_some()
}

/// Builds a TIFF block with an Exif IFD that contains both dimensions.
fn exif_with_size(orientation: u8, big_endian: bool, kind: u16) -> Vec<u8> {
    let short = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let long = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let value = |kind: u16, n: u32| if kind == 3 { [&short(n as u16)[..], &[0; 2]].concat() } else { long(n).to_vec() };
    let entry = |tag: u16, kind: u16, n: u32| [&short(tag)[..], &short(kind), &long(1), &value(kind, n)].concat();
    let mut block = if big_endian { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
    block.extend(long(8));
    block.extend(short(2));
    block.extend(entry(0x0112, 3, orientation.into()));
    block.extend(entry(0x8769, 4, 38));
    block.extend(long(0));
    block.extend(short(2));
    block.extend(entry(0xa002, kind, 240));
    block.extend(entry(0xa003, kind, 120));
    block.extend(long(0));
    block
}

#[test]
fn the_target_is_the_largest_size_within_both_limits() {
    let with = |max_side, max_pixels| Limits { max_side, max_pixels, ..limits() };
    for (stored, max_side, max_pixels, expected) in [
        ((4032, 3024), 4000, 16_000_000, (4000, 3000)),
        ((3024, 4032), 4000, 16_000_000, (3000, 4000)),
        ((5000, 5000), 8000, 16_000_000, (4000, 4000)),
        ((16_320, 12_240), 20_000, 16_000_000, (4618, 3464)),
        ((65_500, 1), 4000, 16_000_000, (4000, 1)),
        ((1, 65_500), 65_500, 100, (1, 100)),
        ((101, 3), 100, 8000, (100, 3)),
        ((7, 5), 7, 1, (1, 1)),
    ] {
        let limits = with(max_side, max_pixels);
        assert_eq!(limits.shrunk_size(stored), expected, "{stored:?} within {max_side} and {max_pixels}");
        for side in 1..200 {
            let (width, height) = limits.shrunk_size((stored.0, side));
            assert!(width.max(height) <= max_side && u64::from(width) * u64::from(height) <= max_pixels, "{stored:?} {side}");
        }
    }
}

#[test]
fn a_jpeg_keeps_its_metadata_and_every_orientation() {
    for orientation in 1..=8_u8 {
        let (big_endian, kind) = (orientation % 2 == 0, if orientation > 4 { 4 } else { 3 });
        let block = exif_with_size(orientation, big_endian, kind);
        let file = jpeg((240, 120), ColorSpace::JCS_RGB, &rgb(240, 120), Some(&block), |_| {});
        let xmp = [&b"http://ns.adobe.com/xap/1.0/\0"[..], b"<x:xmpmeta/>"].concat();
        let iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x74\0\x03me.".to_vec();
        let kept = [segment(0xe1, &xmp), segment(0xed, &iptc), segment(0xfe, b"a comment"), segment(0xec, b"Ducky")];
        let gone = [
            segment(0xe2, b"MPF\0II\x2a\0"),
            segment(0xeb, b"JP\0\x01\0\0\0\x01\0\0\0\x10jumbc2pa"),
            segment(0xe2, b"urn:iso:std:iso:ts:21496:-1\0"),
        ];
        let file = [with_segments(&file, &[b"\xff\xe4\0\0".to_vec(), kept.concat(), gone.concat()]), b"a second image".to_vec()]
            .concat();
        let (shrunk, header, processed) = shrunk(&file);
        assert!(shrunk.dropped_credentials);
        assert!(kept.iter().all(|segment| contains(&shrunk.file, segment)), "orientation {orientation}");
        assert!(!gone.iter().any(|segment| contains(&shrunk.file, segment)) && shrunk.file.ends_with(&[0xff, 0xd9]));
        assert_eq!(header.stored, (100, 50));
        assert_eq!((header.width, header.height), if orientation > 4 { (50, 100) } else { (100, 50) });
        let [x, y] = [0xa002, 0xa003].map(|tag| size_in_exif(&shrunk.file, tag));
        assert_eq!((x, y), (100, 50), "orientation {orientation}");
        let [a, b, c, d] = QUARTERS;
        let displayed = match orientation {
            1 => [a, b, c, d],
            2 => [b, a, d, c],
            3 => [d, c, b, a],
            4 => [c, d, a, b],
            5 => [a, c, b, d],
            6 => [c, a, d, b],
            7 => [d, b, c, a],
            _ => [b, d, a, c],
        };
        assert_close(quarters(&processed), displayed);
    }
}

fn size_in_exif(file: &[u8], tag: u16) -> u32 {
    let exif = exif_reader(file);
    let field = exif.get_field(::exif::Tag(::exif::Context::Exif, tag), ::exif::In::PRIMARY).expect("the field");
    field.value.get_uint(0).expect("a number")
}

fn exif_reader(file: &[u8]) -> ::exif::Exif {
    ::exif::Reader::new().read_from_container(&mut std::io::Cursor::new(file)).expect("EXIF")
}

#[test]
fn a_jpeg_keeps_its_colour_space_and_profile() {
    let pieces = [segment(0xe2, b"ICC_PROFILE\0\x01\x02half"), segment(0xe2, b"ICC_PROFILE\0\x02\x02half")];
    let grey: Vec<u8> = rgba(240, 120, QUARTERS).chunks_exact(4).map(|pixel| pixel[0]).collect();
    let inks: Vec<u8> = rgb(240, 120).chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let adobe = [jpeg((240, 120), ColorSpace::JCS_CMYK, &inks, None, |_| {})];
    let components = |file: &[u8]| mozjpeg::Decompress::new_mem(file).expect("a JPEG").color_space();
    for (file, space) in [
        (jpeg((240, 120), ColorSpace::JCS_GRAYSCALE, &grey, None, |_| {}), ColorSpace::JCS_GRAYSCALE),
        (test_images::progressive_jpeg(240, 120), ColorSpace::JCS_YCbCr),
        (test_images::plain_jpeg(1000, 500), ColorSpace::JCS_YCbCr),
        (adobe[0].clone(), ColorSpace::JCS_CMYK),
    ] {
        let file = with_segments(&file, &pieces);
        let (shrunk, header, _) = shrunk(&file);
        assert_eq!(components(&shrunk.file), space);
        assert_eq!(header.stored, (100, 50));
        assert!(pieces.iter().all(|piece| contains(&shrunk.file, piece)));
        assert!(!shrunk.dropped_credentials);
    }
    // Without Adobe's marker, inks are not inverted; the smaller file has the marker and inverted inks.
    let at = memchr::memmem::find(&adobe[0], b"\xff\xee\0\x0eAdobe").expect("Adobe's marker");
    let plain = [&adobe[0][..at], &adobe[0][at + 16..]].concat();
    let shown = |file: &[u8]| shrunk(file).2;
    assert_close(quarters(&shown(&adobe[0])), [RED, GREEN, BLUE, WHITE]);
    // The same samples are now ink, and the fourth covers everything: black.
    assert_close(quarters(&shown(&plain)), [[0, 0, 0, 255]; 4]);
}

#[test]
fn a_png_keeps_the_chunks_that_still_apply() {
    let rgba16: Vec<u8> = rgba(240, 120, QUARTERS).iter().flat_map(|&sample| [sample, sample]).collect();
    let clear = rgba(240, 120, [RED, CLEAR, BLUE, CLEAR]);
    let grey: Vec<u8> = rgba(240, 120, QUARTERS).chunks_exact(4).map(|pixel| pixel[0]).collect();
    let grey_clear: Vec<u8> = clear.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[3]]).collect();
    use ::png::{BitDepth, ColorType};
    for (color, depth, samples, expected) in [
        (ColorType::Rgb, BitDepth::Eight, rgb(240, 120), ColorType::Rgb),
        (ColorType::Rgba, BitDepth::Sixteen, rgba16, ColorType::Rgb),
        (ColorType::Rgba, BitDepth::Eight, clear, ColorType::Rgba),
        (ColorType::Grayscale, BitDepth::Eight, grey, ColorType::Grayscale),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, grey_clear, ColorType::GrayscaleAlpha),
    ] {
        let mut file = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut file, 240, 120);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().expect("a PNG starts");
        writer.write_image_data(&samples).expect("a PNG is written");
        writer.finish().expect("a PNG ends");
        let kept = [chunk(b"gAMA", &45_455_u32.to_be_bytes()), chunk(b"tEXt", b"Author\0somebody"), chunk(b"prVt", b"private")];
        let gone = [chunk(b"sBIT", &[5; 4][..color.samples()]), chunk(b"caBX", b"jumbc2pa"), chunk(b"prVT", b"private")];
        let block = exif_with_size(6, true, 4);
        let late = chunk(b"tEXt", b"Comment\0behind the image");
        let end = file.len() - 12;
        let file =
            [&file[..33], &kept.concat(), &gone.concat(), &chunk(b"eXIf", &block), &file[33..end], &late, &file[end..]].concat();
        let (shrunk, header, processed) = shrunk(&file);
        assert_eq!(header.stored, (100, 50));
        assert!(kept.iter().all(|part| contains(&shrunk.file, part)) && contains(&shrunk.file, &late), "{color:?}");
        assert!(!gone.iter().any(|part| contains(&shrunk.file, part)), "{color:?}");
        assert!(shrunk.dropped_credentials);
        assert_eq!((size_in_exif(&shrunk.file, 0xa002), size_in_exif(&shrunk.file, 0xa003)), (100, 50));
        assert_eq!(
            ::png::Decoder::new(std::io::Cursor::new(&shrunk.file)).read_info().expect("a PNG").info().color_type,
            expected
        );
        assert_eq!(processed.metadata.has_alpha, matches!(expected, ColorType::Rgba | ColorType::GrayscaleAlpha));
        if color == ColorType::Rgb {
            assert_close(quarters(&processed), [BLUE, RED, WHITE, GREEN]);
        }
    }
}

#[test]
fn a_webp_keeps_its_profile_exif_xmp_and_transparency() {
    for quarters_of in [QUARTERS, [RED, CLEAR, BLUE, CLEAR]] {
        let clear = quarters_of.contains(&CLEAR);
        let pixels = rgba(240, 120, quarters_of);
        let encoded = webp_files::lossy(&pixels, 240, 120, 90.0);
        assert_eq!(shrunk(&encoded).1.stored, (100, 50));
        let block = exif(3, &[], &[]);
        let parts: [(&[u8; 4], &[u8]); 3] = [(b"ICCP", b"a profile"), (b"EXIF", &block), (b"XMP ", b"<x:xmpmeta/>")];
        let mut body = b"WEBP".to_vec();
        let flags = 0x20 | 0x08 | 0x04 | if clear { 0x10 } else { 0 };
        let chunk = |name: &[u8; 4], data: &[u8]| {
            let padding = vec![0; data.len() % 2];
            [name, &(data.len() as u32).to_le_bytes()[..], data, &padding].concat()
        };
        body.extend(chunk(b"VP8X", &[flags, 0, 0, 0, 239, 0, 0, 119, 0, 0]));
        body.extend(chunk(b"ICCP", parts[0].1));
        let start = if encoded[12..16] == *b"VP8X" { 30 } else { 12 };
        body.extend(&encoded[start..]);
        body.extend(chunk(b"EXIF", parts[1].1));
        body.extend(chunk(b"XMP ", parts[2].1));
        body.extend(chunk(b"C2PA", b"jumb"));
        let file = [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat();
        let (shrunk, header, processed) = shrunk(&file);
        assert_eq!((header.stored, header.orientation), ((100, 50), 3));
        for (name, data) in parts {
            assert!(contains(&shrunk.file, &chunk(name, data)), "{name:?}");
        }
        assert!(shrunk.dropped_credentials && !contains(&shrunk.file, b"C2PA"));
        assert_eq!(processed.metadata.has_alpha, clear);
        let [a, b, c, d] = quarters_of;
        if !clear {
            assert_close(quarters(&processed), [d, c, b, a]);
        }
        assert!(webp_files::decode(&shrunk.file).is_some_and(|bitmap| bitmap.has_alpha == clear));
    }
}

#[test]
fn an_image_that_cannot_be_scaled_down_is_rejected_with_a_reason() {
    let limits = limits();
    let refused = |file: &[u8]| crate::imaging::inspect_oversize(file, &limits).unwrap_err().to_string();
    let still = test_images::gif(240, 120, 1, [0, 1, 2, 3]);
    assert!(refused(&still).ends_with("more than the limits allow: GIF files and animations are not scaled down"));
    // A strip whose shorter side would become too short.
    let strip = Limits { min_side: 50, ..limits.clone() };
    let error = crate::imaging::inspect_oversize(&test_images::plain_jpeg(1000, 60), &strip).unwrap_err().to_string();
    assert!(error.ends_with("its shorter side would have fewer pixels than MIN_IMAGE_SIDE"), "{error}");
    // Damage is found before anything is written.
    let whole = test_images::plain_jpeg(240, 120);
    let cut = &whole[..whole.len() - 40];
    let header = crate::imaging::inspect_oversize(cut, &limits).expect("a header");
    assert!(matches!(crate::imaging::shrink(cut, &header, &limits), Err(Error::Corrupt { .. })));
    // At most 256 megapixels are accepted, whatever the header states.
    let mut huge = whole.clone();
    let frame = memchr::memmem::find(&huge, b"\xff\xc0").expect("a frame header");
    huge[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let error = crate::imaging::inspect_oversize(&huge, &limits).unwrap_err();
    assert!(matches!(error, Error::TooManyImagePixels { limit: 256_000_000, .. }), "{error}");
}

#[test]
fn location_metadata_is_removed_from_the_smaller_file_too() {
    let xmp = [
        &b"http://ns.adobe.com/xap/1.0/\0"[..],
        br#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,30.5N"/></rdf:RDF></x:xmpmeta>"#,
    ]
    .concat();
    let file = with_segments(&test_images::plain_jpeg(240, 120), &[segment(0xe1, &xmp)]);
    let (shrunk, _, processed) = shrunk(&file);
    assert!(contains(&shrunk.file, b"52,30.5N"));
    let stored = processed.without_location.expect("a file without location metadata");
    assert!(!contains(&stored, b"52,30.5N"));
    assert!(location::remove(&stored, Format::Jpeg).is_none());
}

#[test]
fn scaling_down_changes_colours_no_more_than_rendering_does() {
    let limits = limits();
    let file = test_images::plain_jpeg(400, 200);
    let (shrunk, ..) = shrunk(&file);
    let size = (100, 50);
    let rendering = Rendering::new((400, 200), (Some(100), Some(50)), Fit::Contain, Format::Jpeg, 90).expect("a rendering");
    let header = inspect_stored(&file, &limits, &rendering).expect("a header");
    let rendered = crate::imaging::render(&file, &header, &limits, &rendering).expect("rendered");
    let rgb_of = |file: &[u8]| {
        let wanted = Rendering::new(size, (Some(100), Some(50)), Fit::Contain, Format::Png, 0).expect("itself");
        let header = inspect_stored(file, &limits, &wanted).expect("a header");
        decode(file, &header, &limits).expect("decoded").pixels.into_rgb().expect("RGB").pixels
    };
    assert_eq!(rgb_of(&shrunk.file), rgb_of(&rendered));
}

//! Colour profiles: thumbnails look like the original, in sRGB. The expected colours are those of LittleCMS 2.

use super::test_images::*;
use super::*;
use ::png::{BitDepth, ColorType};
use moxcms::ColorProfile;
use mozjpeg::ColorSpace;

/// [`QUARTERS`], interpreted as Adobe RGB (1998).
const FROM_ADOBE_RGB: [[u8; 4]; 4] = [[255, 24, 24, 255], [0, 201, 37, 255], [21, 57, 215, 255], WHITE];

fn adobe_rgb() -> Vec<u8> {
    ColorProfile::new_adobe_rgb().encode().expect("a profile")
}

/// Segments are numbered from 1.
fn jpeg_with_profile(file: &[u8], profile: &[u8], piece_bytes: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = profile.chunks(piece_bytes).collect();
    let mut with = file[..2].to_vec();
    for (index, piece) in pieces.iter().enumerate() {
        with.extend([0xff, 0xe2]);
        with.extend((piece.len() as u16 + 16).to_be_bytes());
        with.extend(b"ICC_PROFILE\0");
        with.extend([index as u8 + 1, pieces.len() as u8]);
        with.extend(*piece);
    }
    with.extend(&file[2..]);
    with
}

fn png_with_profile(file: &[u8], profile: &[u8]) -> Vec<u8> {
    let body = [b"a name\0\0", &deflated(profile)[..]].concat();
    [&file[..33], &png_chunk(b"iCCP", &body), &file[33..]].concat()
}

pub fn deflated(profile: &[u8]) -> Vec<u8> {
    let mut zlib = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(profile, flate2::Compression::default());
    std::io::Read::read_to_end(&mut encoder, &mut zlib).expect("deflate");
    zlib
}

/// After VP8X, which comes first.
fn webp_with_profile(width: u32, height: u32, profile: &[u8]) -> Vec<u8> {
    let mut file = webp_with_exif(width, height, b"");
    let mut chunk = [b"ICCP", &(profile.len() as u32).to_le_bytes()[..], profile].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    file.splice(30..30, chunk);
    file[20] |= 0x20;
    let size = file.len() as u32 - 8;
    file[4..8].copy_from_slice(&size.to_le_bytes());
    file
}

#[track_caller]
fn assert_shown(file: &[u8], expected: [[u8; 4]; 4]) {
    let (_, processed) = run(file).expect("accepted");
    for thumbnail in &processed.thumbnails {
        for ((across, down), expected) in formats::CORNERS.into_iter().zip(expected) {
            let pixel = pixel_at(thumbnail, across, down);
            let near = pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 5);
            assert!(near, "{} at {across},{down}: {pixel:?}, not {expected:?}", thumbnail.info.size.name());
        }
    }
}

#[test]
fn other_rgb_colour_spaces_are_converted_in_every_format() {
    let profile = adobe_rgb();
    for side in [120, 1200] {
        assert_shown(&jpeg_with_profile(&plain_jpeg(side, side), &profile, 65_000), FROM_ADOBE_RGB);
        assert_shown(&png_with_profile(&rgba_png(side, side, QUARTERS), &profile), FROM_ADOBE_RGB);
    }
    assert_shown(&webp_with_profile(120, 90, &profile), FROM_ADOBE_RGB);
}

#[test]
fn a_resized_image_is_srgb_too_and_keeps_its_transparency() {
    let mut quarters = QUARTERS;
    quarters[0][3] = 128;
    let file = png_with_profile(&rgba_png(400, 400, quarters), &adobe_rgb());
    let (_, processed) = run(&file).expect("accepted");
    let pixel = pixel_at(&processed.thumbnails[0], 0.25, 0.25);
    assert!(pixel[0] > 250 && pixel[3].abs_diff(128) < 3, "{pixel:?}");
    let rendering = Rendering::new((400, 400), (Some(50), None), Default::default(), Format::Png, 80).expect("a size");
    let header = inspect_stored(&file, &Limits::default(), &rendering).expect("a header");
    let made = render(&file, &header, &Limits::default(), &rendering).expect("a variant");
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(made)).read_info().expect("a PNG");
    let mut pixels = vec![0; 50 * 50 * 4];
    reader.next_frame(&mut pixels).expect("pixels");
    assert!(pixels[0] > 250 && pixels[3].abs_diff(128) < 3, "{:?}", &pixels[..4]);
}

#[test]
fn a_segmented_profile_is_assembled_and_an_incomplete_one_ignored() {
    let profile = adobe_rgb();
    let file = plain_jpeg(120, 120);
    let whole = jpeg_with_profile(&file, &profile, 100);
    assert_shown(&whole, FROM_ADOBE_RGB);
    let mut backwards = whole.clone();
    let pieces = profile.len().div_ceil(100);
    for index in 0..pieces {
        // Reverses the segment numbers, so the segments are in the wrong order.
        backwards[2 + index * 118 + 16] = (pieces - index) as u8;
    }
    assert_shown(&backwards, QUARTERS);
    let mut incomplete = whole;
    incomplete.drain(2..2 + 118);
    assert_shown(&incomplete, QUARTERS);
}

#[test]
fn every_variant_of_srgb_changes_no_byte() {
    let plain = run(&plain_jpeg(300, 300)).expect("accepted").1;
    let profile = ColorProfile::new_srgb().encode().expect("a profile");
    let tagged = run(&jpeg_with_profile(&plain_jpeg(300, 300), &profile, 65_000)).expect("accepted").1;
    assert!(plain.thumbnails.iter().zip(&tagged.thumbnails).all(|(a, b)| a.bytes == b.bytes));
}

#[test]
fn a_grey_profile_applies_only_to_grey_images() {
    let profile = ColorProfile::new_gray_with_gamma(1.0).encode().expect("a profile");
    let grey: Vec<u8> = rgba(100, 80, [[10; 4], [55; 4], [128; 4], [250; 4]]).chunks_exact(4).map(|p| p[0]).collect();
    // Linear light: 55 of 255 corresponds to 128 in sRGB.
    let shown = [56, 128, 188, 253].map(|value| [value, value, value, 255]);
    let jpeg = jpeg((100, 80), ColorSpace::JCS_GRAYSCALE, &grey, None, |_| {});
    assert_shown(&jpeg_with_profile(&jpeg, &profile, 65_000), shown);
    let png = png((100, 80), ColorType::Grayscale, BitDepth::Eight, &grey, |_| {});
    assert_shown(&png_with_profile(&png, &profile), shown);
    assert_shown(&jpeg_with_profile(&plain_jpeg(100, 80), &profile, 65_000), QUARTERS);
}

#[test]
fn inks_are_converted_by_their_profile() {
    let inks: Vec<u8> = rgba(96, 80, [[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0]]);
    let adobe = [b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0", &b"\0"[..]].concat();
    for inverted in [false, true] {
        let samples: Vec<u8> = inks.iter().map(|ink| if inverted { 255 - ink } else { *ink }).collect();
        let mut file = jpeg((96, 80), ColorSpace::JCS_CMYK, &samples, None, |c| c.set_color_space(ColorSpace::JCS_CMYK));
        strip_adobe(&mut file);
        if inverted {
            file.splice(2..2, adobe.iter().copied());
        }
        let plain = [[0, 255, 255, 255], [255, 0, 255, 255], [0, 0, 0, 255], [255; 4]];
        assert_shown(&file, plain);
        // In this profile all inks are grey, and black is the lightest.
        let shown = [60, 60, 190, 255].map(|value| [value, value, value, 255]);
        assert_shown(&jpeg_with_profile(&file, &grey_inks(), 65_000), shown);
    }
}

/// Removes the marker that libjpeg writes for CMYK.
fn strip_adobe(file: &mut Vec<u8>) {
    if let Some(at) = file.windows(9).position(|window| window[..2] == [0xff, 0xee] && window.ends_with(b"Adobe")) {
        file.drain(at..at + 16);
    }
}

/// A printer profile with two points per channel (ICC.1:2022, 10.11, `lut8Type`): the Lab colour of each combination of full
/// inks.
fn grey_inks() -> Vec<u8> {
    let lightness = |inks: usize| match inks {
        0 => 255,
        // Black is the last channel, which varies fastest.
        1 => 195,
        _ => 64,
    };
    let mut table = [b"mft1\0\0\0\0\x04\x03\x02\0", &[0; 36][..]].concat();
    for identity in [0, 4, 8] {
        table[12 + identity * 4 + 1] = 1;
    }
    table.extend((0..4).flat_map(|_| 0..=255u8));
    table.extend((0..16).flat_map(|inks| [lightness(inks), 128, 128]));
    table.extend((0..3).flat_map(|_| 0..=255u8));
    let mut profile = vec![0; 128];
    profile[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    profile[12..24].copy_from_slice(b"prtrCMYKLab ");
    profile[36..40].copy_from_slice(b"acsp");
    profile[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    profile.extend(1u32.to_be_bytes());
    profile.extend(b"A2B0");
    profile.extend(144u32.to_be_bytes());
    profile.extend((table.len() as u32).to_be_bytes());
    profile.extend(table);
    let size = profile.len() as u32;
    profile[..4].copy_from_slice(&size.to_be_bytes());
    profile
}

#[test]
fn a_broken_or_too_large_profile_is_ignored() {
    let mut zeros = adobe_rgb();
    zeros[128..].fill(0);
    let mut lying = adobe_rgb();
    lying[128..132].fill(0xff);
    let large = vec![0; 5 << 20];
    let bomb = vec![0; 50 << 20];
    for profile in [&b""[..], b"ICC", &zeros, &lying, &large, &bomb] {
        assert_shown(&png_with_profile(&rgba_png(90, 90, QUARTERS), profile), QUARTERS);
    }
    for profile in [&b"ICC"[..], &zeros, &lying, &large] {
        assert_shown(&jpeg_with_profile(&plain_jpeg(90, 90), profile, 65_000), QUARTERS);
    }
    let mut random = XorShift(5);
    for profile in [adobe_rgb(), grey_inks(), ColorProfile::new_gray_with_gamma(2.0).encode().expect("a profile")] {
        for _ in 0..60 {
            let mut damaged = profile.clone();
            for _ in 0..4 {
                let at = random.below(damaged.len());
                damaged[at] = random.next() as u8;
            }
            run(&png_with_profile(&rgba_png(60, 60, QUARTERS), &damaged)).expect("shown somehow");
        }
    }
}

#[test]
fn a_profile_needs_memory() {
    let limits = Limits::default();
    let plain = inspect(&plain_jpeg(500, 500), &limits).expect("a header");
    let file = jpeg_with_profile(&plain_jpeg(500, 500), &vec![1; 2 << 20], 65_000);
    let tagged = inspect(&file, &limits).expect("a header");
    assert!(tagged.weight_bytes >= plain.weight_bytes + (12 << 20));
}

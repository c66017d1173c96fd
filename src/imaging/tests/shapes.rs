//! Images of unusual shapes: every thumbnail and rendering is created, whatever the sides, coding and orientation.

use super::test_images::*;
use super::*;
use crate::model::rendering::Fit;
use mozjpeg::{ColorSpace, Compress};

/// Sides at which a rounded quotient of luma and chroma once exceeded the plane, and sides near them.
const SIDES: [u32; 24] =
    [1, 2, 3, 7, 8, 9, 15, 17, 29, 33, 87, 149, 343, 433, 511, 513, 804, 1023, 1025, 1088, 1168, 1920, 2592, 3872];

/// Every coding and chroma subsampling that the JPEG decoders distinguish.
fn encoded((width, height): (u32, u32), kind: usize, orientation: u16) -> (&'static str, Vec<u8>) {
    let rgb = rgb(width, height);
    let exif = exif(orientation, &[], &[]);
    let sampled = |name, h, v, progressive: bool| {
        let configure = |compress: &mut Compress| {
            compress.set_chroma_sampling_pixel_sizes((h, v), (h, v));
            if progressive {
                compress.set_progressive_mode();
            }
        };
        (name, jpeg((width, height), ColorSpace::JCS_RGB, &rgb, Some(&exif), configure))
    };
    match kind % 9 {
        0 => sampled("4:2:0", 2, 2, false),
        1 => sampled("4:2:2", 2, 1, false),
        2 => sampled("4:4:0", 1, 2, false),
        3 => sampled("4:4:4", 1, 1, false),
        4 => sampled("4:1:1", 4, 1, false),
        5 => sampled("progressive 4:2:0", 2, 2, true),
        6 => {
            let grey: Vec<u8> = rgb.chunks_exact(3).map(|pixel| pixel[1]).collect();
            ("grey", jpeg((width, height), ColorSpace::JCS_GRAYSCALE, &grey, Some(&exif), |_| {}))
        }
        7 => {
            let png = png((width, height), ::png::ColorType::Rgb, ::png::BitDepth::Eight, &rgb, |_| {});
            ("PNG", [&png[..33], &png_chunk(b"eXIf", &exif), &png[33..]].concat())
        }
        _ => {
            let png = rgba_png(width, height, [RED, CLEAR, BLUE, WHITE]);
            ("PNG with alpha", [&png[..33], &png_chunk(b"eXIf", &exif), &png[33..]].concat())
        }
    }
}

#[track_caller]
fn assert_shown(name: &str, file: &[u8], random: &mut XorShift) {
    let limits = Limits { min_side: 1, max_side: 65_500, ..Limits::default() };
    let (header, processed) = run_within(file, &limits).unwrap_or_else(|error| unreachable!("{name}: {error}"));
    let size = (header.width, header.height);
    for made in &processed.thumbnails {
        assert_eq!((made.info.width, made.info.height), made.info.size.of(size), "{name}");
    }
    for fit in [Fit::Cover, Fit::Cover, Fit::Contain] {
        let format = [Format::Jpeg, Format::Png, Format::Webp][random.below(3)];
        let to = (Some(1 + random.below(90) as u32), Some(1 + random.below(90) as u32));
        let wanted = Rendering::new(size, to, fit, format, 80).expect("both sides");
        let header = inspect_stored(file, &limits, &wanted).expect("the header was read before");
        render(file, &header, &limits, &wanted).unwrap_or_else(|error| unreachable!("{name} as {wanted:?}: {error}"));
    }
    let side = 1 + random.below(60) as u32;
    let header = inspect_for_pixels(file, &limits, side).expect("the header was read before");
    pixels_of(name, file, &header, &limits);
}

fn pixels_of(name: &str, file: &[u8], header: &Header, limits: &Limits) {
    let pixels = super::super::pixels(file, header, limits).unwrap_or_else(|error| unreachable!("{name}: {error}"));
    assert_eq!(pixels.pixels.len(), pixels.width as usize * pixels.height as usize * 3, "{name}");
}

#[test]
fn images_of_every_shape_are_rendered_at_every_size() {
    let mut random = XorShift(0x5eed_0001);
    for round in 0..90 {
        // One long side and one short side, so that a debug build finishes in time.
        let long = if round % 2 == 0 { SIDES[random.below(SIDES.len())] } else { 1 + random.below(2600) as u32 };
        let short = 1 + random.below(24) as u32;
        let size = if random.below(2) == 0 { (long, short) } else { (short, long) };
        let orientation = 1 + random.below(8) as u16;
        let (kind, file) = encoded(size, round, orientation);
        assert_shown(&format!("{kind} {}x{}, orientation {orientation}", size.0, size.1), &file, &mut random);
    }
}

#[test]
fn images_whose_chroma_was_rounded_beyond_its_plane_are_accepted() {
    for (width, height) in [(1168, 1088), (1920, 804), (1936, 1296)] {
        let file = plain_jpeg(width, height);
        assert!(run(&file).is_ok(), "{width}x{height}");
    }
}

#[test]
fn a_transparent_thumbnail_may_be_longer_than_webp_can_be() {
    let file = rgba_png(20_000, 3, [RED, CLEAR, BLUE, WHITE]);
    let limits = Limits { min_side: 1, max_side: 65_500, ..Limits::default() };
    let (header, processed) = run_within(&file, &limits).expect("accepted");
    let formats: Vec<_> = processed.thumbnails.iter().map(|made| (made.info.width, made.info.format)).collect();
    assert_eq!(formats, [(128, Format::Webp), (512, Format::Webp), (20_000, Format::Png)]);
    let wanted = Rendering::new((header.width, header.height), (Some(65_000), None), Fit::Contain, Format::Webp, 80);
    let wanted = wanted.expect("one side suffices");
    assert_eq!((wanted.width, wanted.height), (16_383, 2));
    let header = inspect_stored(&file, &limits, &wanted).expect("accepted");
    assert!(render(&file, &header, &limits, &wanted).is_ok());
}

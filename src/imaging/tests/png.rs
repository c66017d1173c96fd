//! PNG beyond its pixels: no ancillary data prevents an image from being displayed, and damaged pixels are rejected.

use super::test_images::*;
use super::*;
use ::png::{BitDepth, ColorType};

/// Every ancillary chunk of the third edition and its extensions, except tRNS, which is part of the image.
const ANCILLARY: [&[u8; 4]; 24] = [
    b"acTL", b"fcTL", b"fdAT", b"cHRM", b"cICP", b"gAMA", b"iCCP", b"mDCV", b"cLLI", b"sBIT", b"sRGB", b"tEXt", b"zTXt", b"iTXt",
    b"bKGD", b"hIST", b"pHYs", b"sPLT", b"eXIf", b"tIME", b"oFFs", b"vpAg", b"caBX", b"prIv",
];

fn indexed_png() -> Vec<u8> {
    let indices: Vec<u8> = rgba(64, 50, QUARTERS)
        .chunks_exact(4)
        .map(|pixel| QUARTERS.iter().position(|color| color == pixel).expect("a quarter") as u8)
        .collect();
    png((64, 50), ColorType::Indexed, BitDepth::Eight, &indices, |encoder| {
        encoder.set_palette(QUARTERS.iter().flat_map(|color| color[..3].to_vec()).collect::<Vec<_>>());
    })
}

fn kinds() -> [Vec<u8>; 4] {
    let deep: Vec<u8> = rgb(64, 50).iter().flat_map(|&value| [value, 0]).collect();
    let deep = png((64, 50), ColorType::Rgb, BitDepth::Sixteen, &deep, |_| {});
    [indexed_png(), rgba_png(64, 50, QUARTERS), deep, interlaced_png(64, 50)]
}

/// Returns the position of a chunk.
fn position(file: &[u8], name: &[u8; 4]) -> Option<usize> {
    Some(file.windows(4).position(|window| window == name)? - 4)
}

fn insert(file: &[u8], at: usize, chunk: &[u8]) -> Vec<u8> {
    [&file[..at], chunk, &file[at..]].concat()
}

fn thumbnails(file: &[u8]) -> Vec<Vec<u8>> {
    run(file).expect("accepted").1.thumbnails.into_iter().map(|made| made.bytes).collect()
}

#[test]
fn no_ancillary_chunk_prevents_decoding() {
    let noise = noise(5000);
    for file in kinds() {
        let expected = thumbnails(&file);
        let places = [Some(33), position(&file, b"IDAT"), position(&file, b"IEND")];
        for name in ANCILLARY {
            for body in [&b""[..], &[0], &noise[..4], &noise[..26], &noise] {
                let chunk = png_chunk(name, body);
                let mut damaged = chunk.clone();
                if let Some(last) = damaged.last_mut() {
                    *last ^= 1;
                }
                for at in places.into_iter().flatten() {
                    for chunk in [&chunk, &damaged, &[&chunk[..], &chunk[..]].concat()] {
                        let result = run(&insert(&file, at, chunk));
                        let name = String::from_utf8_lossy(name);
                        let Ok((_, shown)) = result else { panic!("{name} of {} bytes at {at}: {result:?}", body.len()) };
                        // An intact colour chunk may change the colours.
                        let colors = ["gAMA", "cHRM", "cICP"].contains(&&*name);
                        let same = shown.thumbnails.iter().zip(&expected).all(|(made, expected)| made.bytes == *expected);
                        assert!(same || colors, "{name} of {} bytes at {at} changes pixels", body.len());
                    }
                }
            }
        }
    }
}

#[test]
fn chunks_that_fail_in_other_decoders_are_ignored() {
    let file = indexed_png();
    let expected = thumbnails(&file);
    let rest = [[9, 16, 9, 1], [9, 16, 0, 2], [9, 16, 0, 0]].map(|body| png_chunk(b"cICP", &body));
    for chunk in rest.into_iter().chain([png_chunk(b"bKGD", &[0])]) {
        assert_eq!(thumbnails(&insert(&file, 33, &chunk)), expected);
    }
    // A chunk between two parts of the image data, and one that would inflate to gigabytes.
    let data = position(&file, b"IDAT").expect("image data");
    let length = u32::from_be_bytes(file[data..data + 4].try_into().expect("four bytes")) as usize;
    let (start, end) = (data + 8, data + 8 + length);
    let half = start + length / 2;
    let parts = [png_chunk(b"IDAT", &file[start..half]), png_chunk(b"tIME", b"x"), png_chunk(b"IDAT", &file[half..end])];
    assert_eq!(thumbnails(&[&file[..data], &parts.concat(), &file[end + 4..]].concat()), expected);
}

#[test]
fn a_suggested_palette_is_ignored() {
    let file = rgba_png(64, 50, QUARTERS);
    for body in [&b""[..], &[1, 2], &[7; 999]] {
        assert_eq!(thumbnails(&insert(&file, 33, &png_chunk(b"PLTE", body))), thumbnails(&file));
    }
}

#[test]
fn only_an_intact_transparency_chunk_applies() {
    let file = indexed_png();
    let (palette, data) = (position(&file, b"PLTE").expect("a palette"), position(&file, b"IDAT").expect("data"));
    let clear = png_chunk(b"tRNS", &[0, 0, 0, 0]);
    assert!(run(&insert(&file, data, &clear)).expect("accepted").1.metadata.has_alpha);
    let mut damaged = clear.clone();
    damaged[13] ^= 1;
    let end = position(&file, b"IEND").expect("an end");
    for (at, chunk) in [
        (palette, &clear),
        (data, &damaged),
        (end, &clear),
        (data, &png_chunk(b"tRNS", &[0; 999])),
        (data, &png_chunk(b"tRNS", b"")),
    ] {
        let (_, processed) = run(&insert(&file, at, chunk)).expect("accepted");
        assert!(!processed.metadata.has_alpha);
        assert_eq!(pixel_at(&processed.thumbnails[0], 0.2, 0.2)[3], 255);
    }
    for body in [&b"\0"[..], b"\0\0", b"\0\0\0", b"\0\0\0\0\0\0\0"] {
        for file in kinds() {
            let data = position(&file, b"IDAT").expect("data");
            run(&insert(&file, data, &png_chunk(b"tRNS", body))).expect("accepted");
        }
    }
}

#[test]
fn damaged_exif_is_ignored() {
    let turned = png_chunk(b"eXIf", &exif(6, &[], &[]));
    let mut damaged = turned.clone();
    damaged[20] ^= 1;
    let file = rgba_png(64, 50, QUARTERS);
    assert_eq!(run(&insert(&file, 33, &turned)).expect("accepted").0.orientation, 6);
    assert_eq!(run(&insert(&file, 33, &damaged)).expect("accepted").0.orientation, 1);
}

#[test]
fn a_png_may_lack_iend_but_no_image_data() {
    for file in kinds() {
        let expected = thumbnails(&file);
        let end = file.len() - 12;
        for length in end..file.len() {
            assert_eq!(thumbnails(&file[..length]), expected, "{} of 12 bytes", length - end);
        }
        let mut wrong = file.clone();
        wrong[end + 11] ^= 1;
        assert_eq!(thumbnails(&wrong), expected);
        for length in (end - 40)..end {
            assert_eq!(run(&file[..length]).unwrap_err(), Error::corrupt("the PNG data ends too early"), "{length} of {end}");
        }
        // Other data in place of IEND is not accepted as its start.
        let other = [&file[..end], b"\0\0\0\0JUNK"].concat();
        assert!(matches!(run(&other), Err(Error::Corrupt { .. })));
        let cut = [&file[..end], &png_chunk(b"tEXt", b"cut off")[..15]].concat();
        assert_eq!(run(&cut).unwrap_err(), Error::corrupt("the PNG data ends too early"));
    }
}

#[test]
fn an_animated_png_without_iend_must_have_all_frames() {
    let file = animated_png(3);
    assert_eq!(run(&file[..file.len() - 5]).expect("accepted").1.metadata.frames, 3);
    let last = file.windows(4).rposition(|window| window == b"fcTL").expect("a frame") - 4;
    for length in [last, last + 7, last + 20] {
        assert_eq!(run(&file[..length]).unwrap_err(), Error::corrupt("the PNG data ends too early"));
    }
}

fn animated_png(frames: u32) -> Vec<u8> {
    let pixels = rgba(64, 64, QUARTERS);
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(ColorType::Rgba);
    encoder.set_animated(frames, 0).expect("an animation");
    let mut writer = encoder.write_header().expect("a header");
    for _ in 0..frames {
        writer.write_image_data(&pixels).expect("a frame");
    }
    writer.finish().expect("an end");
    file
}

/// Builds an animation whose default image, in one colour, is not a frame. The frames show the quarters, the first one at this
/// position.
fn animated_beside_default(color: ColorType, depth: BitDepth, at: (u32, u32), size: (u32, u32), frames: u32) -> Vec<u8> {
    let samples = |pixels: Vec<u8>| -> Vec<u8> {
        let (channels, wide) = (color.samples(), depth == BitDepth::Sixteen);
        let pixels = pixels.chunks_exact(4).flat_map(|pixel| match channels {
            1 => vec![pixel[0]],
            2 => vec![pixel[0], pixel[3]],
            channels => pixel[..channels].to_vec(),
        });
        pixels.flat_map(|sample| std::iter::repeat_n(sample, if wide { 2 } else { 1 })).collect()
    };
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, 100, 80);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_animated(frames, 0).expect("an animation");
    encoder.set_sep_def_img(true).expect("a default image");
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&samples(rgba(100, 80, [[90, 90, 90, 255]; 4]))).expect("the default image");
    for frame in 0..frames {
        let (at, size) = if frame == 0 { (at, size) } else { ((0, 0), (100, 80)) };
        writer.set_frame_position(0, 0).expect("a place");
        writer.set_frame_dimension(size.0, size.1).expect("a size");
        writer.set_frame_position(at.0, at.1).expect("a place");
        writer.write_image_data(&samples(rgba(size.0, size.1, QUARTERS))).expect("a frame");
    }
    writer.finish().expect("an end");
    file
}

#[test]
fn the_first_frame_is_shown_if_the_default_image_is_not_a_frame() {
    for (color, depth) in [
        (ColorType::Rgb, BitDepth::Eight),
        (ColorType::Rgba, BitDepth::Eight),
        (ColorType::Grayscale, BitDepth::Eight),
        (ColorType::GrayscaleAlpha, BitDepth::Eight),
        (ColorType::Rgb, BitDepth::Sixteen),
    ] {
        let grey = color.samples() < 3;
        let expected = QUARTERS.map(|[red, green, blue, _]| if grey { [red, red, red, 255] } else { [red, green, blue, 255] });
        let file = animated_beside_default(color, depth, (0, 0), (100, 80), 3);
        let (header, processed) = run(&file).expect("accepted");
        assert_eq!((header.width, header.height), (100, 80));
        assert_eq!((processed.metadata.frames, processed.metadata.animated), (3, true));
        assert_eq!(processed.metadata.has_alpha, color.samples() % 2 == 0);
        for ((across, down), color) in formats::CORNERS.into_iter().zip(expected) {
            for thumbnail in &processed.thumbnails {
                let pixel = pixel_at(thumbnail, across, down);
                assert!(close(pixel, color), "{pixel:?}, not {color:?}");
            }
        }
        assert!(!processed.colors.contains(&Color([90, 90, 90])));
        // A part of the canvas; the rest is transparent.
        let file = animated_beside_default(color, depth, (50, 40), (40, 20), 1);
        let (_, processed) = run(&file).expect("accepted");
        assert_eq!((processed.metadata.frames, processed.metadata.animated, processed.metadata.has_alpha), (1, false, true));
        let thumbnail = &processed.thumbnails[1];
        assert_eq!(pixel_at(thumbnail, 0.25, 0.25)[3], 0);
        assert_eq!(pixel_at(thumbnail, 0.95, 0.55)[3], 0);
        assert_eq!(pixel_at(thumbnail, 0.6, 0.8)[3], 0);
        for ((across, down), color) in [(0.6, 0.55), (0.8, 0.55), (0.6, 0.69), (0.8, 0.69)].into_iter().zip(expected) {
            let pixel = pixel_at(thumbnail, across, down);
            assert!(close(pixel, color), "{pixel:?}, not {color:?}");
        }
    }
}

#[test]
fn renderings_and_pixels_also_use_the_first_frame() {
    let file = animated_beside_default(ColorType::Rgb, BitDepth::Eight, (0, 0), (100, 80), 2);
    let wanted = Rendering { width: 100, height: 80, crop: false, format: Format::Png, quality: 80 };
    let header = inspect_stored(&file, &Limits::default(), &wanted).expect("a header");
    let made = render(&file, &header, &Limits::default(), &wanted).expect("an image");
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(&made)).read_info().expect("a PNG");
    let row = reader.next_row().expect("a row").expect("a row").data().to_vec();
    assert_eq!(row[..3], RED[..3]);
    let header = inspect_for_pixels(&file, &Limits::default(), 80).expect("a header");
    let shown = super::super::pixels(&file, &header, &Limits::default()).expect("pixels");
    assert_eq!((shown.width, shown.height, &shown.pixels[..3]), (100, 80, &RED[..3]));
}

#[test]
fn the_default_image_and_the_first_frame_are_both_verified() {
    let file = animated_beside_default(ColorType::Rgb, BitDepth::Eight, (10, 10), (60, 50), 2);
    let start = |name: &[u8; 4]| position(&file, name).expect("a chunk") + 4;
    let (data, frame) = (start(b"IDAT"), start(b"fdAT"));
    for at in [data, frame] {
        let length = u32::from_be_bytes(file[at - 4..at].try_into().expect("four bytes")) as usize;
        for damaged_at in [at + 4 + length / 2, at + 4 + length - 1, at + 4 + length] {
            let mut damaged = file.clone();
            damaged[damaged_at] ^= 1;
            assert!(matches!(run(&damaged), Err(Error::Corrupt { .. })), "{damaged_at} of {}", file.len());
        }
    }
    for length in (frame + 8)..file.len() - 12 {
        assert!(matches!(run(&file[..length]), Err(Error::Corrupt { .. })), "{length} of {}", file.len());
    }
}

#[test]
fn an_invalid_animation_shows_its_default_image() {
    let file = animated_beside_default(ColorType::Rgb, BitDepth::Eight, (10, 10), (60, 50), 1);
    let control = position(&file, b"fcTL").expect("a frame");
    let animation = position(&file, b"acTL").expect("an animation");
    let with = |at: usize, body: &[u8], name: &[u8; 4]| {
        let length = u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
        [&file[..at], &png_chunk(name, body), &file[at + 12 + length..]].concat()
    };
    let body = &file[control + 8..control + 34];
    let changed = |at: usize, value: u8| {
        let mut body = body.to_vec();
        body[at] = value;
        with(control, &body, b"fcTL")
    };
    let mut unchecked = file.clone();
    unchecked[control + 35] ^= 1;
    for file in [
        changed(3, 1),
        changed(7, 0),
        changed(7, 91),
        changed(11, 0),
        changed(12, 255),
        changed(24, 3),
        changed(25, 2),
        with(control, &body[..25], b"fcTL"),
        with(control, b"", b"prIv"),
        with(animation, &[0; 8], b"acTL"),
        with(animation, &[255; 8], b"acTL"),
        with(animation, b"", b"prIv"),
        unchecked,
    ] {
        let (_, processed) = run(&file).expect("accepted");
        assert!(close(pixel_at(&processed.thumbnails[1], 0.2, 0.2), [90, 90, 90, 255]));
        assert!(!processed.metadata.animated);
    }
}

#[test]
fn an_interlaced_animated_png_is_rejected_or_shown_but_never_panics() {
    // The header wrongly says interlaced. Whatever the result, it is not a panic.
    let mut file = animated_beside_default(ColorType::Rgb, BitDepth::Eight, (10, 10), (60, 50), 1);
    file[28] = 1;
    let ihdr = png_chunk(b"IHDR", &file[16..29]);
    file.splice(8..33, ihdr);
    assert!(!matches!(run(&file), Err(Error::Internal { .. })));
    let still = interlaced_png(64, 50);
    let data = position(&still, b"IDAT").expect("data");
    let end = position(&still, b"IEND").expect("an end");
    let control = [&[0; 4][..], &64u32.to_be_bytes(), &50u32.to_be_bytes(), &[0; 8], &[0, 1, 0, 1], &[0, 0]].concat();
    let frame = [&[0, 0, 0, 1], &still[data + 8..end - 4]].concat();
    let chunks = [png_chunk(b"fcTL", &control), png_chunk(b"fdAT", &frame)].concat();
    let announced = png_chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]);
    let file = [&still[..data], &announced, &still[data..end], &chunks, &still[end..]].concat();
    assert_eq!(thumbnails(&file), thumbnails(&still));
}

#[test]
fn transparency_beyond_the_palette_is_dropped() {
    let file = indexed_png();
    let data = position(&file, b"IDAT").expect("data");
    for count in [4, 5, 200, 256] {
        let mut entries = vec![7; count];
        entries[..4].copy_from_slice(&[255, 0, 255, 255]);
        for extra in [&b""[..], &png_chunk(b"tIME", b"x"), &png_chunk(b"prIv", b"")] {
            let chunks = [extra, &png_chunk(b"tRNS", &entries), extra].concat();
            let (_, processed) = run(&insert(&file, data, &chunks)).expect("accepted");
            assert!(processed.metadata.has_alpha, "{count}");
            let alpha = [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)]
                .map(|(across, down)| pixel_at(&processed.thumbnails[0], across, down)[3]);
            assert_eq!(alpha, [255, 0, 255, 255], "{count}");
        }
    }
}

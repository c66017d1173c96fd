//! PNG beyond its pixels: whatever stands beside them, the picture is shown, and whatever of them is damaged is refused.

use super::pictures::*;
use super::*;
use ::png::{BitDepth, ColorType};

/// Every ancillary chunk of the third edition and its extensions, but tRNS, which is part of the picture.
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

/// Where a chunk begins.
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
fn an_ancillary_chunk_never_refuses_a_picture() {
    let noise = noise(5000);
    for file in kinds() {
        let expected = thumbnails(&file);
        let places = [Some(33), position(&file, b"IDAT"), position(&file, b"IEND")];
        for name in ANCILLARY {
            for body in
                [&b""[..], &[0], &noise[..3], &noise[..4], &noise[..8], &noise[..26], &noise[..32], &noise, &[255; 26], &[0; 26]]
            {
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
                        // Colours may change what is shown, when their chunk is sound.
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
fn chunks_that_other_decoders_stumble_over_are_overlooked() {
    let file = indexed_png();
    let expected = thumbnails(&file);
    let rest = [[9, 16, 9, 1], [9, 16, 0, 2], [9, 16, 0, 0]].map(|body| png_chunk(b"cICP", &body));
    for chunk in rest.into_iter().chain([png_chunk(b"bKGD", &[0])]) {
        assert_eq!(thumbnails(&insert(&file, 33, &chunk)), expected);
    }
    // A chunk between two parts of the picture data, and one that would inflate to gigabytes.
    let data = position(&file, b"IDAT").expect("picture data");
    let length = u32::from_be_bytes(file[data..data + 4].try_into().expect("four bytes")) as usize;
    let (start, end) = (data + 8, data + 8 + length);
    let half = start + length / 2;
    let parts = [png_chunk(b"IDAT", &file[start..half]), png_chunk(b"tIME", b"x"), png_chunk(b"IDAT", &file[half..end])];
    assert_eq!(thumbnails(&[&file[..data], &parts.concat(), &file[end + 4..]].concat()), expected);
}

#[test]
fn a_palette_that_is_only_a_suggestion_is_overlooked() {
    let file = rgba_png(64, 50, QUARTERS);
    for body in [&b""[..], &[1, 2], &[7; 999]] {
        assert_eq!(thumbnails(&insert(&file, 33, &png_chunk(b"PLTE", body))), thumbnails(&file));
    }
}

#[test]
fn transparency_counts_only_where_it_is_sound() {
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
fn damaged_exif_says_nothing() {
    let turned = png_chunk(b"eXIf", &exif(6, &[], &[]));
    let mut damaged = turned.clone();
    damaged[20] ^= 1;
    let file = rgba_png(64, 50, QUARTERS);
    assert_eq!(run(&insert(&file, 33, &turned)).expect("accepted").0.orientation, 6);
    assert_eq!(run(&insert(&file, 33, &damaged)).expect("accepted").0.orientation, 1);
}

#[test]
fn a_png_may_lack_its_end_but_no_byte_of_its_picture() {
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
        // What stands in place of the end is none of it.
        let other = [&file[..end], b"\0\0\0\0JUNK"].concat();
        assert!(matches!(run(&other), Err(Error::Corrupt { .. })));
        let cut = [&file[..end], &png_chunk(b"tEXt", b"cut off")[..15]].concat();
        assert_eq!(run(&cut).unwrap_err(), Error::corrupt("the PNG data ends too early"));
    }
}

#[test]
fn an_animated_png_without_its_end_must_have_all_its_frames() {
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

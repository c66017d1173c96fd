//! The colour space of a PNG without a profile. The expected values were read from the canvas of Debian's Chromium 156
//! (headless, `--force-color-profile=srgb`).

use super::test_images::*;
use super::*;
use ::png::{BitDepth, ColorType};

/// 16-bit greys, primaries and mixtures.
const COLORS: [[u16; 3]; 12] = [
    [6168, 6168, 6168],
    [23130, 23130, 23130],
    [38550, 38550, 38550],
    [46260, 46260, 46260],
    [43690, 0, 0],
    [0, 35980, 0],
    [0, 0, 41120],
    [46260, 23130, 11565],
    [11136, 33410, 16705],
    [38550, 25700, 51400],
    [41120, 41120, 20560],
    [65535, 65535, 65535],
];

const SWAPPED: [u32; 8] = [31_270, 32_900, 30_000, 60_000, 64_000, 33_000, 15_000, 6000];
const P3: [u32; 8] = [31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6000];
const ADOBE: [u32; 8] = [31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6000];
const D50: [u32; 8] = [34_570, 35_850, 64_000, 33_000, 30_000, 60_000, 15_000, 6000];
const SRGB: [u32; 8] = [31_269, 32_899, 63_999, 33_001, 30_000, 60_000, 15_000, 5999];

fn cicp(primaries: u8, curve: u8) -> Vec<u8> {
    png_chunk(b"cICP", &[primaries, curve, 0, 1])
}

fn gamma(gamma: u32) -> Vec<u8> {
    png_chunk(b"gAMA", &gamma.to_be_bytes())
}

fn chromaticities(stated: [u32; 8]) -> Vec<u8> {
    png_chunk(b"cHRM", &stated.map(u32::to_be_bytes).concat())
}

fn content(nits: u32) -> Vec<u8> {
    png_chunk(b"cLLI", &[nits * 10_000, 1_000_000].map(u32::to_be_bytes).concat())
}

fn mastering(nits: u32) -> Vec<u8> {
    png_chunk(b"mDCV", &[&[1; 16][..], &[nits * 10_000, 1].map(u32::to_be_bytes).concat()].concat())
}

fn profile(profile: &moxcms::ColorProfile) -> Vec<u8> {
    let profile = profile.encode().expect("a profile");
    png_chunk(b"iCCP", &[b"a name\0\0", &profiles::deflated(&profile)[..]].concat())
}

/// Builds a PNG with a row of each colour, after these chunks.
fn draw(depth: BitDepth, chunks: &[Vec<u8>]) -> Vec<u8> {
    let data: Vec<u8> = COLORS.iter().flat_map(|color| (0..8).flat_map(|_| color.map(u16::to_be_bytes))).flatten().collect();
    let data: Vec<u8> = if depth == BitDepth::Sixteen { data } else { data.iter().step_by(2).copied().collect() };
    let file = png((8, COLORS.len() as u32), ColorType::Rgb, depth, &data, |_| {});
    [&file[..33], &chunks.concat(), &file[33..]].concat()
}

/// Returns the rows of a three-channel image, rendered at its own size.
fn rendered(file: &[u8]) -> Vec<Vec<u8>> {
    let header = inspect(file, &tiny()).expect("a header");
    let wanted = Rendering { width: header.width, height: header.height, crop: false, format: Format::Png, quality: 80 };
    let header = inspect_stored(file, &tiny(), &wanted).expect("a header");
    let made = render(file, &header, &tiny(), &wanted).expect("an image");
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(&made)).read_info().expect("a PNG");
    std::iter::from_fn(|| reader.next_row().expect("a row").map(|row| row.data().to_vec())).collect()
}

/// Returns the first pixel of each row.
fn first_pixels(file: &[u8]) -> Vec<[u8; 3]> {
    rendered(file).iter().map(|row| [row[0], row[1], row[2]]).collect()
}

/// Returns the largest difference of any channel.
fn difference(seen: &[[u8; 3]], expected: &[[u8; 3]]) -> u8 {
    let channels = seen.iter().flatten().zip(expected.iter().flatten());
    channels.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or_default()
}

/// The chunks that state the colour space, and the expected colours.
type Case = (Vec<Vec<u8>>, [[u8; 3]; 12]);

#[track_caller]
fn assert_all_seen(cases: &[Case], tolerance: u8) {
    for (chunks, expected) in cases {
        // In 8 bits, only colours whose lower byte repeats the upper one are the same.
        for (depth, count) in [(BitDepth::Sixteen, 12), (BitDepth::Eight, 7)] {
            let seen = first_pixels(&draw(depth, chunks));
            let difference = difference(&seen[..count], &expected[..count]);
            assert!(difference <= tolerance, "{chunks:?} {depth:?}: {seen:?}, not {expected:?}");
        }
    }
}

#[rustfmt::skip]
#[test]
fn hdr_is_tone_mapped_as_in_chromium() {
    let cases: [Case; 11] = [
        (vec![cicp(9, 16)], [[2, 2, 2], [61, 61, 61], [193, 193, 193], [242, 242, 242], [255, 0, 0], [0, 173, 0], [0, 0, 224], [255, 0, 0], [0, 145, 0], [119, 0, 255], [220, 214, 0], [255, 255, 255]]),
        (vec![cicp(12, 16)], [[2, 2, 2], [61, 61, 61], [193, 193, 193], [242, 242, 242], [255, 0, 0], [0, 166, 0], [0, 0, 223], [255, 0, 0], [0, 140, 0], [123, 34, 255], [214, 214, 0], [255, 255, 255]]),
        (vec![cicp(1, 16)], [[2, 2, 2], [61, 61, 61], [193, 193, 193], [242, 242, 242], [255, 0, 0], [0, 163, 0], [0, 0, 219], [255, 52, 10], [12, 137, 31], [118, 43, 255], [214, 214, 44], [255, 255, 255]]),
        (vec![cicp(9, 18)], [[7, 7, 7], [66, 66, 66], [122, 122, 122], [166, 166, 166], [167, 0, 0], [0, 114, 0], [0, 0, 110], [186, 49, 17], [0, 103, 41], [130, 70, 191], [138, 135, 50], [255, 255, 255]]),
        (vec![cicp(1, 18)], [[7, 7, 7], [66, 66, 66], [122, 122, 122], [166, 166, 166], [130, 0, 0], [0, 108, 0], [0, 0, 106], [152, 70, 33], [31, 99, 49], [119, 78, 183], [135, 135, 66], [255, 255, 255]]),
        (vec![cicp(9, 16), content(4000), mastering(400)], [[2, 2, 2], [61, 61, 61], [193, 193, 193], [217, 217, 217], [255, 0, 0], [0, 173, 0], [0, 0, 213], [255, 0, 0], [0, 145, 0], [107, 0, 243], [208, 203, 0], [255, 255, 255]]),
        (vec![cicp(9, 16), content(400), mastering(4000)], [[4, 4, 4], [77, 77, 77], [235, 235, 235], [255, 255, 255], [255, 0, 0], [0, 212, 0], [0, 0, 255], [255, 0, 0], [0, 178, 0], [119, 0, 255], [255, 250, 0], [255, 255, 255]]),
        (vec![cicp(9, 16), content(0), mastering(4000)], [[2, 2, 2], [61, 61, 61], [193, 193, 193], [217, 217, 217], [255, 0, 0], [0, 173, 0], [0, 0, 213], [255, 0, 0], [0, 145, 0], [107, 0, 243], [208, 203, 0], [255, 255, 255]]),
        (vec![cicp(9, 16), content(100)], [[4, 4, 4], [86, 86, 86], [255, 255, 255], [255, 255, 255], [255, 0, 0], [0, 236, 0], [0, 0, 255], [255, 0, 0], [0, 198, 0], [255, 0, 255], [255, 255, 0], [255, 255, 255]]),
        (vec![cicp(9, 16), content(20_000)], [[2, 2, 2], [61, 61, 61], [194, 194, 194], [202, 202, 202], [255, 0, 0], [0, 173, 0], [0, 0, 226], [252, 0, 0], [0, 145, 0], [96, 0, 219], [222, 216, 0], [241, 241, 241]]),
        (vec![cicp(9, 18), content(4000)], [[7, 7, 7], [66, 66, 66], [122, 122, 122], [166, 166, 166], [167, 0, 0], [0, 114, 0], [0, 0, 110], [186, 49, 17], [0, 103, 41], [130, 70, 191], [138, 135, 50], [225, 225, 225]]),
    ];
    assert_all_seen(&cases, 1);
}

#[rustfmt::skip]
#[test]
fn stated_colour_spaces_are_shown_as_in_chromium() {
    let cases: [Case; 16] = [
        (vec![gamma(100_000)], [[86, 86, 86], [160, 160, 160], [202, 202, 202], [219, 219, 219], [213, 0, 0], [0, 196, 0], [0, 0, 208], [219, 160, 117], [114, 189, 138], [202, 168, 229], [208, 208, 152], [255, 255, 255]]),
        (vec![gamma(62_500)], [[42, 42, 42], [120, 120, 120], [175, 175, 175], [199, 199, 199], [191, 0, 0], [0, 166, 0], [0, 0, 183], [199, 120, 71], [68, 158, 94], [175, 130, 215], [183, 183, 110], [255, 255, 255]]),
        (vec![gamma(100_000), chromaticities(SWAPPED)], [[86, 86, 86], [160, 160, 160], [202, 202, 202], [219, 219, 219], [0, 213, 0], [196, 0, 0], [0, 0, 208], [160, 219, 117], [189, 114, 138], [168, 202, 229], [207, 208, 152], [255, 255, 255]]),
        (vec![gamma(45_455), chromaticities(P3)], [[17, 17, 17], [90, 90, 90], [151, 151, 151], [181, 181, 181], [188, 0, 0], [0, 144, 0], [0, 0, 168], [195, 83, 20], [0, 133, 53], [160, 97, 208], [161, 161, 64], [255, 255, 255]]),
        (vec![gamma(45_470), chromaticities(ADOBE)], [[17, 17, 17], [90, 90, 90], [151, 151, 151], [181, 181, 181], [199, 0, 0], [0, 141, 0], [0, 0, 165], [205, 90, 37], [0, 131, 58], [167, 100, 204], [161, 161, 73], [255, 255, 255]]),
        (vec![gamma(45_455), chromaticities(D50)], [[17, 17, 17], [90, 90, 90], [151, 151, 151], [181, 181, 181], [179, 7, 13], [0, 141, 21], [0, 0, 159], [188, 91, 47], [1, 131, 66], [154, 100, 199], [162, 162, 84], [255, 255, 255]]),
        (vec![cicp(12, 13)], [[24, 24, 24], [90, 90, 90], [150, 150, 150], [180, 180, 180], [186, 0, 0], [0, 143, 0], [0, 0, 167], [193, 83, 28], [0, 132, 56], [159, 97, 206], [160, 160, 65], [255, 255, 255]]),
        (vec![cicp(1, 1)], [[11, 11, 11], [81, 81, 81], [144, 144, 144], [176, 176, 176], [165, 0, 0], [0, 134, 0], [0, 0, 155], [176, 81, 33], [31, 123, 55], [144, 91, 197], [155, 155, 70], [255, 255, 255]]),
        (vec![cicp(9, 14)], [[11, 11, 11], [81, 81, 81], [144, 144, 144], [176, 176, 176], [208, 0, 0], [0, 142, 0], [0, 0, 163], [214, 56, 4], [0, 130, 41], [162, 80, 205], [159, 155, 49], [255, 255, 255]]),
        (vec![cicp(1, 8)], [[86, 86, 86], [160, 160, 160], [202, 202, 202], [219, 219, 219], [213, 0, 0], [0, 196, 0], [0, 0, 208], [219, 160, 117], [114, 189, 138], [202, 168, 229], [208, 208, 152], [255, 255, 255]]),
        (vec![cicp(11, 17)], [[8, 8, 8], [76, 76, 76], [143, 143, 143], [177, 177, 177], [177, 0, 0], [0, 134, 0], [0, 0, 161], [187, 68, 0], [0, 123, 38], [149, 83, 207], [154, 155, 46], [255, 255, 255]]),
        (vec![cicp(5, 5)], [[4, 4, 4], [66, 66, 66], [131, 131, 131], [165, 165, 165], [157, 0, 0], [0, 120, 7], [0, 0, 141], [168, 66, 23], [1, 109, 42], [133, 76, 188], [142, 142, 58], [255, 255, 255]]),
        (vec![cicp(6, 6)], [[11, 11, 11], [81, 81, 81], [144, 144, 144], [176, 176, 176], [161, 19, 0], [28, 132, 0], [11, 16, 155], [172, 83, 32], [42, 121, 54], [143, 96, 197], [154, 154, 69], [255, 255, 255]]),
        (vec![gamma(45_455), chromaticities([0; 8])], [[24, 24, 24], [90, 90, 90], [150, 150, 150], [180, 180, 180], [170, 0, 0], [0, 140, 0], [0, 0, 160], [180, 90, 45], [43, 130, 65], [150, 100, 200], [160, 160, 80], [255, 255, 255]]),
        (vec![png_chunk(b"cICP", &[9, 16, 0, 0])], [[24, 24, 24], [90, 90, 90], [150, 150, 150], [180, 180, 180], [170, 0, 0], [0, 140, 0], [0, 0, 160], [180, 90, 45], [43, 130, 65], [150, 100, 200], [160, 160, 80], [255, 255, 255]]),
        (vec![cicp(2, 2)], [[24, 24, 24], [90, 90, 90], [150, 150, 150], [180, 180, 180], [170, 0, 0], [0, 140, 0], [0, 0, 160], [180, 90, 45], [43, 130, 65], [150, 100, 200], [160, 160, 80], [255, 255, 255]]),
    ];
    assert_all_seen(&cases, 1);
}

#[test]
fn stated_srgb_changes_no_byte_and_costs_nothing() {
    for depth in [BitDepth::Eight, BitDepth::Sixteen] {
        let plain = run_within(&draw(depth, &[]), &tiny()).expect("accepted").1;
        for chunks in [
            vec![gamma(45_455)],
            vec![gamma(45_450), chromaticities(SRGB)],
            vec![png_chunk(b"sRGB", &[0]), gamma(45_455), chromaticities(SRGB)],
            vec![cicp(1, 13)],
            // Primaries that moxcms cannot compute with.
            vec![cicp(10, 17)],
            vec![chromaticities(P3)],
            vec![gamma(0)],
            vec![gamma(u32::MAX)],
            vec![profile(&moxcms::ColorProfile::new_srgb())],
        ] {
            let file = draw(depth, &chunks);
            let header = inspect(&file, &tiny()).expect("a header");
            let Kind::Png(png) = &header.kind else { panic!("a PNG") };
            let free = header.profile.is_none() && png.colors_16bit.is_none();
            assert!(free || file.windows(4).any(|window| window == b"iCCP"), "{chunks:?} costs something");
            let shown = run_within(&file, &tiny()).expect("accepted").1;
            assert!(shown.thumbnails.iter().zip(&plain.thumbnails).all(|(a, b)| a.bytes == b.bytes), "{chunks:?}");
        }
    }
}

/// Each chunk states another colour space; sRGB means no conversion.
#[test]
fn the_colour_chunk_with_the_highest_precedence_applies() {
    let stated = [
        vec![cicp(9, 14)],
        vec![profile(&moxcms::ColorProfile::new_adobe_rgb())],
        vec![png_chunk(b"sRGB", &[0])],
        vec![gamma(100_000), chromaticities(SWAPPED)],
    ];
    let useless = [
        vec![png_chunk(b"cICP", &[9, 14, 1, 1])],
        vec![png_chunk(b"iCCP", b"a name\0\0no profile")],
        vec![png_chunk(b"sRGB", b"")],
        vec![png_chunk(b"gAMA", b"")],
    ];
    for depth in [BitDepth::Eight, BitDepth::Sixteen] {
        let alone: Vec<_> = stated.iter().map(|chunks| first_pixels(&draw(depth, chunks))).collect();
        let plain = first_pixels(&draw(depth, &[]));
        for (index, one) in alone.iter().enumerate() {
            assert!(alone[index + 1..].iter().all(|other| other != one), "{index} differs from the others");
        }
        for present in 0..16usize {
            let is_there = |index: &usize| present >> index & 1 == 1;
            let expected = (0..4).find(is_there).map_or(&plain, |first| &alone[first]);
            let forwards: Vec<_> = (0..4).filter(is_there).flat_map(|index| stated[index].clone()).collect();
            let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
            let others = |index: usize| if is_there(&index) { stated[index].clone() } else { useless[index].clone() };
            for chunks in [forwards, backwards, (0..4).flat_map(others).collect()] {
                assert_eq!(&first_pixels(&draw(depth, &chunks)), expected, "{present:04b}");
            }
        }
    }
}

#[test]
fn only_the_first_colour_chunk_before_the_image_data_applies() {
    let plain = draw(BitDepth::Eight, &[]);
    let data = plain.windows(4).position(|window| window == b"IDAT").expect("data") - 4;
    let end = plain.len() - 12;
    for chunk in [gamma(100_000), cicp(9, 16), profile(&moxcms::ColorProfile::new_adobe_rgb())] {
        let late = [&plain[..end], &chunk, &plain[end..]].concat();
        assert_eq!(first_pixels(&late), first_pixels(&plain));
        let early = [&plain[..data], &chunk, &plain[data..]].concat();
        assert_ne!(first_pixels(&early), first_pixels(&plain));
        let mut damaged = chunk.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(first_pixels(&[&plain[..data], &damaged, &plain[data..]].concat()), first_pixels(&plain));
    }
    let twice = draw(BitDepth::Eight, &[gamma(100_000), gamma(62_500)]);
    assert_eq!(first_pixels(&twice), first_pixels(&draw(BitDepth::Eight, &[gamma(100_000)])));
}

#[test]
fn greys_palettes_and_alpha_are_converted_too() {
    let chunk = gamma(100_000);
    let insert = |file: &[u8]| [&file[..33], &chunk, &file[33..]].concat();
    for (depth, wide) in [(BitDepth::Eight, 1), (BitDepth::Sixteen, 2)] {
        for (value, expected) in [(3u8, 28u8), (56, 130), (145, 199)] {
            for (color, pixel) in [
                (ColorType::Grayscale, vec![value]),
                (ColorType::GrayscaleAlpha, vec![value, 128]),
                (ColorType::Rgba, vec![value, value, value, 128]),
            ] {
                let pixel: Vec<u8> = pixel.into_iter().flat_map(|sample| std::iter::repeat_n(sample, wide)).collect();
                let file = insert(&png((60, 50), color, depth, &pixel.repeat(3000), |_| {}));
                let shown = pixel_at(&run(&file).expect("accepted").1.thumbnails[0], 0.5, 0.5);
                let near = shown[..3].iter().all(|&channel| channel.abs_diff(expected) <= 3);
                assert!(near, "{color:?} {depth:?} {value}: {shown:?}, not {expected}");
                assert_eq!(shown[3] < 255, color != ColorType::Grayscale);
            }
        }
    }
    let indexed = png((60, 50), ColorType::Indexed, BitDepth::Eight, &[0; 3000], |encoder| encoder.set_palette(vec![56; 3]));
    let shown = pixel_at(&run(&insert(&indexed)).expect("accepted").1.thumbnails[0], 0.5, 0.5);
    assert!(shown[0].abs_diff(130) <= 2, "{shown:?}");
}

/// Reduced to 8 bits before the conversion, linear light has one level for the 13 darkest of sRGB.
#[test]
fn linear_light_of_16_bits_keeps_every_shade() {
    let ramp: Vec<u8> = (0..256u16).flat_map(|x| (x * 8).to_be_bytes().repeat(3)).collect();
    for chunk in [gamma(100_000), cicp(1, 8)] {
        let file = png((256, 8), ColorType::Rgb, BitDepth::Sixteen, &ramp.repeat(8), |_| {});
        let rows = rendered(&[&file[..33], &chunk, &file[33..]].concat());
        for (x, pixel) in rows[0].chunks_exact(3).enumerate() {
            let light = (x * 8) as f64 / 65_535.0;
            let expected = 255.0 * if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
            assert!((f64::from(pixel[0]) - expected).abs() < 1.0, "{x}: {pixel:?}, not {expected}");
        }
    }
}

#[test]
fn memory_for_an_interlaced_16_bit_image_includes_all_samples() {
    let file = png((2000, 1500), ColorType::Rgb, BitDepth::Sixteen, &vec![0; 2000 * 1500 * 6], |_| {});
    let weight = |file: &[u8]| inspect(file, &Limits { keep_location: true, ..tiny() }).expect("a header").weight_bytes;
    let mut interlaced = file;
    interlaced[28] = 1;
    let colored = [&interlaced[..33], &gamma(100_000), &interlaced[33..]].concat();
    assert!(weight(&colored) >= 2000 * 1500 * 8);
}

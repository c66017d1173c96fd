//! libwebp's allocations stay within the memory that is reserved for them.

use super::super::libwebp::{decode, decode_metered};
use super::test_images::*;
use super::*;

/// Returns the bitstream of a still WebP and its header.
fn still(file: &[u8]) -> (&[u8], (u32, u32), webp_header::WebpHeader) {
    let header = inspect(file, &tiny()).expect("accepted");
    let Kind::Webp(webp) = header.kind else { panic!("another format") };
    (&file[webp.still.clone().expect("a still image")], header.stored, webp)
}

/// Lossless files with every kind of transform, and lossy ones with an alpha plane.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let patches = patchwork(320, 240);
    let opaque: Vec<u8> = patches.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let smooth: Vec<u8> = (0..240u32 * 320).flat_map(|at| [(at % 320 / 2) as u8, (at / 640) as u8, (at / 7) as u8]).collect();
    let lossy = |compression| {
        webp_files::encode(&patches, 320, 240, |config| {
            (config.quality, config.alpha_compression, config.alpha_quality) = (40.0, compression, 100);
        })
    };
    vec![
        ("patches", webp_files::lossless(&patches, 320, 240)),
        ("opaque patches", webp_files::lossless(&opaque, 320, 240)),
        ("a gradient", webp_files::lossless(&smooth, 320, 240)),
        ("four colours", webp_files::lossless(&rgba(320, 240, QUARTERS), 320, 240)),
        ("two colours", webp_files::lossless(&rgba(321, 240, [RED, CLEAR, RED, RED]), 321, 240)),
        ("one pixel", webp_files::lossless(&[1, 2, 3, 255], 1, 1)),
        ("alpha", lossy(1)),
        ("plain alpha", lossy(0)),
        ("lossy", webp_files::lossy(&opaque, 320, 240, 80.0)),
    ]
}

#[test]
fn libwebp_allocates_no_more_than_reserved() {
    for (name, file) in files() {
        let (data, size, webp) = still(&file);
        for (to, alpha) in [(size, true), (size, false), ((1, 1), true), ((size.0.div_ceil(3), size.1.div_ceil(3)), false)] {
            let (_, usage) = decode_metered(data, to, alpha, u64::MAX).expect("decoded");
            assert!(usage.peak_bytes <= webp.decoder_bytes, "{name}: {usage:?} of {}", webp.decoder_bytes);
            // The bound is linked in, and the estimate is not the worst case: the unused part is for rows and rounding.
            #[cfg(target_os = "linux")]
            assert!(usage.peak_bytes > 10_000, "{name}: {usage:?}");
            #[cfg(target_os = "linux")]
            assert!(webp.decoder_bytes - usage.peak_bytes < (2 << 20) + usage.peak_bytes / 4, "{name}: {usage:?}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn libwebp_cannot_allocate_more_than_reserved() {
    for (name, file) in files() {
        let (data, size, webp) = still(&file);
        let (pixels, usage) = decode_metered(data, size, true, webp.decoder_bytes).expect("decoded");
        for budget in [0, 1000, usage.peak_bytes / 2] {
            let refused = decode(data, size, true, budget);
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{name} with {budget}: {refused:?}");
        }
        assert_eq!(decode(data, size, true, usage.peak_bytes).as_ref(), Ok(&pixels), "{name}");
    }
}

/// If we stopped reading a damaged bitstream before libwebp does, it would be rejected for another reason.
#[test]
fn a_damaged_lossless_webp_is_rejected_as_damaged() {
    let mut random = XorShift(0x5851_f42d_4c95_7f2d);
    let patches = webp_files::lossless(&patchwork(80, 64), 80, 64);
    let colors = webp_files::lossless(&rgba(80, 64, QUARTERS), 80, 64);
    let mut refused = 0;
    for round in 0..3000 {
        let mut file = if round % 2 == 0 { patches.clone() } else { colors.clone() };
        // In the head of the bitstream, which contains the transforms and codes.
        for _ in 0..=random.below(3) {
            let at = 25 + random.below((file.len() - 25).min(400));
            file[at] ^= 1 << random.below(8);
        }
        if let Err(error) = run_within(&file, &tiny()) {
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 1000, "{refused} of 3000");
}

#[test]
fn the_pixels_read_ahead_of_an_animation_are_limited() {
    let frame = webp_files::lossless(&patchwork(96, 64), 96, 64);
    let weight = |frames| {
        let file = webp_files::animation(96, 64, &vec![frame.clone(); frames]);
        let Kind::Webp(webp) = inspect(&file, &tiny()).expect("accepted").kind else { panic!("another format") };
        webp.decoder_bytes
    };
    assert_eq!(weight(1), weight(50), "one frame is decoded at a time");
    let (_, processed) = run(&webp_files::animation(96, 64, &vec![frame.clone(); 50])).expect("accepted");
    assert_eq!(processed.metadata.frames, 50);
}

#[test]
fn an_image_at_its_own_size_has_the_pixels_of_other_viewers() {
    let colors: Vec<u8> = patchwork(160, 120).chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let file = webp_files::lossy(&colors, 160, 120, 80.0);
    let (data, size, webp) = still(&file);
    let expected = webp_files::decode(&file).expect("decoded");
    assert_eq!(decode(data, size, false, webp.decoder_bytes).expect("decoded"), expected.pixels);
    let alpha = webp_files::lossy(&patchwork(160, 120), 160, 120, 80.0);
    let (data, size, webp) = still(&alpha);
    let expected = webp_files::decode(&alpha).expect("decoded");
    assert_eq!(decode(data, size, true, webp.decoder_bytes).expect("decoded"), expected.pixels);
}

#[test]
fn alpha_denied_by_the_header_is_ignored() {
    let file = webp_files::lossy(&rgba(80, 60, [RED, CLEAR, BLUE, WHITE]), 80, 60, 80.0);
    assert!(run(&file).expect("accepted").1.metadata.has_alpha);
    assert_eq!((&file[12..16], file[20] & 0x10), (&b"VP8X"[..], 0x10));
    let mut denied = file.clone();
    denied[20] &= !0x10;
    let (_, processed) = run(&denied).expect("accepted");
    assert!(!processed.metadata.has_alpha);
    assert_eq!(processed.thumbnails[0].info.format, Format::Jpeg);
    // The frames of an animation state it themselves.
    let mut animated = webp_files::animation(80, 60, &[file]);
    animated[20] &= !0x10;
    assert!(run(&animated).expect("accepted").1.metadata.has_alpha);
}

#[test]
fn a_webp_may_have_many_chunks_and_the_error_names_the_limit() {
    let file = webp(80, 60, QUARTERS, true);
    let with = |chunks: usize| {
        let mut many = [&file[..], &b"junk\0\0\0\0".repeat(chunks)].concat();
        let size = many.len() as u32 - 8;
        many[4..8].copy_from_slice(&size.to_le_bytes());
        many
    };
    run(&with(5000)).expect("accepted");
    let error = run(&with(262_144)).unwrap_err();
    assert_eq!(error, Error::unsupported("WebP with more than 262144 chunks"));
}

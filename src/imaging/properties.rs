//! What holds of every file, however it was made. These are the bodies of the fuzz targets (`tests/fuzz`); the tests run
//! them on the files that once broke them. Each panics when something does not hold.
//!
//! Limits are small here, so that a fuzzer tries many files; what they bound is the same code.

#![expect(clippy::expect_used, clippy::panic, reason = "what does not hold is to be found")]

use super::{
    Error, Header, Limits, Processed, decode, inspect, inspect_oversize, inspect_stored, jpeg, location, process,
    reference_decoder, render, shrink,
};
use crate::model::image::Format;
use crate::model::rendering::{Fit, Rendering};

const SIDE: u32 = 400;

fn limits() -> Limits {
    Limits {
        min_side: 1,
        max_side: SIDE,
        max_pixels: u64::from(SIDE) * u64::from(SIDE),
        max_frame_pixels: 500_000,
        max_progressive_scans: 20,
        thumbnail_heights: vec![24],
        shrink: false,
        keep_location: false,
    }
}

/// Whatever is wrong is the file's fault.
fn expect_no_internal_error<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Internal { reason }) => panic!("{reason}"),
        Err(_) => None,
    }
}

/// A header is told without decoding, and never promises more than the limits let through.
pub fn header(file: &[u8]) {
    let limits = Limits::default();
    let Some(header) = expect_no_internal_error(inspect(file, &limits)) else { return };
    for side in [header.width, header.height] {
        assert!((limits.min_side..=limits.max_side).contains(&side));
    }
    assert!((1..=8).contains(&header.orientation));
    // 16 megapixels of 4:4:4 progressive JPEG, or of RGBA beside a plane of alpha, and the file's copy.
    assert!(header.weight_bytes < (256 << 20) + 2 * file.len() as u64, "weighs {}", header.weight_bytes);
}

/// A file is refused, or shown in thumbnails that are images; without its location it shows the same pixels.
pub fn picture(file: &[u8]) {
    let limits = limits();
    let Some((header, processed)) = accepted(file, &limits) else { return };
    for made in &processed.thumbnails {
        let (width, height) = (made.info.width, made.info.height);
        assert!(width <= header.width && height <= header.height, "enlarged");
        let rendering = contained((width, height));
        let shown = inspect_stored(&made.bytes, &limits, &rendering).expect("a thumbnail is an image");
        assert_eq!((shown.width, shown.height, shown.orientation, shown.format), (width, height, 1, made.info.format));
    }
    if let Some(cleaned) = &processed.without_location {
        let (_, again) = accepted(cleaned, &limits).expect("what is stored is still an image");
        assert_eq!(again.without_location, None);
        assert_eq!(again.sha256, processed.sha256);
        let bytes = |processed: &Processed| processed.thumbnails.iter().map(|made| made.bytes.clone()).collect::<Vec<_>>();
        assert!(bytes(&again) == bytes(&processed), "other pixels");
    }
    // Another decoder that takes the file sees the same image.
    reference_decoder::assert_agrees(file, &header, &limits);
    // Of a file that was accepted any image can be made, at whatever scale that decodes it.
    for rendering in [contained((header.width, header.height)), covered((header.width, header.height))] {
        let header = inspect_stored(file, &limits, &rendering).expect("a header that was read before");
        render(file, &header, &limits, &rendering).expect("a rendering");
    }
    every_part(file, &limits);
    smaller(file);
}

/// Whatever part of an image is asked for, at whatever size, and again from what was made smaller: there is one.
fn every_part(file: &[u8], limits: &Limits) {
    let rendering = contained((SIDE, SIDE));
    let header = inspect_stored(file, limits, &rendering).expect("a header that was read before");
    let pixels = decode(file, &header, limits).expect("decoded before").pixels;
    let (width, height) = pixels.covered();
    // Sides that depend on the file alone.
    let mut seed = file.iter().fold(file.len() as u32, |seed, &byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut below = |bound: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % bound
    };
    for _ in 0..4 {
        let mut part = [0.0, 0.0, width, height];
        let mut pixels = pixels.clone();
        for most in [500, 100] {
            pixels = pixels.resized(part, (1 + below(most), 1 + below(most))).expect("a part of an image");
            let (width, height) = pixels.covered();
            let left = width * f64::from(below(64)) / 64.0;
            part = [left, 0.0, width - left, height * f64::from(1 + below(64)) / 64.0];
        }
    }
}

/// An image that is larger than the limits is scaled down to one that is accepted, or refused.
fn smaller(file: &[u8]) {
    let limits = Limits { max_side: 60, max_pixels: 2000, shrink: true, ..limits() };
    if !matches!(inspect(file, &limits), Err(Error::TooLarge { .. } | Error::TooManyImagePixels { .. })) {
        return;
    }
    let Some(header) = expect_no_internal_error(inspect_oversize(file, &limits)) else { return };
    let Some(shrunk) = expect_no_internal_error(shrink(file, &header, &limits)) else { return };
    let (small, _) = accepted(&shrunk.file, &limits).expect("what was scaled down is an image within the limits");
    assert_eq!((small.format, small.orientation), (header.format, header.orientation));
}

fn accepted(file: &[u8], limits: &Limits) -> Option<(Header, Processed)> {
    let header = expect_no_internal_error(inspect(file, limits))?;
    let processed = expect_no_internal_error(process(file, &header, limits))?;
    Some((header, processed))
}

fn contained(size: (u32, u32)) -> Rendering {
    Rendering::new(size, (Some(20), None), Fit::Contain, Format::Png, 80).expect("one side is enough")
}

fn covered(size: (u32, u32)) -> Rendering {
    Rendering::new(size, (Some(40), Some(16)), Fit::Cover, Format::Jpeg, 80).expect("both sides")
}

/// The JPEG decoder of our own accepts what libjpeg decodes without running out of data, and nothing else.
pub fn jpeg(file: &[u8]) {
    let limits = limits();
    let rendering = contained((SIDE, SIDE));
    let Some(header) = expect_no_internal_error(inspect_stored(file, &limits, &rendering)) else { return };
    // What is stored has no limits of its own.
    if header.width.max(header.height) > SIDE {
        return;
    }
    jpeg::assert_agrees_with_libjpeg(file, &header, &limits);
}

/// Whatever the bytes are, for each format, one call takes every location out.
pub fn location(data: &[u8]) {
    for format in [Format::Jpeg, Format::Png, Format::Gif, Format::Webp] {
        if let Some(cleaned) = location::remove(data, format) {
            assert!(cleaned != data, "a change changes something");
            assert!(location::remove(&cleaned, format).is_none(), "nothing is left");
        }
    }
}

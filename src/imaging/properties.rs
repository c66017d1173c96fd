//! Properties that must hold for every file. They are the bodies of the fuzz targets (`tests/fuzz`); the tests run them on
//! files that once violated them. Each panics if its property does not hold.
//!
//! The limits are small, so that a fuzzer tries many files; the code is the same for larger ones.

#![expect(clippy::expect_used, clippy::panic, reason = "a property that does not hold must fail")]

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

/// Returns the value, or `None` if the file is rejected. An internal error panics, because any fault must be the file's.
fn expect_no_internal_error<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Internal { reason }) => panic!("{reason}"),
        Err(_) => None,
    }
}

/// The header is read without decoding, and is within the limits.
pub fn header(file: &[u8]) {
    let limits = Limits::default();
    let Some(header) = expect_no_internal_error(inspect(file, &limits)) else { return };
    for side in [header.width, header.height] {
        assert!((limits.min_side..=limits.max_side).contains(&side));
    }
    assert!((1..=8).contains(&header.orientation));
    // 16 megapixels of 4:4:4 progressive JPEG, or of RGBA with an alpha plane, and the copy of the file.
    assert!(header.weight_bytes < (256 << 20) + 2 * file.len() as u64, "needs {} bytes", header.weight_bytes);
}

/// A file is rejected, or it has valid thumbnails. Without its location metadata it has the same pixels.
pub fn picture(file: &[u8]) {
    let limits = limits();
    let Some((header, processed)) = accepted(file, &limits) else { return };
    for made in &processed.thumbnails {
        let (width, height) = (made.info.width, made.info.height);
        assert!(width <= header.width && height <= header.height, "a thumbnail is enlarged");
        let rendering = contained((width, height));
        let shown = inspect_stored(&made.bytes, &limits, &rendering).expect("a thumbnail is valid");
        assert_eq!((shown.width, shown.height, shown.orientation, shown.format), (width, height, 1, made.info.format));
    }
    if let Some(cleaned) = &processed.without_location {
        let (_, again) = accepted(cleaned, &limits).expect("the stored file is valid");
        assert_eq!(again.without_location, None);
        assert_eq!(again.sha256, processed.sha256);
        let bytes = |processed: &Processed| processed.thumbnails.iter().map(|made| made.bytes.clone()).collect::<Vec<_>>();
        assert!(bytes(&again) == bytes(&processed), "the pixels changed");
    }
    // Another decoder that accepts the file outputs the same image.
    reference_decoder::assert_agrees(file, &header, &limits);
    // An accepted file can be resized to any size, whatever the decoding scale.
    for rendering in [contained((header.width, header.height)), covered((header.width, header.height))] {
        let header = inspect_stored(file, &limits, &rendering).expect("the header was read before");
        render(file, &header, &limits, &rendering).expect("a rendering");
    }
    resize_parts(file, &limits);
    shrink_oversize(file);
}

/// Any part of an image can be resized to any size, and the result can be resized again.
fn resize_parts(file: &[u8], limits: &Limits) {
    let rendering = contained((SIDE, SIDE));
    let header = inspect_stored(file, limits, &rendering).expect("the header was read before");
    let pixels = decode(file, &header, limits).expect("the file was decoded before").pixels;
    let (width, height) = pixels.covered();
    // Sizes that depend only on the file.
    let mut seed = file.iter().fold(file.len() as u32, |seed, &byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut below = |bound: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % bound
    };
    for _ in 0..4 {
        let mut part = [0.0, 0.0, width, height];
        let mut pixels = pixels.clone();
        for most in [500, 100] {
            pixels = pixels.resized(part, (1 + below(most), 1 + below(most))).expect("a part is resized");
            let (width, height) = pixels.covered();
            let left = width * f64::from(below(64)) / 64.0;
            part = [left, 0.0, width - left, height * f64::from(1 + below(64)) / 64.0];
        }
    }
}

/// An image that exceeds the limits is scaled down to an accepted one, or rejected.
fn shrink_oversize(file: &[u8]) {
    let limits = Limits { max_side: 60, max_pixels: 2000, shrink: true, ..limits() };
    if !matches!(inspect(file, &limits), Err(Error::TooLarge { .. } | Error::TooManyImagePixels { .. })) {
        return;
    }
    let Some(header) = expect_no_internal_error(inspect_oversize(file, &limits)) else { return };
    let Some(shrunk) = expect_no_internal_error(shrink(file, &header, &limits)) else { return };
    let (small, _) = accepted(&shrunk.file, &limits).expect("the smaller file is within the limits");
    assert_eq!((small.format, small.orientation), (header.format, header.orientation));
}

fn accepted(file: &[u8], limits: &Limits) -> Option<(Header, Processed)> {
    let header = expect_no_internal_error(inspect(file, limits))?;
    let processed = expect_no_internal_error(process(file, &header, limits))?;
    Some((header, processed))
}

fn contained(size: (u32, u32)) -> Rendering {
    Rendering::new(size, (Some(20), None), Fit::Contain, Format::Png, 80).expect("one side suffices")
}

fn covered(size: (u32, u32)) -> Rendering {
    Rendering::new(size, (Some(40), Some(16)), Fit::Cover, Format::Jpeg, 80).expect("both sides")
}

/// Our own JPEG decoder accepts exactly the files that libjpeg decodes without running out of data.
pub fn jpeg(file: &[u8]) {
    let limits = limits();
    let rendering = contained((SIDE, SIDE));
    let Some(header) = expect_no_internal_error(inspect_stored(file, &limits, &rendering)) else { return };
    // Stored files have no limits, so skip large ones.
    if header.width.max(header.height) > SIDE {
        return;
    }
    jpeg::assert_agrees_with_libjpeg(file, &header, &limits);
}

/// For any bytes and each format, one call removes all location metadata.
pub fn location(data: &[u8]) {
    for format in [Format::Jpeg, Format::Png, Format::Gif, Format::Webp] {
        if let Some(cleaned) = location::remove(data, format) {
            assert!(cleaned != data, "the output differs from the input");
            assert!(location::remove(&cleaned, format).is_none(), "location metadata is left");
        }
    }
}

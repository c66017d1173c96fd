//! Compares our output with the `image` crate, whose own JPEG and WebP decoders serve as a reference. Compiled only for tests
//! and fuzz targets.

use super::{Format, Header, Kind, Limits, inspect_stored, render};
use crate::model::rendering::Rendering;
use image::metadata::Orientation;
use image::{ImageFormat, ImageReader, RgbaImage};
use std::io::Cursor;

/// Maximum mean difference of all channels, in 255ths. JPEG and WebP leave the rounding of the transforms and the upsampling of
/// chroma to the decoder; the other formats are exact.
fn tolerance(format: Format) -> f64 {
    match format {
        Format::Jpeg => 6.0,
        Format::Webp => 3.0,
        Format::Png | Format::Gif => 0.0,
    }
}

/// Panics if an accepted file looks different at its own size. Returns `None` if the crate rejects it or does not support what
/// we do: other colour spaces, the first frame of an animated PNG, a first GIF frame beyond its canvas.
pub(super) fn assert_agrees(file: &[u8], header: &Header, limits: &Limits) -> Option<()> {
    let plain = match &header.kind {
        Kind::Png(png) => png.first_frame.is_none() && png.colors_16bit.is_none(),
        _ => true,
    };
    if !plain || header.profile.is_some() {
        return None;
    }
    let mut expected = decode(file, header.format)?;
    expected.apply_orientation(Orientation::from_exif(header.orientation)?);
    let expected = expected.into_rgba8();
    if header.format == Format::Gif && expected.dimensions() != (header.width, header.height) {
        return None;
    }
    assert_eq!(expected.dimensions(), (header.width, header.height), "the size differs");
    let wanted = Rendering { width: header.width, height: header.height, crop: false, format: Format::Png, quality: 80 };
    let header = inspect_stored(file, limits, &wanted).ok()?;
    let shown = decode(&render(file, &header, limits, &wanted).ok()?, Format::Png)?.into_rgba8();
    let difference = difference(&shown, &expected);
    assert!(difference <= tolerance(header.format), "{} differs by {difference}", header.format);
    Some(())
}

fn decode(file: &[u8], format: Format) -> Option<image::DynamicImage> {
    let format = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::Webp => ImageFormat::WebP,
    };
    ImageReader::with_format(Cursor::new(file), format).decode().ok()
}

/// Returns the mean difference of all channels, on black and on white, because transparent pixels have no colour.
fn difference(shown: &RgbaImage, expected: &RgbaImage) -> f64 {
    let on = |page: i32, pixel: &image::Rgba<u8>, channel: usize| {
        let alpha = i32::from(pixel.0[3]);
        (i32::from(pixel.0[channel]) * alpha + page * (255 - alpha) + 127) / 255
    };
    let mut sum = 0;
    for (a, b) in shown.pixels().zip(expected.pixels()) {
        for channel in 0..3 {
            for page in [0, 255] {
                sum += u64::from(on(page, a, channel).abs_diff(on(page, b, channel)));
            }
        }
    }
    sum as f64 / (f64::from(shown.width()) * f64::from(shown.height()) * 6.0)
}

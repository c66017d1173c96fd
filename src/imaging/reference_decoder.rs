//! The `image` crate as a second opinion: what it decodes, by decoders of its own for JPEG and WebP, is what we show. Compiled
//! for tests and fuzz targets only.

use super::{Format, Header, Kind, Limits, inspect_stored, render};
use crate::model::rendering::Rendering;
use image::metadata::Orientation;
use image::{ImageFormat, ImageReader, RgbaImage};
use std::io::Cursor;

/// What the mean of all channels may differ by, in 255ths. JPEG and WebP leave the rounding of their transforms, and how
/// chroma is enlarged, to the decoder; the others leave nothing open.
fn tolerance(format: Format) -> f64 {
    match format {
        Format::Jpeg => 6.0,
        Format::Webp => 3.0,
        Format::Png | Format::Gif => 0.0,
    }
}

/// Panics when a file that was accepted looks different at its own size. `None` where the crate refuses it, or does not do what
/// we do: colours of another space, the first frame of an animated PNG, a first GIF frame beyond its canvas.
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
    assert_eq!(expected.dimensions(), (header.width, header.height), "another size");
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

/// The mean of all channels, on black and on white: what is clear has no colour.
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

//! Resampling by convolution: `fast_image_resize`, compiled for the kinds of pixels that there are.
//!
//! Its resizer that learns the kind at run time brings the code for ten others along, all of it compiled within this crate:
//! that was 238 of the 334 seconds that the optimiser spent on large functions.

use super::error::Error;
use fast_image_resize as fir;

/// Samples in rows.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub width: u32,
    pub height: u32,
    /// 1, 3, or 4, of which the last is alpha.
    pub channels: usize,
    pub samples: &'a [u8],
}

/// A part of a picture in its pixels: left, top, width and height.
pub(super) type Part = [f64; 4];

/// The part, brought to `width × height`. Transparent pixels lend no colour to their neighbours.
pub(super) fn resample(source: Source<'_>, part: Part, size: (u32, u32), filter: fir::FilterType) -> Result<Vec<u8>, Error> {
    let [left, top, width, height] = part;
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(filter))
        .crop(left, top, width, height)
        .use_alpha(source.channels == 4);
    let resampled = match source.channels {
        1 => convolve::<fir::pixels::U8>(source, size, &options),
        3 => convolve::<fir::pixels::U8x3>(source, size, &options),
        _ => convolve::<fir::pixels::U8x4>(source, size, &options),
    };
    resampled.map_err(|error| Error::internal(format!("resizing: {error}")))
}

fn convolve<P: fir::PixelTrait>(
    source: Source<'_>,
    (width, height): (u32, u32),
    options: &fir::ResizeOptions,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let from = fir::images::TypedImageRef::<P>::from_buffer(source.width, source.height, source.samples)?;
    let mut samples = vec![0; width as usize * height as usize * P::size()];
    let mut to = fir::images::TypedImage::<P>::from_buffer(width, height, &mut samples)?;
    fir::Resizer::new().resize_typed(&from, &mut to, options)?;
    Ok(samples)
}

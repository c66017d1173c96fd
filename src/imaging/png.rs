//! PNG, by the `png` crate: all rows are decoded, and the CRC of each chunk that they need is checked. Rows go straight into
//! the reducer; only an interlaced picture stands in memory whole.
//!
//! Of an animated PNG the default image is decoded; the other frames are only counted.

use super::aim::Aim;
use super::error::Error;
use super::picture::Reducer;
use super::pixels::Pixels;
use super::png_chunks::Needed;
use super::png_header::frames;
use super::{Decoded, explain};
use png::{ColorType, DecodeOptions, Decoder, Reader, Transformations};

pub(super) fn decode(bytes: &[u8], stored: (u32, u32), aim: Aim) -> Result<Decoded, Error> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Needed::of(bytes), options);
    // Rows and the palette.
    decoder.set_limits(png::Limits { bytes: bytes.len() * 2 + (8 << 20) });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(explain::png)?;

    let info = reader.info();
    let first_frame = info.frame_control.map(|frame| (frame.width, frame.height));
    if info.size() != stored || first_frame.is_some_and(|size| size != stored) {
        return Err(Error::corrupt("the PNG states two different sizes"));
    }
    let interlaced = info.interlaced;
    let (color_type, _) = reader.output_color_type();
    let channels = color_type.samples();
    let has_alpha = matches!(color_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let mut reducer = Reducer::new(stored.0, stored.1, has_alpha, aim.cover);

    if interlaced {
        read_at_once(&mut reader, &mut reducer, stored, channels)?;
    } else {
        while let Some(row) = reader.next_row().map_err(explain::png)? {
            reducer.push(row.data(), channels);
        }
    }
    reader.finish().map_err(explain::png)?;
    Ok(Decoded { pixels: Pixels::Rgb(reducer.finish()), has_alpha, frames: frames(bytes)? })
}

fn read_at_once(
    reader: &mut Reader<Needed<'_>>,
    reducer: &mut Reducer,
    (width, height): (u32, u32),
    channels: usize,
) -> Result<(), Error> {
    let row_bytes = width as usize * channels;
    let mut whole = vec![0; row_bytes * height as usize];
    reader.next_frame(&mut whole).map_err(explain::png)?;
    for row in whole.chunks_exact(row_bytes) {
        reducer.push(row, channels);
    }
    Ok(())
}

//! PNG, by the `png` crate: every chunk's CRC is checked up to and including IEND. Rows go straight into the reducer; only
//! an interlaced picture stands in memory whole.
//!
//! Of an animated PNG the default image is decoded; the other frames' chunks are checked by their CRCs.

use super::Decoded;
use super::aim::Aim;
use super::error::Error;
use super::picture::Reducer;
use super::pixels::Pixels;
use super::png_header::count_frames;
use png::{ColorType, DecodeOptions, Decoder, DecodingError, Reader, Transformations};
use std::io::{Cursor, ErrorKind};

pub(super) fn decode(bytes: &[u8], stored: (u32, u32), aim: Aim) -> Result<Decoded, Error> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    // Unbounded when inflated, and of no use here.
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    // Rows and chunks held back: a chunk's buffer grows with what was read of it, so never beyond twice the file.
    decoder.set_limits(png::Limits { bytes: bytes.len() * 2 + (8 << 20) });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(explain)?;

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
        while let Some(row) = reader.next_row().map_err(explain)? {
            reducer.push(row.data(), channels);
        }
    }
    reader.finish().map_err(explain)?;
    Ok(Decoded { pixels: Pixels::Rgb(reducer.finish()), has_alpha, frames: count_frames(bytes) })
}

fn read_at_once(
    reader: &mut Reader<Cursor<&[u8]>>,
    reducer: &mut Reducer,
    (width, height): (u32, u32),
    channels: usize,
) -> Result<(), Error> {
    let row_bytes = width as usize * channels;
    let mut whole = vec![0; row_bytes * height as usize];
    reader.next_frame(&mut whole).map_err(explain)?;
    for row in whole.chunks_exact(row_bytes) {
        reducer.push(row, channels);
    }
    Ok(())
}

fn explain(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Error::truncated("the PNG data"),
        // The crate's own words name chunks and checksums, nothing of this service.
        DecodingError::Format(error) => Error::corrupt(format!("the PNG data is invalid ({error})")),
        DecodingError::LimitsExceeded => Error::corrupt("the PNG has chunks of an impossible size"),
        DecodingError::IoError(error) => Error::internal(format!("reading a PNG: {error}")),
        DecodingError::Parameter(error) => Error::internal(format!("reading a PNG: {error}")),
    }
}

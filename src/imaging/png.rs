//! PNG decoding by the `png` crate. All rows are decoded, and the CRCs of the chunks that they need are checked. Rows go
//! straight to the reducer; only an interlaced image is in memory as a whole.
//!
//! As in browsers, an animated PNG shows its first frame. That is usually the default image, which is decoded in any case. The
//! other frames are only counted.

use super::bitmap::Bitmap;
use super::canvas::{Canvas, FrameRect};
use super::decode_target::DecodeTarget;
use super::error::Error;
use super::pixels::Pixels;
use super::png_chunks::RequiredChunks;
use super::png_header::{PngHeader, frames};
use super::profile::ToSrgb16;
use super::{Decoded, decoder_errors};
use png::{ColorType, DecodeOptions, Decoder, Reader, Transformations};

pub(super) fn decode(bytes: &[u8], png: &PngHeader, canvas: (u32, u32), target: DecodeTarget) -> Result<Decoded, Error> {
    let mut rows = Rows::of(bytes, png, canvas)?;
    let frame = match png.first_frame {
        None => FrameRect::full(canvas),
        Some(frame) => {
            if target.verify {
                rows.verify_frame()?;
            }
            rows.skip_to(frame)?;
            frame
        }
    };
    let bitmap = rows.decode_frame(canvas, frame, target)?;
    if target.verify {
        rows.reader.finish().map_err(decoder_errors::png)?;
    }
    let has_alpha = rows.has_alpha || frame != FrameRect::full(canvas);
    let frames = if target.verify { frames(bytes)? } else { 1 };
    Ok(Decoded { pixels: Pixels::Rgb(bitmap), has_alpha, frames })
}

/// The decoder, positioned at one of the frames of a file.
struct Rows<'a> {
    reader: Reader<RequiredChunks<'a>>,
    channels: usize,
    has_alpha: bool,
    samples: Samples,
}

/// The samples of the decoder's rows.
enum Samples {
    /// 8 bits, in the colour space of the file.
    EightBit,
    /// 16 bits, of which the lower eight are invisible, and a buffer for the upper ones.
    SixteenBit(Vec<u8>),
    /// 16 bits, converted to sRGB before the lower ones are dropped.
    Converted(Box<ToSrgb16>),
}

impl<'a> Rows<'a> {
    fn of(bytes: &'a [u8], png: &PngHeader, canvas: (u32, u32)) -> Result<Self, Error> {
        let mut options = DecodeOptions::default();
        options.set_ignore_adler32(false);
        // The decoder sees no ancillary chunks that do not matter.
        options.set_skip_ancillary_crc_failures(false);
        let needed = RequiredChunks::of(bytes, png.first_frame.is_some());
        let mut decoder = Decoder::new_with_options(needed, options);
        // Rows and the palette.
        decoder.set_limits(png::Limits { bytes: bytes.len() * 2 + (8 << 20) });
        // A conversion needs all 16 bits.
        let is_16bit = png.colors_16bit.is_some();
        decoder.set_transformations(if is_16bit { Transformations::EXPAND } else { Transformations::normalize_to_color8() });
        let reader = decoder.read_info().map_err(decoder_errors::png)?;
        if reader.info().size() != canvas {
            return Err(Error::corrupt("the PNG states two different sizes"));
        }
        let (color_type, _) = reader.output_color_type();
        let has_alpha = matches!(color_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
        let channels = color_type.samples();
        let samples = match ToSrgb16::of(bytes, png.colors_16bit.as_ref(), channels, canvas.0 as usize) {
            Some(to_srgb) => Samples::Converted(Box::new(to_srgb)),
            None if is_16bit => Samples::SixteenBit(Vec::new()),
            None => Samples::EightBit,
        };
        Ok(Rows { reader, channels, has_alpha, samples })
    }

    /// Decodes a frame that is not displayed, to verify it.
    fn verify_frame(&mut self) -> Result<(), Error> {
        while self.reader.next_row().map_err(decoder_errors::png)?.is_some() {}
        Ok(())
    }

    fn skip_to(&mut self, frame: FrameRect) -> Result<(), Error> {
        let found = self.reader.next_frame_info().map_err(decoder_errors::png)?;
        if (found.x_offset, found.y_offset, found.width, found.height) != (frame.left, frame.top, frame.width, frame.height) {
            return Err(Error::corrupt("the PNG states two different sizes"));
        }
        Ok(())
    }

    fn decode_frame(&mut self, size: (u32, u32), frame: FrameRect, target: DecodeTarget) -> Result<Bitmap, Error> {
        let mut canvas = Canvas::new(size, frame, self.has_alpha, target.min_longer_side);
        if self.reader.info().interlaced {
            // The rows of a frame are as long as those of the canvas.
            let pixel_bytes = self.samples.bytes() * self.channels;
            let row_bytes = size.0 as usize * pixel_bytes;
            let mut whole = vec![0; row_bytes * size.1 as usize];
            self.reader.next_frame(&mut whole).map_err(decoder_errors::png)?;
            for row in whole.chunks_exact(row_bytes).take(frame.height as usize) {
                self.samples.push(&row[..frame.width as usize * pixel_bytes], self.channels, &mut canvas)?;
            }
        } else {
            while let Some(row) = self.reader.next_row().map_err(decoder_errors::png)? {
                self.samples.push(row.data(), self.channels, &mut canvas)?;
            }
        }
        Ok(canvas.finish())
    }
}

impl Samples {
    /// Bytes per sample.
    fn bytes(&self) -> usize {
        if matches!(self, Self::EightBit) { 1 } else { 2 }
    }

    /// Passes a row to the canvas with 8 bits per channel.
    fn push(&mut self, row: &[u8], channels: usize, canvas: &mut Canvas) -> Result<(), Error> {
        match self {
            Self::EightBit => canvas.push(row, channels),
            Self::SixteenBit(upper) => {
                upper.clear();
                upper.extend(row.iter().step_by(2));
                canvas.push(upper, channels);
            }
            Self::Converted(to_srgb) => {
                let channels_of_srgb = to_srgb.channels();
                canvas.push(to_srgb.row(row, channels)?, channels_of_srgb);
            }
        }
        Ok(())
    }
}

//! GIF decoding by the `gif` crate. The first frame is drawn on its canvas, and all others are verified: `gif_lzw.rs` counts the
//! pixels of a frame, and the decoder reads those frames in which that finds a flaw. Frames × pixels are counted before each frame is decoded.
//!
//! GIF has no checksums, so only missing data and invalid codes can be detected. A missing trailer is not damage, because every
//! frame has its own end marker.

use super::bitmap::{Reducer, reduced_size};
use super::decode_target::{DecodeTarget, Purpose};
use super::error::Error;
use super::gif_blocks::{self, GifHeader, RepairedGif};
use super::parsed_header::ParsedHeader;
use super::pixels::Pixels;
use super::{Decoded, Kind, Limits, decoder_errors, gif_lzw};
use gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};
use std::io::Read;
use std::num::NonZeroU64;

/// Reads the size of the canvas.
pub(super) fn read_header(bytes: &[u8], purpose: &Purpose<'_>) -> Result<ParsedHeader, Error> {
    let header = gif_blocks::read(bytes)?;
    let (width, height) = header.canvas;
    let target = purpose.decode_target((width, height), 1);
    let (small_width, small_height) = reduced_size(width, height, target.min_longer_side);
    let image_bytes = u64::from(small_width) * u64::from(small_height) * 4;
    Ok(ParsedHeader {
        kind: Kind::Gif(header),
        width,
        height,
        exif: None,
        profile: None,
        orientation: 1,
        target,
        // A frame of indices, and a row of colours.
        decoder_bytes: image_bytes + u64::from(width) * (u64::from(height) + 4) + (1 << 20),
        image_bytes,
    })
}

pub(super) fn decode(bytes: &[u8], header: &GifHeader, target: DecodeTarget, limits: &Limits) -> Result<Decoded, Error> {
    if gif_blocks::read(bytes)? != *header {
        return Err(Error::corrupt("the GIF states two different sizes"));
    }
    let canvas = header.canvas;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // No remaining block can exceed this limit.
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(bytes.len() as u64 + 1).unwrap_or(NonZeroU64::MIN)));
    let repaired = RepairedGif::of(bytes, header)?;
    let mut decoder = options.read_info(repaired.reader()).map_err(decoder_errors::gif)?;
    let mut indices = Vec::new();
    let mut bitmap = None;
    let mut frames: u32 = 0;
    let mut pixels = 0;
    let mut images = gif_blocks::images(bytes);
    while let Some(frame) = next_frame(&mut decoder)? {
        let image = images.next();
        frames += 1;
        pixels += frame.counted_pixels(canvas);
        check_pixels(frames, pixels, frame.bounding_size(canvas), limits)?;
        if bitmap.is_some() {
            if !image.is_some_and(|image| is_flawless(&image, &frame)) {
                verify_frame(&mut decoder, &frame, canvas, &mut indices)?;
            }
            continue;
        }
        check_first_frame(&frame, canvas)?;
        indices.resize(frame.width * frame.height, 0);
        decoder.read_into_buffer(&mut indices).map_err(decoder_errors::gif)?;
        let palette = decoder.palette().map_err(decoder_errors::gif)?;
        bitmap = Some(compose(&frame, &indices, palette, canvas, target));
        if !target.verify {
            break;
        }
    }
    let bitmap = bitmap.ok_or_else(|| Error::corrupt("the GIF has no image"))?;
    Ok(Decoded { has_alpha: bitmap.is_transparent(), pixels: Pixels::Rgb(bitmap), frames })
}

/// Position of a frame on the canvas.
struct FrameInfo {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    transparent: Option<u8>,
}

impl FrameInfo {
    /// Returns the size that contains both the frame and the canvas.
    fn bounding_size(&self, canvas: (u32, u32)) -> (u32, u32) {
        (canvas.0.max(self.width as u32), canvas.1.max(self.height as u32))
    }

    /// Returns the pixels that count towards the limit: those of the canvas, or those of a larger frame.
    fn counted_pixels(&self, (width, height): (u32, u32)) -> u64 {
        (u64::from(width) * u64::from(height)).max(self.width as u64 * self.height as u64)
    }
}

fn next_frame(decoder: &mut Decoder<impl Read>) -> Result<Option<FrameInfo>, Error> {
    let Some(frame) = decoder.next_frame_info().map_err(decoder_errors::gif)? else {
        return Ok(None);
    };
    Ok(Some(FrameInfo {
        left: usize::from(frame.left),
        top: usize::from(frame.top),
        width: usize::from(frame.width),
        height: usize::from(frame.height),
        transparent: frame.transparent,
    }))
}

/// The header reader has already enlarged the canvas to the first frame.
fn check_first_frame(frame: &FrameInfo, canvas: (u32, u32)) -> Result<(), Error> {
    if frame.width > canvas.0 as usize || frame.height > canvas.1 as usize {
        return Err(Error::corrupt("the GIF has a frame larger than its canvas"));
    }
    if frame.width == 0 || frame.height == 0 {
        return Err(Error::corrupt("the first frame of the GIF has no pixels"));
    }
    Ok(())
}

/// Returns whether the pixels of a frame are valid. The decoder then skips them.
fn is_flawless(image: &gif_blocks::ImageBlock<'_>, frame: &FrameInfo) -> bool {
    image.frame.map(|number| number as usize) == [frame.left, frame.top, frame.width, frame.height]
        && gif_lzw::is_flawless(image.min_code_bits, image.sub_blocks(), frame.width * frame.height)
}

/// Decodes a frame that is not displayed, in parts of at most the canvas size. A frame can be larger than the canvas, where
/// viewers show the part on the canvas, or have no pixels.
fn verify_frame(
    decoder: &mut Decoder<impl Read>,
    frame: &FrameInfo,
    canvas: (u32, u32),
    indices: &mut Vec<u8>,
) -> Result<(), Error> {
    let most = canvas.0 as usize * canvas.1 as usize;
    let mut left = frame.width * frame.height;
    while left > 0 {
        indices.resize(left.min(most), 0);
        if !decoder.fill_buffer(indices).map_err(decoder_errors::gif)? {
            return Err(Error::corrupt("a frame of the GIF has fewer pixels than its size requires"));
        }
        left -= indices.len();
    }
    Ok(())
}

fn check_pixels(frames: u32, pixels: u64, (width, height): (u32, u32), limits: &Limits) -> Result<(), Error> {
    if frames > 1 && pixels > limits.max_frame_pixels {
        return Err(Error::TooManyPixels { frames: u64::from(frames), width, height, limit: limits.max_frame_pixels });
    }
    Ok(())
}

/// Draws the first frame on a transparent canvas. Like browsers, it ignores the background colour.
fn compose(frame: &FrameInfo, indices: &[u8], palette: &[u8], canvas: (u32, u32), target: DecodeTarget) -> super::bitmap::Bitmap {
    let mut reducer = Reducer::new(canvas.0, canvas.1, true, target.min_longer_side);
    // Indices beyond the palette are black, as in browsers.
    let mut colors = [[0, 0, 0, 255]; 256];
    for (color, rgb) in colors.iter_mut().zip(palette.chunks_exact(3)) {
        *color = [rgb[0], rgb[1], rgb[2], 255];
    }
    if let Some(index) = frame.transparent {
        colors[usize::from(index)] = [0; 4];
    }
    let mut row = vec![0u8; canvas.0 as usize * 4];
    for y in 0..canvas.1 as usize {
        row.fill(0);
        let within = y.checked_sub(frame.top).filter(|&line| line < frame.height);
        if let Some(line) = within {
            let source = &indices[line * frame.width..(line + 1) * frame.width];
            let target = row.chunks_exact_mut(4).skip(frame.left);
            for (pixel, &index) in target.zip(source) {
                pixel.copy_from_slice(&colors[usize::from(index)]);
            }
        }
        reducer.push(&row, 4);
    }
    reducer.finish()
}

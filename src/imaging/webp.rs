//! WebP decoding by libwebp. An opaque lossy image is decoded to its planes (`webp_planes.rs`); another opaque image, or a huge
//! one, is scaled down while it is decoded. An image with alpha is decoded at its full size, because libwebp's scaler would mix
//! the colours of transparent pixels into lossy images. The frames of an animation are decoded one at a time: the first one is
//! drawn on the canvas, the others are only verified.

use super::bitmap::{Bitmap, Reducer};
use super::decode_target::DecodeTarget;
use super::error::Error;
use super::libwebp::{self, Features};
use super::pixels::Pixels;
use super::webp_header::{WebpFrame, WebpHeader, scaled};
use super::{Decoded, webp_planes};

pub(super) fn decode(bytes: &[u8], header: &WebpHeader, canvas: (u32, u32), target: DecodeTarget) -> Result<Decoded, Error> {
    match header.frames.as_slice() {
        [] => {
            let data = header.still.clone().ok_or_else(|| Error::corrupt("the WebP contains no image"))?;
            decode_still(bytes.get(data).unwrap_or_default(), header, canvas, target)
        }
        [first, others @ ..] => {
            let decoded = decode_animation(bytes, header, first, canvas, target)?;
            for frame in others.iter().filter(|_| target.verify) {
                decode_frame(bytes, header, frame, Some((1, 1)))?;
            }
            Ok(decoded)
        }
    }
}

fn decode_still(data: &[u8], header: &WebpHeader, canvas: (u32, u32), target: DecodeTarget) -> Result<Decoded, Error> {
    let features = features(data)?;
    if features.size != canvas {
        return Err(Error::corrupt("the WebP states two different sizes"));
    }
    let pixels = if features.has_alpha {
        let pixels = libwebp::decode(data, canvas, true, header.decoder_bytes)?;
        let mut reducer = Reducer::new(canvas.0, canvas.1, true, target.min_longer_side);
        for row in pixels.chunks_exact(canvas.0 as usize * 4) {
            reducer.push(row, 4);
        }
        Pixels::Rgb(reducer.finish())
    } else if features.is_lossy && webp_planes::planes_bytes(canvas.0, canvas.1).is_some() {
        Pixels::YCbCr(webp_planes::decode(data, canvas, target.min_longer_side, header.decoder_bytes)?)
    } else {
        let size = scaled(canvas.0, canvas.1, target.min_longer_side);
        let pixels = libwebp::decode(data, size, false, header.decoder_bytes)?;
        Pixels::Rgb(Bitmap::new(size.0, size.1, false, pixels))
    };
    Ok(Decoded { has_alpha: features.has_alpha, pixels, frames: 1 })
}

/// Draws the first frame on a transparent canvas.
fn decode_animation(
    bytes: &[u8],
    header: &WebpHeader,
    first: &WebpFrame,
    canvas: (u32, u32),
    target: DecodeTarget,
) -> Result<Decoded, Error> {
    let (pixels, has_alpha) = decode_frame(bytes, header, first, None)?;
    let frame_row = first.width as usize * 4;
    let start = first.left as usize * 4;
    let mut reducer = Reducer::new(canvas.0, canvas.1, true, target.min_longer_side);
    let mut row = vec![0u8; canvas.0 as usize * 4];
    for y in 0..canvas.1 {
        row.fill(0);
        if (first.top..first.top + first.height).contains(&y) {
            let line = (y - first.top) as usize * frame_row;
            row[start..start + frame_row].copy_from_slice(&pixels[line..line + frame_row]);
        }
        reducer.push(&row, 4);
    }
    let covers = (first.width, first.height) == canvas;
    let frames = u32::try_from(header.frames.len()).unwrap_or(u32::MAX);
    Ok(Decoded { pixels: Pixels::Rgb(reducer.finish()), has_alpha: has_alpha || !covers, frames })
}

/// Returns the RGBA pixels of a frame at `size`, or at its own size, and whether it has alpha.
fn decode_frame(
    bytes: &[u8],
    header: &WebpHeader,
    frame: &WebpFrame,
    size: Option<(u32, u32)>,
) -> Result<(Vec<u8>, bool), Error> {
    // libwebp accepts the chunks of a frame as a bitstream, without a RIFF header.
    let data = bytes.get(frame.data.clone()).unwrap_or_default();
    let features = features(data)?;
    if features.size != (frame.width, frame.height) {
        return Err(Error::corrupt("a frame of the WebP states two different sizes"));
    }
    let pixels = libwebp::decode(data, size.unwrap_or(features.size), true, header.decoder_bytes)?;
    Ok((pixels, features.has_alpha))
}

fn features(data: &[u8]) -> Result<Features, Error> {
    let features = libwebp::features(data).ok_or_else(|| Error::corrupt("the WebP image data has no valid header"))?;
    if features.has_animation {
        return Err(Error::corrupt("the WebP has an animation in place of an image"));
    }
    Ok(features)
}

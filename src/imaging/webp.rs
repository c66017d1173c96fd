//! WebP, by libwebp. An opaque still picture is scaled down while it is decoded. One with alpha is decoded whole, since
//! libwebp's scaler would mix colours from under transparent pixels into lossy pictures; so are an animation's frames,
//! one at a time: the first is put on the canvas, the others only prove the file whole.
//!
//! libwebp is called directly since the `webp` crate can neither scale nor decode an animation without keeping every
//! frame. It gets memory of ours to write to and hands none back, so there is nothing to free.

#![expect(unsafe_code, reason = "libwebp's scaled decoding has no safe wrapper")]

use super::Decoded;
use super::aim::Aim;
use super::error::Error;
use super::explain;
use super::picture::{Picture, Reducer};
use super::pixels::Pixels;
use super::webp_header::{WebpFrame, WebpHeader, scaled};
use libwebp_sys as ffi;

pub(super) fn decode(bytes: &[u8], header: &WebpHeader, canvas: (u32, u32), aim: Aim) -> Result<Decoded, Error> {
    match header.frames.as_slice() {
        [] => {
            let data = header.still.clone().ok_or_else(|| Error::corrupt("the WebP has no picture"))?;
            decode_still(bytes.get(data).unwrap_or_default(), canvas, aim)
        }
        [first, others @ ..] => {
            let decoded = decode_animation(bytes, first, canvas, 1 + others.len(), aim)?;
            for frame in others.iter().filter(|_| aim.prove) {
                decode_frame(bytes, frame, Some((1, 1)))?;
            }
            Ok(decoded)
        }
    }
}

fn decode_still(data: &[u8], canvas: (u32, u32), aim: Aim) -> Result<Decoded, Error> {
    let features = features(data)?;
    if features.size != canvas {
        return Err(Error::corrupt("the WebP states two different sizes"));
    }
    let picture = if features.has_alpha {
        let pixels = decode_pixels(data, canvas, true)?;
        let mut reducer = Reducer::new(canvas.0, canvas.1, true, aim.cover);
        for row in pixels.chunks_exact(canvas.0 as usize * 4) {
            reducer.push(row, 4);
        }
        reducer.finish()
    } else {
        let size = scaled(canvas.0, canvas.1, aim.cover);
        Picture::whole(size.0, size.1, false, decode_pixels(data, size, false)?)
    };
    Ok(Decoded { has_alpha: features.has_alpha, pixels: Pixels::Rgb(picture), frames: 1 })
}

/// The first frame on a transparent canvas.
fn decode_animation(bytes: &[u8], first: &WebpFrame, canvas: (u32, u32), frames: usize, aim: Aim) -> Result<Decoded, Error> {
    let (pixels, has_alpha) = decode_frame(bytes, first, None)?;
    let frame_row = first.width as usize * 4;
    let start = first.left as usize * 4;
    let mut reducer = Reducer::new(canvas.0, canvas.1, true, aim.cover);
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
    Ok(Decoded { pixels: Pixels::Rgb(reducer.finish()), has_alpha: has_alpha || !covers, frames: frames as u32 })
}

/// A frame's RGBA pixels at `size`, or its own; and whether it has alpha.
fn decode_frame(bytes: &[u8], frame: &WebpFrame, size: Option<(u32, u32)>) -> Result<(Vec<u8>, bool), Error> {
    // Its chunks are a bitstream that libwebp takes as it is, without a RIFF header.
    let data = bytes.get(frame.data.clone()).unwrap_or_default();
    let features = features(data)?;
    if features.size != (frame.width, frame.height) {
        return Err(Error::corrupt("a frame of the WebP states two different sizes"));
    }
    let pixels = decode_pixels(data, size.unwrap_or(features.size), true)?;
    Ok((pixels, features.has_alpha))
}

struct Features {
    size: (u32, u32),
    has_alpha: bool,
}

fn features(data: &[u8]) -> Result<Features, Error> {
    let features =
        webp::BitstreamFeatures::new(data).ok_or_else(|| Error::corrupt("the WebP picture data has no valid header"))?;
    if features.has_animation() {
        return Err(Error::corrupt("the WebP has an animation where a picture belongs"));
    }
    Ok(Features { size: (features.width(), features.height()), has_alpha: features.has_alpha() })
}

/// Decodes all of a bitstream, scaled to `width × height`, as RGBA or RGB.
fn decode_pixels(data: &[u8], (width, height): (u32, u32), alpha: bool) -> Result<Vec<u8>, Error> {
    let mut config = ffi::WebPDecoderConfig::new().map_err(|()| Error::internal("the WebP decoder does not start"))?;
    let stride = width as usize * if alpha { 4 } else { 3 };
    let mut pixels = vec![0u8; stride * height as usize];
    let side = |length: usize| i32::try_from(length).map_err(|_| Error::internal("a WebP beyond all limits"));
    config.options.use_scaling = 1;
    config.options.scaled_width = side(width as usize)?;
    config.options.scaled_height = side(height as usize)?;
    config.output.colorspace = if alpha { ffi::WEBP_CSP_MODE::MODE_RGBA } else { ffi::WEBP_CSP_MODE::MODE_RGB };
    config.output.is_external_memory = 1;
    config.output.u.RGBA = ffi::WebPRGBABuffer { rgba: pixels.as_mut_ptr(), stride: side(stride)?, size: pixels.len() };
    // SAFETY: `data` is valid for its length; `config` was initialised by libwebp and describes `pixels`, which is
    // exclusively ours, outlives the call, and is as large as stated: libwebp checks width, height and stride against
    // `size` before it writes.
    let status = unsafe { ffi::WebPDecode(data.as_ptr(), data.len(), &mut config) };
    if status == ffi::VP8StatusCode::VP8_STATUS_OK { Ok(pixels) } else { Err(explain::webp(status)) }
}

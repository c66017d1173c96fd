//! Reads the header of a WebP: its RIFF chunks (RFC 9649, chapter 2). Chunks state their own length, so truncation is detected
//! here.

use super::bitmap::reduced_size;
use super::decode_target::{DecodeTarget, Purpose};
use super::error::Error;
use super::parsed_header::ParsedHeader;
use super::webp_lossless::{MAX_READ_PIXELS, bytes_beside_pixels};
use super::webp_planes::{planes_bytes, reduced_planes_bytes};
use super::{Kind, Limits, metadata, profile};
use crate::model::rendering::contain;
use std::ops::Range;

/// Maximum number of chunks that are not frames, as for PNG. A dozen are usual. A chunk costs no more than its bytes.
const MAX_OTHER_CHUNKS: usize = 262_144;

/// `RIFF`, the size, `WEBP`.
const RIFF_BYTES: usize = 12;

#[derive(Debug, Clone)]
pub(super) struct WebpHeader {
    /// The image chunks of a still image. Only they are passed to libwebp: in truncated data it would read on into the next
    /// chunk and decode that as an image.
    pub still: Option<Range<usize>>,
    /// The frames of an animation; empty for a still image.
    pub frames: Vec<WebpFrame>,
    /// Memory that libwebp may allocate for any of these bitstreams, beside the output pixels.
    pub decoder_bytes: u64,
}

#[derive(Debug, Clone)]
pub(super) struct WebpFrame {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
    /// The image chunks of the frame.
    pub data: Range<usize>,
}

pub(super) fn read(bytes: &[u8], limits: &Limits, purpose: &Purpose<'_>) -> Result<ParsedHeader, Error> {
    let size = number(bytes, 4, 4).ok_or_else(truncated)?;
    let end = (size as usize).saturating_add(8);
    if end > bytes.len() {
        return Err(truncated());
    }
    let mut container = Container { pixels_to_read: MAX_READ_PIXELS, ..Container::default() };
    container.chunks(&bytes[..end], limits)?;
    let (width, height) = container.canvas.ok_or_else(|| Error::corrupt("the WebP contains no image"))?;
    if container.animated && container.frames.is_empty() {
        return Err(Error::corrupt("the WebP contains no image"));
    }
    let orientation = metadata::orientation(bytes, container.exif.clone());
    let target = purpose.decode_target((width, height), orientation);
    let alpha = if container.opaque { Alpha::Ignored } else { Alpha::Used };
    let still = image_chunks(&bytes[..end], RIFF_BYTES..end, alpha);
    let own_bytes = if container.animated {
        // Frames are decoded one at a time.
        container.frames_bytes
    } else {
        let data = still.clone().map_or(&[][..], |data| &bytes[data]);
        decoder_bytes(data, (width, height), &mut container.pixels_to_read)?
    };
    let (decoder_bytes, image_bytes) = container.memory_bytes((width, height), own_bytes, target);
    Ok(ParsedHeader {
        kind: Kind::Webp(WebpHeader { still, frames: container.frames, decoder_bytes: own_bytes }),
        width,
        height,
        exif: container.exif,
        profile: container.profile.map(|range| profile::ColorSource::Uncompressed(vec![range])),
        orientation,
        target,
        decoder_bytes,
        image_bytes,
    })
}

/// Returns the size at which an opaque still image is decoded. libwebp averages while it decodes, so twice the required size is
/// enough, as for the reducer.
pub(super) fn scaled(width: u32, height: u32, min_longer_side: u32) -> (u32, u32) {
    let side = Some(min_longer_side.saturating_mul(2));
    contain((width, height), side, side)
}

/// What the chunks contain.
#[derive(Default)]
struct Container {
    canvas: Option<(u32, u32)>,
    animated: bool,
    alpha: bool,
    /// The VP8X header of a still image denies alpha. Viewers then ignore an alpha chunk.
    opaque: bool,
    frames: Vec<WebpFrame>,
    /// Decoder memory for the frame that needs most.
    frames_bytes: u64,
    /// How many more pixels may be read to calculate that.
    pixels_to_read: usize,
    exif: Option<Range<usize>>,
    profile: Option<Range<usize>>,
}

impl Container {
    fn chunks(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Error> {
        let mut at = RIFF_BYTES;
        let mut others = 0;
        while at < bytes.len() {
            let name = bytes.get(at..at + 4).ok_or_else(truncated)?;
            let length = number(bytes, at + 4, 4).ok_or_else(truncated)? as usize;
            let body = at + 8..(at + 8).saturating_add(length);
            if body.end > bytes.len() {
                return Err(truncated());
            }
            if name == b"ANMF" {
                if self.animated {
                    self.frame(bytes, body.clone(), limits)?;
                }
            } else {
                others += 1;
                self.other(name, &bytes[body.clone()], body.start, limits)?;
            }
            if others > MAX_OTHER_CHUNKS {
                return Err(Error::unsupported(format!("WebP with more than {MAX_OTHER_CHUNKS} chunks")));
            }
            // Chunks are padded to an even length. No other decoder accepts a file without the padding.
            at = body.end + (length & 1);
            if at > bytes.len() {
                return Err(truncated());
            }
        }
        Ok(())
    }

    fn other(&mut self, name: &[u8], body: &[u8], start: usize, limits: &Limits) -> Result<(), Error> {
        match name {
            b"VP8X" if self.canvas.is_none() => {
                let flags = number(body, 0, 1).ok_or_else(truncated)?;
                self.animated = flags & 0x02 != 0;
                self.alpha = flags & 0x10 != 0;
                self.opaque = !self.alpha && !self.animated;
                let width = number(body, 4, 3).ok_or_else(truncated)? + 1;
                let height = number(body, 7, 3).ok_or_else(truncated)? + 1;
                // Checked before the frames are multiplied by it below.
                limits.check_size(width, height)?;
                self.canvas = Some((width, height));
            }
            b"VP8 " if self.canvas.is_none() => {
                if body.get(3..6) != Some(&[0x9d, 0x01, 0x2a]) {
                    return Err(Error::corrupt("the WebP image data does not start with its signature"));
                }
                let width = number(body, 6, 2).ok_or_else(truncated)? & 0x3fff;
                let height = number(body, 8, 2).ok_or_else(truncated)? & 0x3fff;
                self.canvas = Some((width, height));
            }
            b"VP8L" => {
                if body.first() != Some(&0x2f) {
                    return Err(Error::corrupt("the WebP image data does not start with its signature"));
                }
                let bits = number(body, 1, 4).ok_or_else(truncated)?;
                self.alpha |= bits >> 28 & 1 != 0;
                self.canvas = self.canvas.or(Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)));
            }
            b"ALPH" => self.alpha |= !self.opaque,
            b"ICCP" if self.profile.is_none() => self.profile = Some(start..start + body.len()),
            b"EXIF" if self.exif.is_none() => {
                // Some writers include JPEG's preamble.
                let skip = if body.starts_with(b"Exif\0\0") { 6 } else { 0 };
                self.exif = Some(start + skip..start + body.len());
            }
            _ => {}
        }
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8], body: Range<usize>, limits: &Limits) -> Result<(), Error> {
        let head = &bytes[body.clone()];
        let field = |at: usize| number(head, at, 3).ok_or_else(truncated);
        // If the frame contains no image, decoding reports it.
        let data = body.start + 16.min(head.len())..body.end;
        let frame = WebpFrame {
            left: field(0)? * 2,
            top: field(3)? * 2,
            width: field(6)? + 1,
            height: field(9)? + 1,
            data: image_chunks(bytes, data.clone(), Alpha::Used).unwrap_or(data.end..data.end),
        };
        let (width, height) = self.canvas.unwrap_or((0, 0));
        if frame.left + frame.width > width || frame.top + frame.height > height {
            return Err(Error::corrupt("the WebP has a frame outside its canvas"));
        }
        let size = (frame.width, frame.height);
        let frame_bytes = decoder_bytes(&bytes[frame.data.clone()], size, &mut self.pixels_to_read)?;
        self.frames_bytes = self.frames_bytes.max(frame_bytes);
        self.frames.push(frame);
        let frames = self.frames.len() as u64;
        if frames > 1 && frames * u64::from(width) * u64::from(height) > limits.max_frame_pixels {
            let limit = limits.max_frame_pixels;
            return Err(Error::TooManyPixels { frames, width, height, limit });
        }
        Ok(())
    }

    /// Returns the memory for the decoder, which itself allocates `own_bytes`, and for the image that it outputs.
    fn memory_bytes(&self, (width, height): (u32, u32), own_bytes: u64, target: DecodeTarget) -> (u64, u64) {
        let list = self.frames.len() as u64 * size_of::<WebpFrame>() as u64 * 2;
        if self.alpha || self.animated {
            // The decoder outputs the whole RGBA image, which is then reduced with sums for every column.
            let (small_width, small_height) = reduced_size(width, height, target.min_longer_side);
            let bitmap = u64::from(small_width) * u64::from(small_height) * 4;
            let sums = u64::from(width) * 32;
            (own_bytes + u64::from(width) * u64::from(height) * 4 + sums + bitmap + list, bitmap)
        } else {
            let (small_width, small_height) = scaled(width, height, target.min_longer_side);
            let bitmap = u64::from(small_width) * u64::from(small_height) * 3;
            let Some(planes) = planes_bytes(width, height) else { return (own_bytes + bitmap, bitmap) };
            // A lossy image is decoded to planes, which are copied when they are reduced, and chroma when it is interleaved.
            let decoding = planes + 2 * reduced_planes_bytes(width, height, target.min_longer_side);
            // If they are converted to RGB, luma, the upsampled chroma and RGB are in memory.
            let (small_width, small_height) = reduced_size(width, height, target.min_longer_side);
            let pixels = u64::from(small_width) * u64::from(small_height);
            (own_bytes + decoding.max(pixels * 6).max(bitmap), bitmap.max(pixels * 3))
        }
    }
}

/// Returns the maximum that libwebp allocates to decode these image chunks at this size.
fn decoder_bytes(data: &[u8], size: (u32, u32), left: &mut usize) -> Result<u64, Error> {
    let pixels = u64::from(size.0) * u64::from(size.1);
    // Rows, predictions and filters, for every 16 pixels of width.
    let mut total = u64::from(size.0) * 256 + (1 << 20);
    let mut at = 0;
    while let (Some(name), Some(length)) = (data.get(at..at + 4), number(data, at + 4, 4)) {
        let end = (at + 8).saturating_add(length as usize);
        let body = data.get(at + 8..end.min(data.len())).unwrap_or_default();
        total += match name {
            b"VP8L" => pixels * 4 + bytes_beside_pixels(body.get(5..).unwrap_or_default(), size, left)?,
            // The alpha plane. If it is compressed, also the lossless image whose green channel contains it.
            b"ALPH" if body.first().is_some_and(|flags| flags & 3 == 1) => {
                pixels + pixels * 4 + bytes_beside_pixels(&body[1..], size, left)?
            }
            b"ALPH" => pixels,
            _ => 0,
        };
        at = end.saturating_add(length as usize & 1);
    }
    // Allocators round up by at most an eighth.
    Ok(total + total / 8)
}

/// What to do with an alpha chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    Used,
    Ignored,
}

/// Returns the range from the alpha chunk, if it exists and is used, to the end of the first bitstream.
fn image_chunks(bytes: &[u8], within: Range<usize>, plane: Alpha) -> Option<Range<usize>> {
    let mut at = within.start;
    let mut alpha = None;
    while at < within.end {
        let name = bytes.get(at..at + 4)?;
        let end = (at + 8).checked_add(number(bytes, at + 4, 4)? as usize)?;
        match name {
            b"ALPH" if plane == Alpha::Used => alpha = alpha.or(Some(at)),
            b"VP8 " | b"VP8L" => return Some(alpha.unwrap_or(at)..end.min(within.end)),
            _ => {}
        }
        at = end + (end - at) % 2;
    }
    None
}

fn truncated() -> Error {
    Error::truncated("the WebP data")
}

/// Reads a little-endian number of up to four bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let field = bytes.get(at..at + length)?;
    Some(field.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}

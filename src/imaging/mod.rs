//! Images: what is an image, is it whole, and what do we show of it before anyone downloads it.
//!
//! Two calls, and memory is weighed between them. [`inspect`] looks at the header only: it takes microseconds and answers
//! which format, how large, and how many bytes [`process`] will need. `process` then decodes the file **once**; that one
//! pass proves it whole and feeds the thumbnails, from which colours and placeholder follow. Likewise [`inspect_stored`]
//! and [`render`] for one image of any size, [`inspect_for_pixels`] and [`pixels`] for its pixels.
//!
//! What holds for every input, however hostile: the format is told by content alone; no allocation is larger than the
//! checked dimensions explain; a truncated or damaged file is refused wherever its decoder or checksums can tell; nothing
//! panics, and what libjpeg reports by unwinding ends here as an [`Error`] (so `panic = "abort"` is not for this crate).
//! Everything blocks and is bound to the processor: call it on a decode thread.
//!
//! Images made here are sRGB, whatever colour profile the file has. Of an original only metadata is ever changed: where it
//! was taken is removed. Its image data is never touched.

mod bitmap;
mod canvas;
mod colors;
mod decode_target;
mod decoder_errors;
mod encode;
mod error;
mod gif;
mod gif_blocks;
mod hdr;
mod jpeg;
mod libwebp;
mod limits;
mod location;
mod metadata;
mod orient;
mod parsed_header;
mod pixels;
mod placeholder;
mod png;
mod png_chunks;
mod png_color_space;
mod png_header;
mod profile;
#[cfg(any(test, fuzzing))]
pub mod properties;
#[cfg(any(test, fuzzing))]
mod reference_decoder;
mod resample;
mod shrink;
mod sniff;
mod thumbnail;
mod webp;
mod webp_header;
mod webp_lossless;
mod webp_memory;
mod ycbcr;

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::model::color::Color;
use crate::model::image::{Format, Metadata, Thumbnail};
use crate::model::rendering::Rendering;
use decode_target::{DecodeTarget, Purpose};
pub use error::Error;
pub use jpeg::simd_enabled;
pub use limits::{Limits, MAX_SIDE};
pub use shrink::Shrunk;
use thumbnail::Original;

/// Recognises the image and checks the limits that its header can break; decodes nothing.
///
/// Trailing bytes after an image's end are accepted. EXIF that cannot be read counts as absent.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, limits, &Purpose::Upload { heights: &limits.thumbnail_heights }))
}

/// As [`inspect`], of a still image that is larger than the limits, for [`shrink()`].
pub fn inspect_oversize(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    catch_panic(|| shrink::inspect(bytes, limits))
}

/// Scales an image down to the limits and writes it in its own format, with its metadata. `header` is what
/// [`inspect_oversize`] said of these bytes.
pub fn shrink(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Shrunk, Error> {
    catch_panic(|| shrink::shrink(bytes, header, limits))
}

/// As [`inspect`], of a file that was accepted before, or made here, for [`render`].
pub fn inspect_stored(bytes: &[u8], limits: &Limits, rendering: &Rendering) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, &limits.for_stored(), &Purpose::Rendering(rendering)))
}

/// As [`inspect_stored`], for [`pixels`] of which the shorter side has `side` at least.
pub fn inspect_for_pixels(bytes: &[u8], limits: &Limits, side: u32) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, &limits.for_stored(), &Purpose::Pixels { side }))
}

/// Decodes the whole file once and makes everything that is shown of it. `header` is what [`inspect`] said of these bytes.
pub fn process(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Processed, Error> {
    catch_panic(|| {
        let mut stages = Stages::default();
        let decoded = stages.time("decode", || decode(bytes, header, limits))?;
        let (thumbnails, small) = stages.time("thumbnails", || {
            thumbnail::make(Original::new(decoded.pixels, bytes, header)?, header, &limits.thumbnail_heights)
        })?;
        let colors = stages.time("colors", || colors::dominant(&small));
        let placeholder = stages.time("placeholder", || placeholder::hash(&small))?;
        let cleaned = stages.time("location", || {
            if limits.keep_location { location::kept(bytes, header.format) } else { location::clean(bytes, header.format) }
        });
        let without_location = cleaned.file;
        let sha256 = stages.time("hash", || Sha256::digest(without_location.as_deref().unwrap_or(bytes)).into());
        let metadata = stages.time("metadata", || {
            let exif = metadata::read(bytes, header.exif.clone());
            Metadata {
                created_at: exif.created_at,
                modified_at: exif.modified_at,
                camera: exif.camera,
                orientation: header.orientation,
                has_alpha: decoded.has_alpha,
                animated: decoded.frames > 1,
                frames: decoded.frames,
                credentials: Some(cleaned.credentials),
                shrunk_from: None,
            }
        });
        Ok(Processed { thumbnails, colors, placeholder, metadata, sha256, without_location, stages: stages.0 })
    })
}

/// Makes one image of a file; of an animation, of its first frame. `header` is what [`inspect_stored`] said of these
/// bytes and this rendering.
///
/// The file is decoded at a scale that covers the rendering, and no further than to the end of its first frame.
pub fn render(bytes: &[u8], header: &Header, limits: &Limits, rendering: &Rendering) -> Result<Vec<u8>, Error> {
    catch_panic(|| thumbnail::render(Original::new(decode(bytes, header, limits)?.pixels, bytes, header)?, rendering))
}

/// The pixels of a file, at a scale that covers what [`inspect_for_pixels`] was asked for; of an animation, of its first frame.
pub fn pixels(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Rgb, Error> {
    catch_panic(|| thumbnail::pixels(Original::new(decode(bytes, header, limits)?.pixels, bytes, header)?))
}

/// An image as displayed, in sRGB, on a white page: 8 bits a channel, in rows, top row first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// What a file says of itself before it is decoded.
#[derive(Debug, Clone)]
pub struct Header {
    pub format: Format,
    /// As displayed: the EXIF orientation is applied.
    pub width: u32,
    /// As displayed.
    pub height: u32,
    /// EXIF orientation, 1 to 8; 1 when the file says nothing.
    pub orientation: u8,
    /// Whether it is for [`shrink()`].
    pub oversize: bool,
    /// Memory that [`process`], [`shrink()`] or [`render`] needs at its peak, not counting the file itself.
    pub weight_bytes: u64,
    /// Width and height as stored.
    stored: (u32, u32),
    /// Where the EXIF block (its TIFF header) lies in the file.
    exif: Option<Range<usize>>,
    /// The colours that its pixels are of; sRGB without.
    profile: Option<profile::ColorSource>,
    target: DecodeTarget,
    kind: Kind,
}

/// What a format's decoder wants to know of its own header.
#[derive(Debug, Clone)]
enum Kind {
    Jpeg(jpeg::header::JpegHeader),
    Png(png_header::PngHeader),
    Gif(gif_blocks::GifHeader),
    Webp(webp_header::WebpHeader),
}

#[derive(Debug, Clone)]
pub struct Processed {
    /// `small`, `medium`, then the heights; of two heights with the same pixels only one.
    pub thumbnails: Vec<MadeThumbnail>,
    /// About five dominant colours as sRGB, most common first. Empty for a fully transparent image.
    pub colors: Vec<Color>,
    /// A ThumbHash.
    pub placeholder: Vec<u8>,
    pub metadata: Metadata,
    /// The file to store in place of the one that was given, when that one told where the image was taken.
    pub without_location: Option<Vec<u8>>,
    /// Of the file that is to be stored.
    pub sha256: [u8; 32],
    /// How long each step took: `decode`, `thumbnails`, `colors`, `placeholder`, `location`, `hash`, `metadata`.
    pub stages: Vec<(&'static str, Duration)>,
}

/// A thumbnail, and its file: JPEG; or WebP when a pixel is transparent; or PNG when that is longer than WebP allows.
#[derive(Debug, Clone)]
pub struct MadeThumbnail {
    pub info: Thumbnail,
    pub bytes: Vec<u8>,
}

/// What a decoder found.
struct Decoded {
    pixels: pixels::Pixels,
    has_alpha: bool,
    frames: u32,
}

fn decode(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    match &header.kind {
        Kind::Jpeg(jpeg) => jpeg::decode(bytes, header, jpeg, limits),
        Kind::Png(png) => png::decode(bytes, png, header.stored, header.target),
        Kind::Gif(gif) => gif::decode(bytes, gif, header.target, limits),
        Kind::Webp(webp) => webp::decode(bytes, webp, header.stored, header.target),
    }
}

/// The last line of defence: a bug in a decoder refuses one image, not the thread's next ones.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("a decoder panicked")))
}

/// Collects how long each step took. Durations are all that is taken from the clock, so tests need not move it.
#[derive(Default)]
struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    fn time<T>(&mut self, name: &'static str, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        self.0.push((name, start.elapsed()));
        result
    }
}

//! Image processing: recognises and verifies uploaded images, creates thumbnails and resized images, and extracts metadata.
//!
//! Processing takes two calls, so that the caller can reserve memory between them. [`inspect`] reads only the header, in
//! microseconds. It returns the format, the size, and the memory that [`process`] needs. `process` then decodes the file
//! **once**: the same pass verifies the file and creates the thumbnails, from which the colours and the placeholder are
//! computed. In the same way, [`inspect_stored`] and [`render`] create one resized image, and [`inspect_for_pixels`] and
//! [`pixels`] return the pixels.
//!
//! Guarantees for every input, including hostile ones:
//! - The content alone determines the format.
//! - Every allocation is bounded by the checked dimensions.
//! - A truncated or damaged file is rejected wherever its decoder or checksums can detect the damage.
//! - Nothing panics. libjpeg reports errors by unwinding, which is converted to an [`Error`] here, so this crate cannot use
//!   `panic = "abort"`.
//!
//! All functions block and are CPU-bound: call them on a decode thread.
//!
//! Created images are sRGB, whatever colour profile the file has. In an original, only metadata ever changes: location metadata
//! is removed. Its image data is never modified.

mod bitmap;
mod canvas;
mod colors;
mod decode_target;
mod decoder_errors;
mod encode;
mod error;
mod gif;
mod gif_blocks;
mod gif_lzw;
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
mod prefix_codes;
mod profile;
#[cfg(any(test, fuzzing))]
pub mod properties;
#[cfg(any(test, fuzzing))]
mod reference_decoder;
mod resample;
mod shrink;
mod sniff;
mod thumbnail;
mod transpose;
mod webp;
mod webp_alpha;
mod webp_alpha_groups;
mod webp_alpha_prediction;
mod webp_alpha_tokens;
mod webp_header;
mod webp_lossless;
mod webp_memory;
mod webp_planes;
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
pub use limits::{Limits, MAX_SIDE};
pub use shrink::Shrunk;
use thumbnail::Original;

/// Recognises the format and checks the limits that apply to the header. Decodes nothing.
///
/// Trailing bytes after the end of the image are accepted. Unreadable EXIF counts as absent.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, limits, &Purpose::Upload { heights: &limits.thumbnail_heights }))
}

/// Inspects a still image that exceeds the limits, for [`shrink()`]. See [`inspect`].
pub fn inspect_oversize(bytes: &[u8], limits: &Limits) -> Result<Header, Error> {
    catch_panic(|| shrink::inspect(bytes, limits))
}

/// Scales an image down to the limits and writes it in its own format, with its metadata. `header` is the result of
/// [`inspect_oversize`] for these bytes.
pub fn shrink(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Shrunk, Error> {
    catch_panic(|| shrink::shrink(bytes, header, limits))
}

/// Inspects a file that was accepted or created earlier, for [`render`]. See [`inspect`].
pub fn inspect_stored(bytes: &[u8], limits: &Limits, rendering: &Rendering) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, &limits.for_stored(), &Purpose::Rendering(rendering)))
}

/// Inspects a stored file for [`pixels`] whose shorter side is at least `side`. See [`inspect_stored`].
pub fn inspect_for_pixels(bytes: &[u8], limits: &Limits, side: u32) -> Result<Header, Error> {
    catch_panic(|| sniff::read_header(bytes, &limits.for_stored(), &Purpose::Pixels { side }))
}

/// Decodes the whole file once and creates everything that is stored with an image. `header` is the result of [`inspect`] for
/// these bytes.
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

/// Creates one resized image, of an animation from its first frame. `header` is the result of [`inspect_stored`] for these
/// bytes and this rendering.
///
/// The file is decoded at the smallest scale that covers the rendering, and only to the end of its first frame.
pub fn render(bytes: &[u8], header: &Header, limits: &Limits, rendering: &Rendering) -> Result<Vec<u8>, Error> {
    catch_panic(|| thumbnail::render(Original::new(decode(bytes, header, limits)?.pixels, bytes, header)?, rendering))
}

/// Returns the pixels of a file, of an animation those of its first frame. The scale covers the side given to
/// [`inspect_for_pixels`].
pub fn pixels(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Rgb, Error> {
    catch_panic(|| thumbnail::pixels(Original::new(decode(bytes, header, limits)?.pixels, bytes, header)?))
}

/// An image as displayed, in sRGB on a white background: 8 bits per channel, in rows, top row first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// The header of a file: what is known before decoding.
#[derive(Debug, Clone)]
pub struct Header {
    pub format: Format,
    /// As displayed, with the EXIF orientation applied.
    pub width: u32,
    /// As displayed.
    pub height: u32,
    /// EXIF orientation, 1 to 8; 1 if the file has none.
    pub orientation: u8,
    /// Whether the image exceeds the limits and needs [`shrink()`].
    pub oversize: bool,
    /// Peak memory of [`process`], [`shrink()`] or [`render`], excluding the file itself.
    pub weight_bytes: u64,
    /// Width and height as stored.
    stored: (u32, u32),
    /// Where the EXIF block (its TIFF header) is in the file.
    exif: Option<Range<usize>>,
    /// The colour space of the pixels; `None` for sRGB.
    profile: Option<profile::ColorSource>,
    target: DecodeTarget,
    kind: Kind,
}

/// The part of the header that only the decoder of the format needs.
#[derive(Debug, Clone)]
enum Kind {
    Jpeg(jpeg::header::JpegHeader),
    Png(png_header::PngHeader),
    Gif(gif_blocks::GifHeader),
    Webp(webp_header::WebpHeader),
}

/// The result of [`process`].
#[derive(Debug, Clone)]
pub struct Processed {
    /// `small`, `medium`, then the additional heights. Of two heights with the same pixels, only one is created.
    pub thumbnails: Vec<MadeThumbnail>,
    /// About five dominant colours in sRGB, most common first. Empty for a fully transparent image.
    pub colors: Vec<Color>,
    /// A ThumbHash.
    pub placeholder: Vec<u8>,
    pub metadata: Metadata,
    /// The file to store instead of the uploaded one, if that contained location metadata.
    pub without_location: Option<Vec<u8>>,
    /// SHA-256 of the file to store.
    pub sha256: [u8; 32],
    /// Duration of each step: `decode`, `thumbnails`, `colors`, `placeholder`, `location`, `hash`, `metadata`.
    pub stages: Vec<(&'static str, Duration)>,
}

/// A thumbnail and its encoded file: JPEG, or WebP if a pixel is transparent, or PNG if that is longer than WebP allows.
#[derive(Debug, Clone)]
pub struct MadeThumbnail {
    pub info: Thumbnail,
    pub bytes: Vec<u8>,
}

/// The output of a decoder.
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

/// Converts a panic to an error, so that a bug in a decoder fails one image and not the thread.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("a decoder panicked")))
}

/// Measures how long each step takes. Only durations are read from the clock, so tests do not need to control it.
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

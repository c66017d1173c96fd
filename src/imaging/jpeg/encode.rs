//! JPEG encoding by mozjpeg.

use super::libjpeg_error::catch;
use crate::imaging::Limits;
use crate::imaging::bitmap::Bitmap;
use crate::imaging::error::Error;
use crate::imaging::ycbcr::Plane;
use mozjpeg::{ColorSpace, Compress};

/// Chroma subsampling of a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Chroma {
    /// One chroma sample for four pixels (4:2:0): enough for photos and for all scaled-down images.
    Quarter,
    /// One chroma sample for each pixel (4:4:4), so that a thin red line stays red.
    Full,
}

/// Encodes an RGB bitmap. mozjpeg's own defaults (trellis, progressive) would take 38 times as long for files 18% smaller.
pub(in crate::imaging) fn encode(bitmap: &Bitmap, quality: f32, chroma: Chroma) -> Result<Vec<u8>, Error> {
    encoder_result(|| {
        let mut compress = Compress::new(ColorSpace::JCS_RGB);
        prepare(&mut compress, (bitmap.width, bitmap.height), quality);
        if chroma == Chroma::Full {
            compress.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
        }
        let mut started = compress.start_compress(Vec::new())?;
        started.write_scanlines(&bitmap.pixels)?;
        started.finish()
    })
}

/// Encodes YCbCr planes that are already 4:2:0.
pub(in crate::imaging) fn encode_planes(luma: &Plane, chroma: &Plane, quality: f32) -> Result<Vec<u8>, Error> {
    encoder_result(|| {
        let mut compress = Compress::new(ColorSpace::JCS_YCbCr);
        prepare(&mut compress, (luma.width, luma.height), quality);
        compress.set_raw_data_in(true);
        let mut started = compress.start_compress(Vec::new())?;
        let planes = [luma.padded(1, 0, BLOCK), chroma.padded(2, 0, BLOCK), chroma.padded(2, 1, BLOCK)];
        if !started.write_raw_data(&planes.each_ref().map(Vec::as_slice)) {
            return Err(std::io::ErrorKind::Other.into());
        }
        started.finish()
    })
}

/// Samples on each side of a block.
const BLOCK: usize = 8;

fn prepare(compress: &mut Compress, (width, height): (u32, u32), quality: f32) {
    compress.set_size(width as usize, height as usize);
    compress.set_fastest_defaults();
    compress.set_quality(quality);
    compress.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
}

fn encoder_result(write: impl FnOnce() -> std::io::Result<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| Error::internal(format!("encoding a JPEG: {error}"));
    catch(&Limits::default(), || write().map_err(failed)).map_err(|error| match error {
        Error::Internal { .. } => error,
        other => Error::internal(format!("encoding a JPEG: {other}")),
    })
}

/// Encodes inverted inks, four per pixel, with Adobe's marker.
pub(in crate::imaging) fn encode_cmyk(size: (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    encode_samples(ColorSpace::JCS_CMYK, size, samples, quality)
}

/// Encodes grey samples.
pub(in crate::imaging) fn encode_grey(size: (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    encode_samples(ColorSpace::JCS_GRAYSCALE, size, samples, quality)
}

fn encode_samples(space: ColorSpace, (width, height): (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    encoder_result(|| {
        let mut compress = Compress::new(space);
        compress.set_size(width as usize, height as usize);
        compress.set_fastest_defaults();
        compress.set_quality(quality);
        let mut started = compress.start_compress(Vec::new())?;
        started.write_scanlines(samples)?;
        started.finish()
    })
}

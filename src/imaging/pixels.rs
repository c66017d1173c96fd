//! The output of a decoder, from which thumbnails are created: RGB, or YCbCr planes of a JPEG.

use super::bitmap::Bitmap;
use super::error::Error;
use super::jpeg::encode::{Chroma, encode_planes};
use super::orient;
use super::resample::{Part, Source, lanczos3, resample};
use super::ycbcr::YCbCr;
use super::{Format, encode};

/// Decoded pixels, as stored: the orientation is not applied yet.
#[derive(Debug, Clone)]
pub(super) enum Pixels {
    Rgb(Bitmap),
    YCbCr(YCbCr),
}

impl Pixels {
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Rgb(bitmap) => (bitmap.width, bitmap.height),
            Self::YCbCr(ycbcr) => (ycbcr.luma.width, ycbcr.luma.height),
        }
    }

    /// The part that the original covers, from the top left corner. The last column and row can be partial.
    pub fn covered(&self) -> (f64, f64) {
        match self {
            Self::Rgb(bitmap) => bitmap.covered,
            Self::YCbCr(ycbcr) => ycbcr.luma.covered,
        }
    }

    pub fn has_alpha(&self) -> bool {
        matches!(self, Self::Rgb(bitmap) if bitmap.alpha)
    }

    /// Returns whether any pixel is not fully opaque.
    pub fn is_transparent(&self) -> bool {
        matches!(self, Self::Rgb(bitmap) if bitmap.is_transparent())
    }

    /// Returns whether all pixels are grey.
    pub fn is_grey(&self) -> bool {
        match self {
            Self::Rgb(bitmap) => bitmap.is_grey(),
            Self::YCbCr(ycbcr) => ycbcr.is_grey(),
        }
    }

    /// Returns whether `part` at `size` is the whole image as it is.
    pub fn is(&self, part: Part, size: (u32, u32)) -> bool {
        match self {
            Self::Rgb(bitmap) => is_whole(bitmap, part, size),
            Self::YCbCr(ycbcr) => ycbcr.is(part, size),
        }
    }

    pub fn into_rgb(self) -> Result<Bitmap, Error> {
        match self {
            Self::Rgb(bitmap) => Ok(bitmap),
            Self::YCbCr(ycbcr) => ycbcr.into_rgb(),
        }
    }

    /// Resizes `part` to `size` with Lanczos3. Transparent pixels do not affect the colour of their neighbours.
    pub fn resized(&self, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        match self {
            Self::Rgb(bitmap) => resize(bitmap, part, size).map(Self::Rgb),
            Self::YCbCr(ycbcr) => ycbcr.resized(part, size).map(Self::YCbCr),
        }
    }

    /// Applies the orientation. Use it after resizing, when few pixels are left.
    pub fn upright(self, orientation: u8) -> Self {
        match self {
            Self::Rgb(bitmap) => Self::Rgb(orient::upright(bitmap, orientation)),
            Self::YCbCr(ycbcr) => Self::YCbCr(ycbcr.upright(orientation)),
        }
    }

    /// Encodes the pixels. YCbCr planes are written as JPEG without conversion, always 4:2:0.
    pub fn encode(&self, format: Format, quality: u8, chroma: Chroma) -> Result<Vec<u8>, Error> {
        match self {
            Self::Rgb(bitmap) => encode::encode(bitmap, format, quality, chroma),
            Self::YCbCr(ycbcr) => match ycbcr.halved_chroma()? {
                Some(planes) if format == Format::Jpeg => encode_planes(&ycbcr.luma, &planes, f32::from(quality)),
                _ => encode::encode(&ycbcr.clone().into_rgb()?, format, quality, chroma),
            },
        }
    }
}

fn is_whole(bitmap: &Bitmap, part: Part, size: (u32, u32)) -> bool {
    part == [0.0, 0.0, f64::from(size.0), f64::from(size.1)] && size == (bitmap.width, bitmap.height)
}

/// Resizes `part` to `size` with Lanczos3. Transparent pixels do not affect the colour of their neighbours.
pub(super) fn resize(bitmap: &Bitmap, part: Part, size: (u32, u32)) -> Result<Bitmap, Error> {
    if is_whole(bitmap, part, size) {
        return Ok(bitmap.clone());
    }
    let channels = bitmap.channels();
    let source = Source { width: bitmap.width, height: bitmap.height, channels, samples: &bitmap.pixels };
    let pixels = resample(source, part, size, lanczos3())?;
    Ok(Bitmap::new(size.0, size.1, bitmap.alpha, pixels))
}

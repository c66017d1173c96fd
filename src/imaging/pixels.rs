//! What a decoder hands on, and what thumbnails are made of: RGB, or JPEG's own planes.

use super::bitmap::Bitmap;
use super::error::Error;
use super::jpeg::encode::{Chroma, encode_planes};
use super::orient;
use super::resample::{Part, Source, lanczos3, resample};
use super::ycbcr::YCbCr;
use super::{Format, encode};

/// As stored: not yet oriented.
#[derive(Debug, Clone)]
pub(super) enum Pixels {
    Rgb(Bitmap),
    YCbCr(YCbCr),
}

impl Pixels {
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Rgb(picture) => (picture.width, picture.height),
            Self::YCbCr(ycbcr) => (ycbcr.luma.width, ycbcr.luma.height),
        }
    }

    /// The part that is covered by the original, from the top left corner.
    pub fn covered(&self) -> (f64, f64) {
        match self {
            Self::Rgb(picture) => picture.covered,
            Self::YCbCr(ycbcr) => ycbcr.luma.covered,
        }
    }

    pub fn has_alpha(&self) -> bool {
        matches!(self, Self::Rgb(picture) if picture.alpha)
    }

    /// Whether any pixel lets something through.
    pub fn is_transparent(&self) -> bool {
        matches!(self, Self::Rgb(picture) if picture.is_transparent())
    }

    /// Whether it is a picture of greys alone.
    pub fn is_grey(&self) -> bool {
        match self {
            Self::Rgb(picture) => picture.is_grey(),
            Self::YCbCr(ycbcr) => ycbcr.is_grey(),
        }
    }

    pub fn into_rgb(self) -> Result<Bitmap, Error> {
        match self {
            Self::Rgb(picture) => Ok(picture),
            Self::YCbCr(ycbcr) => ycbcr.into_rgb(),
        }
    }

    /// The part at `size`, by Lanczos3; transparent pixels lend no colour to their neighbours.
    pub fn resized(&self, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        match self {
            Self::Rgb(picture) => resize(picture, part, size).map(Self::Rgb),
            Self::YCbCr(ycbcr) => ycbcr.resized(part, size).map(Self::YCbCr),
        }
    }

    /// As displayed; for a picture that was resized.
    pub fn upright(self, orientation: u8) -> Self {
        match self {
            Self::Rgb(picture) => Self::Rgb(orient::upright(picture, orientation)),
            Self::YCbCr(ycbcr) => Self::YCbCr(ycbcr.upright(orientation)),
        }
    }

    /// As a file, for a picture that was resized. JPEG's own planes keep the chroma that they have.
    pub fn encode(&self, format: Format, quality: u8, chroma: Chroma) -> Result<Vec<u8>, Error> {
        match self {
            Self::Rgb(picture) => encode::encode(picture, format, quality, chroma),
            Self::YCbCr(YCbCr { luma, chroma: Some(planes) }) if format == Format::Jpeg => {
                encode_planes(luma, planes, f32::from(quality))
            }
            Self::YCbCr(ycbcr) => encode::encode(&ycbcr.clone().into_rgb()?, format, quality, chroma),
        }
    }
}

/// By Lanczos3; transparent pixels lend no colour to their neighbours.
pub(super) fn resize(picture: &Bitmap, part: Part, size: (u32, u32)) -> Result<Bitmap, Error> {
    if part == [0.0, 0.0, f64::from(size.0), f64::from(size.1)] && size == (picture.width, picture.height) {
        return Ok(picture.clone());
    }
    let channels = picture.channels();
    let source = Source { width: picture.width, height: picture.height, channels, samples: &picture.pixels };
    let pixels = resample(source, part, size, lanczos3())?;
    Ok(Bitmap::whole(size.0, size.1, picture.alpha, pixels))
}

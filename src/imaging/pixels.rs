//! What a decoder hands on, and what thumbnails are made of: RGB, or JPEG's own planes.

use super::encode::Chroma;
use super::error::Error;
use super::orient;
use super::picture::Picture;
use super::resample::{Part, Source, lanczos3, resample};
use super::ycc::Ycc;
use super::{Format, encode, jpeg};

/// As stored: not yet oriented.
#[derive(Debug, Clone)]
pub(super) enum Pixels {
    Rgb(Picture),
    Ycc(Ycc),
}

impl Pixels {
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Rgb(picture) => (picture.width, picture.height),
            Self::Ycc(ycc) => (ycc.luma.width, ycc.luma.height),
        }
    }

    /// The part that is covered by the original, from the top left corner.
    pub fn covered(&self) -> (f64, f64) {
        match self {
            Self::Rgb(picture) => picture.covered,
            Self::Ycc(ycc) => ycc.luma.covered,
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
            Self::Ycc(ycc) => ycc.is_grey(),
        }
    }

    pub fn into_rgb(self) -> Result<Picture, Error> {
        match self {
            Self::Rgb(picture) => Ok(picture),
            Self::Ycc(ycc) => ycc.into_rgb(),
        }
    }

    /// The part at `size`, by Lanczos3; transparent pixels lend no colour to their neighbours.
    pub fn resized(&self, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        match self {
            Self::Rgb(picture) => resize(picture, part, size).map(Self::Rgb),
            Self::Ycc(ycc) => ycc.resized(part, size).map(Self::Ycc),
        }
    }

    /// As displayed; for a picture that was resized.
    pub fn upright(self, orientation: u8) -> Self {
        match self {
            Self::Rgb(picture) => Self::Rgb(orient::upright(picture, orientation)),
            Self::Ycc(ycc) => Self::Ycc(ycc.upright(orientation)),
        }
    }

    /// As a file, for a picture that was resized. JPEG's own planes keep the chroma that they have.
    pub fn encode(&self, format: Format, quality: u8, chroma: Chroma) -> Result<Vec<u8>, Error> {
        match self {
            Self::Rgb(picture) => encode::encode(picture, format, quality, chroma),
            Self::Ycc(Ycc { luma, chroma: Some(planes) }) if format == Format::Jpeg => {
                jpeg::encode_planes(luma, planes, f32::from(quality))
            }
            Self::Ycc(ycc) => encode::encode(&ycc.clone().into_rgb()?, format, quality, chroma),
        }
    }
}

/// By Lanczos3; transparent pixels lend no colour to their neighbours.
pub(super) fn resize(picture: &Picture, part: Part, size: (u32, u32)) -> Result<Picture, Error> {
    if part == [0.0, 0.0, f64::from(size.0), f64::from(size.1)] && size == (picture.width, picture.height) {
        return Ok(picture.clone());
    }
    let channels = picture.channels();
    let source = Source { width: picture.width, height: picture.height, channels, samples: &picture.pixels };
    let pixels = resample(source, part, size, lanczos3())?;
    Ok(Picture::whole(size.0, size.1, picture.alpha, pixels))
}

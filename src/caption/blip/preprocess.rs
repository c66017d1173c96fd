//! Preprocessing for the image encoder: resizes an image to a square, normalises it and cuts it into patches.
//!
//! This follows `BlipImageProcessor` of transformers: bicubic interpolation with a = −0.5 and antialiasing, regardless of the
//! aspect ratio, then normalisation with CLIP's mean and standard deviation. Every published BLIP was trained this way, and no
//! `preprocessor_config.json` differs.

use fast_image_resize as fir;

use super::error::CaptionError;

/// Mean and standard deviation of each channel, for values from 0 to 1: `OPENAI_CLIP_MEAN` and `OPENAI_CLIP_STD` of transformers.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// An sRGB image with three bytes per pixel, in rows from the top.
#[derive(Clone, Copy)]
pub struct RgbImage<'a> {
    pub width: u32,
    pub height: u32,
    pub rgb: &'a [u8],
}

/// An image cut into squares with sides of `patch` pixels.
pub(super) struct Patches {
    side: usize,
    patch: usize,
    rgb: Vec<u8>,
    /// The normalised value of each byte, by channel.
    normalised: Vec<[f32; 3]>,
}

impl Patches {
    /// Preprocesses an image. `side` must be a multiple of `patch`.
    pub fn new(image: RgbImage<'_>, side: usize, patch: usize) -> Result<Self, CaptionError> {
        let normalised = (0..=u8::MAX)
            .map(|byte| std::array::from_fn(|channel| (f32::from(byte) / 255.0 - MEAN[channel]) / STD[channel]))
            .collect();
        Ok(Patches { side, patch, rgb: resize_to_square(image, side)?, normalised })
    }

    /// Writes the numbers of one patch: a red, a green and a blue plane. Patches are numbered row by row.
    pub fn write(&self, index: usize, planes: &mut [f32]) {
        let (patch, across) = (self.patch, self.side / self.patch);
        let (top, left) = (index / across * patch, index % across * patch);
        for (row, y) in (top..top + patch).enumerate() {
            let pixels = &self.rgb[(y * self.side + left) * 3..][..patch * 3];
            for (column, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
                for (channel, byte) in pixel.iter().enumerate() {
                    planes[(channel * patch + row) * patch + column] = self.normalised[usize::from(*byte)][channel];
                }
            }
        }
    }
}

fn resize_to_square(image: RgbImage<'_>, side: usize) -> Result<Vec<u8>, CaptionError> {
    let RgbImage { width, height, rgb } = image;
    let bytes = u128::from(width) * u128::from(height) * 3;
    if bytes == 0 || bytes != rgb.len() as u128 {
        return Err(CaptionError::NotRgb { width, height, bytes: rgb.len() });
    }
    resize(image, side).map_err(CaptionError::Resize)
}

/// Resizes with a pixel type known at compile time: the dynamic API would link the code for all pixel types.
fn resize(image: RgbImage<'_>, side: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    type Pixels = fir::pixels::U8x3;
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom)).use_alpha(false);
    let mut rgb = vec![0; side * side * 3];
    let from = fir::images::TypedImageRef::<Pixels>::from_buffer(image.width, image.height, image.rgb)?;
    let mut to = fir::images::TypedImage::<Pixels>::from_buffer(u32::try_from(side)?, u32::try_from(side)?, &mut rgb)?;
    fir::Resizer::new().resize_typed(&from, &mut to, &options)?;
    Ok(rgb)
}

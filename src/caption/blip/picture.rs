//! A picture as the image encoder wants it: squashed to a square, normalised, cut into patches.
//!
//! As `BlipImageProcessor` of transformers has it: bicubic interpolation with a = −0.5 that looks at all the pixels that go
//! into one, with no regard for the ratio of the sides; then CLIP's mean and deviation. Every published BLIP has been
//! trained so, and no `preprocessor_config.json` says otherwise.

use fast_image_resize as fir;

use super::error::CaptionError;

/// By channel, of values from 0 to 1: `OPENAI_CLIP_MEAN` and `OPENAI_CLIP_STD` of transformers.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// A picture of sRGB, three bytes to the pixel, row by row from the top.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    pub width: u32,
    pub height: u32,
    pub rgb: &'a [u8],
}

/// The picture's squares of `patch` pixels a side.
pub(super) struct Patches {
    side: usize,
    patch: usize,
    rgb: Vec<u8>,
    /// What becomes of a byte, by channel.
    normalised: Vec<[f32; 3]>,
}

impl Patches {
    /// `side` is a multiple of `patch`.
    pub fn cut(picture: Picture<'_>, side: usize, patch: usize) -> Result<Self, CaptionError> {
        let normalised = (0..=u8::MAX)
            .map(|byte| std::array::from_fn(|channel| (f32::from(byte) / 255.0 - MEAN[channel]) / DEVIATION[channel]))
            .collect();
        Ok(Patches { side, patch, rgb: squash(picture, side)?, normalised })
    }

    /// The numbers of one patch: a plane of red, one of green, one of blue. Patches are counted row by row.
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

fn squash(picture: Picture<'_>, side: usize) -> Result<Vec<u8>, CaptionError> {
    let Picture { width, height, rgb } = picture;
    let bytes = u128::from(width) * u128::from(height) * 3;
    if bytes == 0 || bytes != rgb.len() as u128 {
        return Err(CaptionError::NotAPicture { width, height, bytes: rgb.len() });
    }
    resize(picture, side).map_err(CaptionError::Resize)
}

/// With the kind of pixel known when compiled: a resizer that learns it at run time brings the code for all of them along.
fn resize(picture: Picture<'_>, side: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    type Pixels = fir::pixels::U8x3;
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom)).use_alpha(false);
    let mut rgb = vec![0; side * side * 3];
    let from = fir::images::TypedImageRef::<Pixels>::from_buffer(picture.width, picture.height, picture.rgb)?;
    let mut to = fir::images::TypedImage::<Pixels>::from_buffer(u32::try_from(side)?, u32::try_from(side)?, &mut rgb)?;
    fir::Resizer::new().resize_typed(&from, &mut to, &options)?;
    Ok(rgb)
}

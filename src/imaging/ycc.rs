//! A picture as JPEG has it: luma, and chroma that may be smaller (JFIF's YCbCr, the full range of BT.601).

use super::error::Error;
use super::picture::Picture;
use super::resample::{Source, resample};
use fast_image_resize::FilterType;

#[derive(Debug, Clone)]
pub(super) struct Ycc {
    pub luma: Channel,
    /// Cb and Cr; none for a grey picture.
    pub chroma: Option<[Channel; 2]>,
}

/// Samples in rows, top row first, as stored: not yet oriented.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub width: u32,
    pub height: u32,
    /// The part that is covered by the original, from the top left corner; the rest is padding.
    pub covered: (f64, f64),
    pub samples: Vec<u8>,
}

impl Ycc {
    /// Chroma is stretched to luma's size. The last column and row may be covered in part.
    pub fn into_rgb(self) -> Result<Picture, Error> {
        let covered = self.luma.covered;
        let (width, height) = (covered.0.ceil() as u32, covered.1.ceil() as u32);
        let stretch = (f64::from(width) / covered.0, f64::from(height) / covered.1);
        let luma = self.luma.rows(width, height);
        let pixels = match self.chroma {
            None => luma.flatten().flat_map(|&y| [y; 3]).collect(),
            Some([cb, cr]) => {
                let cb = cb.stretched(stretch, (width, height))?;
                let cr = cr.stretched(stretch, (width, height))?;
                let chroma = cb.chunks_exact(width as usize).zip(cr.chunks_exact(width as usize));
                let mut pixels = vec![0; width as usize * height as usize * 3];
                let rows = pixels.chunks_exact_mut(width as usize * 3);
                for ((row, luma), (cb, cr)) in rows.zip(luma).zip(chroma) {
                    for (((pixel, &y), &cb), &cr) in row.chunks_exact_mut(3).zip(luma).zip(cb).zip(cr) {
                        pixel.copy_from_slice(&rgb(y, cb, cr));
                    }
                }
                pixels
            }
        };
        Ok(Picture { width, height, alpha: false, covered, pixels })
    }
}

impl Channel {
    /// The first `height` rows, of the first `width` samples each.
    fn rows(&self, width: u32, height: u32) -> impl Iterator<Item = &[u8]> {
        self.samples.chunks_exact(self.width as usize).take(height as usize).map(move |row| &row[..width as usize])
    }

    /// The part that is covered, and as much more as is asked for, brought to `width × height`.
    fn stretched(&self, more: (f64, f64), (width, height): (u32, u32)) -> Result<Vec<u8>, Error> {
        let part = ((self.covered.0 * more.0).min(f64::from(self.width)), (self.covered.1 * more.1).min(f64::from(self.height)));
        if part == (f64::from(width), f64::from(height)) {
            return Ok(self.rows(width, height).flatten().copied().collect());
        }
        let source = Source { width: self.width, height: self.height, channels: 1, samples: &self.samples };
        resample(source, [0.0, 0.0, part.0, part.1], (width, height), FilterType::Bilinear)
    }
}

/// ITU-T T.871 (JFIF), 7, by 2¹⁶.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let sample = |value: i32| ((value + (1 << 15)) >> 16).clamp(0, 255) as u8;
    [sample(y + 91_881 * cr), sample(y - 22_554 * cb - 46_802 * cr), sample(y + 116_130 * cb)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_jfif() {
        assert_eq!(rgb(76, 85, 255), [254, 0, 0]);
        assert_eq!(rgb(150, 44, 21), [0, 255, 1]);
        assert_eq!(rgb(29, 255, 107), [0, 0, 254]);
        assert_eq!(rgb(200, 128, 128), [200; 3]);
    }
}

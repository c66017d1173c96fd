//! An image in the colour space of JPEG: a luma plane, and a chroma plane that may be smaller (JFIF's YCbCr, full-range
//! BT.601). Resizing and encoding it directly takes half as many samples as RGB, without colour conversion.

use super::bitmap::Bitmap;
use super::error::Error;
use super::orient;
use super::resample::{Part, Source, lanczos3, resample};
use fast_image_resize as fir;

#[derive(Debug, Clone)]
pub(super) struct YCbCr {
    pub luma: Plane,
    /// Interleaved Cb and Cr, so that both are resized in one pass; `None` for a grey image.
    pub chroma: Option<Plane>,
}

/// Samples in rows, top row first, as stored: the orientation is not applied yet.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub width: u32,
    pub height: u32,
    /// The part that the original covers, from the top left corner. Less than one pixel smaller than the plane.
    pub covered: (f64, f64),
    /// One sample per pixel for luma, two for chroma.
    pub samples: Vec<u8>,
}

impl YCbCr {
    /// Resizes `part`, in luma pixels, to `size`, with half as many chroma pixels each way. For odd sides, chroma is stretched
    /// by up to half a pixel.
    pub fn resized(&self, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        let half = (size.0.div_ceil(2), size.1.div_ceil(2));
        let chroma = self.chroma.as_ref().map(|chroma| chroma.resized(2, scaled(part, self.luma.covered, chroma.covered), half));
        Ok(YCbCr { luma: self.luma.resized(1, part, size)?, chroma: chroma.transpose()? })
    }

    /// Applies the orientation. Use it after resizing, when few pixels are left.
    pub fn upright(self, orientation: u8) -> Self {
        YCbCr { luma: self.luma.upright::<1>(orientation), chroma: self.chroma.map(|chroma| chroma.upright::<2>(orientation)) }
    }

    /// Returns whether the image has no colour.
    pub fn is_grey(&self) -> bool {
        self.chroma.iter().all(|chroma| chroma.samples.iter().all(|&sample| sample == 128))
    }

    /// Upsamples chroma and converts to RGB. The last column and row may be covered only in part.
    pub fn into_rgb(self) -> Result<Bitmap, Error> {
        let Plane { width, height, covered, samples: luma } = self.luma;
        let pixels = match self.chroma {
            None => luma.into_iter().flat_map(|y| [y; 3]).collect(),
            Some(chroma) => {
                let ratio = (f64::from(width) / covered.0, f64::from(height) / covered.1);
                let chroma = chroma.upsampled(ratio, (width, height))?;
                let (chroma, _) = chroma.as_chunks::<2>();
                let mut pixels = vec![0; luma.len() * 3];
                let (to, _) = pixels.as_chunks_mut::<3>();
                for ((pixel, &y), &[cb, cr]) in to.iter_mut().zip(&luma).zip(chroma) {
                    *pixel = rgb(y, cb, cr);
                }
                pixels
            }
        };
        Ok(Bitmap { width, height, alpha: false, covered, pixels })
    }
}

impl Plane {
    /// Builds a plane from rows of `stride` samples. Drops the padding, whose content is up to the encoder.
    pub fn from_padded(mut samples: Vec<u8>, stride: usize, covered: (f64, f64)) -> Self {
        let (width, height) = (covered.0.ceil() as u32, covered.1.ceil() as u32);
        let (columns, rows) = (width as usize, height as usize);
        if stride != columns {
            for row in 1..rows {
                samples.copy_within(row * stride..row * stride + columns, row * columns);
            }
        }
        samples.truncate(columns * rows);
        Plane { width, height, covered, samples }
    }

    /// Interleaves Cb and Cr, which have the same size.
    pub fn interleaved(cb: &Self, cr: &Self) -> Self {
        let mut samples = vec![0; cb.samples.len() * 2];
        let (pairs, _) = samples.as_chunks_mut::<2>();
        for ((pair, &cb), &cr) in pairs.iter_mut().zip(&cb.samples).zip(&cr.samples) {
            *pair = [cb, cr];
        }
        Plane { samples, ..*cb }
    }

    fn resized(&self, channels: usize, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        let (width, height) = size;
        let covered = (f64::from(width), f64::from(height));
        if part == [0.0, 0.0, covered.0, covered.1] && size == (self.width, self.height) {
            return Ok(self.clone());
        }
        // Lanczos rings when it enlarges.
        let enlarges = covered.0 > part[2] || covered.1 > part[3];
        let filter = if enlarges { fir::FilterType::Bilinear } else { lanczos3() };
        let source = Source { width: self.width, height: self.height, channels, samples: &self.samples };
        Ok(Plane { width, height, covered, samples: resample(source, part, size, filter)? })
    }

    fn upright<const CHANNELS: usize>(self, orientation: u8) -> Self {
        let size = (self.width, self.height);
        let Some(samples) = orient::upright_samples::<CHANNELS>(&self.samples, size, orientation) else { return self };
        let (width, height) = orient::displayed(size, orientation);
        Plane { width, height, covered: (f64::from(width), f64::from(height)), samples }
    }

    /// Upsamples chroma to `width × height`. `ratio` is the ratio of the whole luma plane to its covered part.
    fn upsampled(&self, ratio: (f64, f64), (width, height): (u32, u32)) -> Result<Vec<u8>, Error> {
        let part =
            ((self.covered.0 * ratio.0).min(f64::from(self.width)), (self.covered.1 * ratio.1).min(f64::from(self.height)));
        if part == (f64::from(width), f64::from(height)) {
            return Ok(self.samples.clone());
        }
        let source = Source { width: self.width, height: self.height, channels: 2, samples: &self.samples };
        resample(source, [0.0, 0.0, part.0, part.1], (width, height), fir::FilterType::Bilinear)
    }
}

/// Converts a part of a plane that covers `from` samples to a plane of the same image that covers `to` samples.
///
/// Multiplies before it divides: sides are small multiples of 1/32, so the product is exact, and the whole of one plane is
/// exactly the whole of the other. With the division first, rounding can exceed the plane (343 × (172 / 343) > 172).
fn scaled([left, top, width, height]: Part, from: (f64, f64), to: (f64, f64)) -> Part {
    [left * to.0 / from.0, top * to.1 / from.1, width * to.0 / from.0, height * to.1 / from.1]
}

/// ITU-T T.871 (JFIF), 7, multiplied by 2¹⁶.
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
    fn ycbcr_is_converted_as_in_jfif() {
        assert_eq!(rgb(76, 85, 255), [254, 0, 0]);
        assert_eq!(rgb(150, 44, 21), [0, 255, 1]);
        assert_eq!(rgb(29, 255, 107), [0, 0, 254]);
        assert_eq!(rgb(200, 128, 128), [200; 3]);
    }

    /// Returns the side of a luma plane that was decoded at a scale (in eighths) or resized, and that of its chroma plane.
    fn sides_of_luma_and_chroma(side: u32) -> impl Iterator<Item = (f64, f64)> {
        let decoded = [1u32, 2, 4, 8].into_iter().flat_map(move |eighths| {
            [1u32, 2, 4].map(|factor| {
                let luma = f64::from(side) * f64::from(eighths) / 8.0;
                (luma, luma / f64::from(factor))
            })
        });
        decoded.chain([(f64::from(side), f64::from(side.div_ceil(2)))])
    }

    #[test]
    fn the_whole_luma_plane_maps_exactly_to_the_whole_chroma_plane() {
        for side in 1..=u32::from(u16::MAX) {
            for (luma, chroma) in sides_of_luma_and_chroma(side) {
                let part = scaled([0.0, 0.0, luma, luma], (luma, luma), (chroma, chroma));
                assert_eq!(part, [0.0, 0.0, chroma, chroma], "{luma} samples of luma, {chroma} of chroma");
            }
        }
    }

    /// An image of one row or one column, resized as if a thumbnail were derived from a larger thumbnail.
    #[test]
    fn an_image_of_any_size_can_be_reduced() {
        let plane = |(width, height): (u32, u32), channels: usize| Plane {
            width,
            height,
            covered: (f64::from(width), f64::from(height)),
            samples: vec![100; (width * height) as usize * channels],
        };
        for side in 2..=4100u32 {
            for (size, half, to) in [((side, 1), (side.div_ceil(2), 1), (2, 1)), ((1, side), (1, side.div_ceil(2)), (1, 2))] {
                let ycbcr = YCbCr { luma: plane(size, 1), chroma: Some(plane(half, 2)) };
                let part = [0.0, 0.0, f64::from(size.0), f64::from(size.1)];
                let made = ycbcr.resized(part, to).unwrap_or_else(|error| unreachable!("{side}: {error}"));
                assert_eq!((made.luma.samples, made.chroma.map(|chroma| chroma.samples)), (vec![100; 2], Some(vec![100; 2])));
            }
        }
    }
}

//! An image in the colour space of JPEG: a luma plane, and a chroma plane that may be smaller (JFIF's YCbCr, full-range
//! BT.601). Resizing and encoding it directly takes half as many samples as RGB, without colour conversion.

use super::bitmap::Bitmap;
use super::error::Error;
use super::orient;
use super::resample::{Part, Source, lanczos3, resample};
use fast_image_resize as fir;
use std::borrow::Cow;

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
    /// by up to half a pixel. If nothing changes, chroma keeps its size.
    pub fn resized(&self, part: Part, size: (u32, u32)) -> Result<Self, Error> {
        if self.is(part, size) && self.chroma.iter().all(Plane::is_covered) {
            return Ok(self.clone());
        }
        let half = (size.0.div_ceil(2), size.1.div_ceil(2));
        let chroma = self.chroma.as_ref().map(|chroma| chroma.resized(2, scaled(part, self.luma.covered, chroma.covered), half));
        Ok(YCbCr { luma: self.luma.resized(1, part, size)?, chroma: chroma.transpose()? })
    }

    /// Returns whether `part` at `size` is the whole image as it is.
    pub fn is(&self, part: Part, size: (u32, u32)) -> bool {
        part == [0.0, 0.0, f64::from(size.0), f64::from(size.1)] && size == (self.luma.width, self.luma.height)
    }

    /// Returns chroma with half as many pixels each way, rounded up; `None` for a grey image.
    pub fn halved_chroma(&self) -> Result<Option<Cow<'_, Plane>>, Error> {
        let Some(chroma) = &self.chroma else { return Ok(None) };
        let (width, height) = (self.luma.width, self.luma.height);
        let half = (width.div_ceil(2), height.div_ceil(2));
        if (chroma.width, chroma.height) == half {
            return Ok(Some(Cow::Borrowed(chroma)));
        }
        let factor = |length: u32, whole: u32, half: u32| match length {
            _ if length == half => Some(1),
            _ if length == whole => Some(2),
            _ => None,
        };
        let halved = match (factor(chroma.width, width, half.0), factor(chroma.height, height, half.1)) {
            (Some(across), Some(down)) => chroma.averaged(half, (across, down)),
            _ => chroma.resized(2, [0.0, 0.0, chroma.covered.0, chroma.covered.1], half)?,
        };
        Ok(Some(Cow::Owned(halved)))
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

    /// Returns whether the original covers all samples completely.
    fn is_covered(&self) -> bool {
        self.covered == (f64::from(self.width), f64::from(self.height))
    }

    /// Averages 1 or 2 chroma samples each way to `width × height`. Rounds up and down in turns, so that the mean stays the same.
    fn averaged(&self, (width, height): (u32, u32), (across, down): (usize, usize)) -> Self {
        let (from_width, last) = (self.width as usize, self.height as usize - 1);
        let row = |index: usize| &self.samples[index.min(last) * from_width * 2..][..from_width * 2];
        let mut samples = vec![0; width as usize * height as usize * 2];
        for (index, to) in samples.chunks_exact_mut(width as usize * 2).enumerate() {
            average(row(index * down), row(index * down + down - 1), across, to);
        }
        Plane { width, height, covered: (f64::from(width), f64::from(height)), samples }
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
    fn upsampled(self, ratio: (f64, f64), (width, height): (u32, u32)) -> Result<Vec<u8>, Error> {
        let part =
            ((self.covered.0 * ratio.0).min(f64::from(self.width)), (self.covered.1 * ratio.1).min(f64::from(self.height)));
        if part == (f64::from(width), f64::from(height)) {
            return Ok(self.samples);
        }
        let source = Source { width: self.width, height: self.height, channels: 2, samples: &self.samples };
        resample(source, [0.0, 0.0, part.0, part.1], (width, height), fir::FilterType::Bilinear)
    }
}

/// Averages each sample of two rows with the other row, and with its right neighbour if `across` is 2.
fn average(above: &[u8], below: &[u8], across: usize, to: &mut [u8]) {
    let (above, below, to) = (above.as_chunks::<2>().0, below.as_chunks::<2>().0, to.as_chunks_mut::<2>().0);
    let mean = |index: usize, left: usize, right: usize, channel: usize| {
        let [a, b, c, d] = [above[left], above[right], below[left], below[right]].map(|pair| u16::from(pair[channel]));
        ((a + b + c + d + 1 + (index as u16 & 1)) >> 2) as u8
    };
    // The last column has no right neighbour if their number is odd.
    let whole = if across == 2 { above.len() / 2 } else { 0 };
    for (index, pair) in to.iter_mut().enumerate() {
        let (left, right) = if index < whole { (index * 2, index * 2 + 1) } else { (index * across, index * across) };
        *pair = [mean(index, left, right, 0), mean(index, left, right, 1)];
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

    #[test]
    fn chroma_at_full_size_is_averaged() {
        let plane = |width: u32, height: u32, samples: Vec<u8>| Plane {
            width,
            height,
            covered: (f64::from(width), f64::from(height)),
            samples,
        };
        let chroma = vec![10, 110, 20, 120, 30, 130, 30, 130, 40, 140, 50, 150, 70, 170, 72, 172, 90, 190];
        let halved = |luma: (u32, u32), chroma: Plane| {
            let luma = plane(luma.0, luma.1, vec![0; (luma.0 * luma.1) as usize]);
            let ycbcr = YCbCr { luma, chroma: Some(chroma) };
            ycbcr.halved_chroma().expect("chroma").map(|chroma| (chroma.width, chroma.height, chroma.samples.clone()))
        };
        let both = halved((3, 3), plane(3, 3, chroma.clone()));
        assert_eq!(both, Some((2, 2, vec![25, 125, 40, 140, 71, 171, 90, 190])));
        let rows = halved((6, 3), plane(3, 3, chroma.clone()));
        assert_eq!(rows, Some((3, 2, vec![20, 120, 30, 130, 40, 140, 70, 170, 72, 172, 90, 190])));
        let none = halved((5, 6), plane(3, 3, chroma.clone()));
        assert_eq!(none, Some((3, 3, chroma)));
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

//! JPEG encoding: baseline, with the standard Huffman tables. Our own encoder writes YCbCr, as fast as libjpeg with its assembly,
//! which a build without `nasm` does not have. mozjpeg writes grey and CMYK originals that are scaled down.

use super::libjpeg_error::catch;
use super::scan_writer::{self, BLOCK, Image, Strip};
use crate::imaging::bitmap::Bitmap;
use crate::imaging::error::Error;
use crate::imaging::ycbcr::Plane;
use crate::imaging::{Limits, MAX_SIDE};
use mozjpeg::{ColorSpace, Compress};

/// Chroma subsampling of a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Chroma {
    /// One chroma sample for four pixels (4:2:0): enough for photos and for all scaled-down images.
    Quarter,
    /// One chroma sample for each pixel (4:4:4), so that a thin red line stays red.
    Full,
}

/// Encodes an RGB bitmap.
pub(in crate::imaging) fn encode(bitmap: &Bitmap, quality: f32, chroma: Chroma) -> Result<Vec<u8>, Error> {
    write(&RgbImage { bitmap, chroma }, quality)
}

/// Encodes YCbCr planes that are already 4:2:0.
pub(in crate::imaging) fn encode_planes(luma: &Plane, chroma: &Plane, quality: f32) -> Result<Vec<u8>, Error> {
    write(&PlanarImage { luma, chroma }, quality)
}

fn write(image: &impl Image, quality: f32) -> Result<Vec<u8>, Error> {
    let (width, height) = image.size();
    if !(1..=MAX_SIDE as usize).contains(&width) || !(1..=MAX_SIDE as usize).contains(&height) {
        return Err(Error::internal(format!("a JPEG cannot have {width}×{height} pixels")));
    }
    Ok(scan_writer::write(image, quality as u32))
}

struct PlanarImage<'a> {
    luma: &'a Plane,
    chroma: &'a Plane,
}

impl Image for PlanarImage<'_> {
    fn size(&self) -> (usize, usize) {
        (self.luma.width as usize, self.luma.height as usize)
    }

    fn sampling(&self) -> &'static [usize] {
        &[2, 1, 1]
    }

    #[inline(always)]
    fn read(&self, mcu_row: usize, strips: &mut [Strip]) {
        let [y, cb, cr] = strips else { return };
        read_rows(self.luma, 1, mcu_row * BLOCK * 2, y, |to, from| to.copy_from_slice(from));
        read_rows(self.chroma, 2, mcu_row * BLOCK, cb, |to, from| {
            to.iter_mut().zip(from.as_chunks().0).for_each(|(to, [cb, _])| *to = *cb);
        });
        read_rows(self.chroma, 2, mcu_row * BLOCK, cr, |to, from| {
            to.iter_mut().zip(from.as_chunks().0).for_each(|(to, [_, cr])| *to = *cr);
        });
    }
}

/// Copies the rows from `first` on, and pads them.
#[inline(always)]
fn read_rows(plane: &Plane, channels: usize, first: usize, strip: &mut Strip, copy: impl Fn(&mut [u8], &[u8])) {
    let (width, last) = (plane.width as usize, plane.height as usize - 1);
    for (to, row) in strip.samples.chunks_exact_mut(strip.stride).zip(first..) {
        let from = &plane.samples[row.min(last) * width * channels..][..width * channels];
        let (covered, padding) = to.split_at_mut(width);
        copy(covered, from);
        padding.fill(covered[width - 1]);
    }
}

struct RgbImage<'a> {
    bitmap: &'a Bitmap,
    chroma: Chroma,
}

impl Image for RgbImage<'_> {
    fn size(&self) -> (usize, usize) {
        (self.bitmap.width as usize, self.bitmap.height as usize)
    }

    fn sampling(&self) -> &'static [usize] {
        if self.chroma == Chroma::Full { &[1, 1, 1] } else { &[2, 1, 1] }
    }

    #[inline(always)]
    fn read(&self, mcu_row: usize, strips: &mut [Strip]) {
        let [luma, blue, red] = strips else { return };
        let (width, last) = (self.bitmap.width as usize, self.bitmap.height as usize - 1);
        let stride = luma.stride;
        let first = mcu_row * luma.samples.len() / stride;
        let row = |index: usize| &self.bitmap.pixels[(first + index).min(last) * width * 3..][..width * 3];
        if self.chroma == Chroma::Full {
            let chroma = blue.samples.chunks_exact_mut(stride).zip(red.samples.chunks_exact_mut(stride));
            for (index, (y, (cb, cr))) in luma.samples.chunks_exact_mut(stride).zip(chroma).enumerate() {
                to_ycbcr(row(index), y, cb, cr);
            }
            return;
        }
        let (mut cb, mut cr) = (vec![0; stride * 2], vec![0; stride * 2]);
        let chroma = blue.samples.chunks_exact_mut(stride / 2).zip(red.samples.chunks_exact_mut(stride / 2));
        for (index, (y, (blue, red))) in luma.samples.chunks_exact_mut(stride * 2).zip(chroma).enumerate() {
            for half in 0..2 {
                let part = half * stride..(half + 1) * stride;
                to_ycbcr(row(index * 2 + half), &mut y[part.clone()], &mut cb[part.clone()], &mut cr[part]);
            }
            halve(&cb, blue);
            halve(&cr, red);
        }
    }
}

/// Converts a row (ITU-T T.871, 7), and pads it.
#[inline(always)]
fn to_ycbcr(rgb: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    let (pixels, _) = rgb.as_chunks::<3>();
    for (((&pixel, y), cb), cr) in pixels.iter().zip(y.iter_mut()).zip(cb.iter_mut()).zip(cr.iter_mut()) {
        let [r, g, b] = pixel.map(i32::from);
        // The factors of the standard, multiplied by 2¹⁶; those of a row add up to 2¹⁶ or 0.
        *y = ((19_595 * r + 38_470 * g + 7_471 * b + (1 << 15)) >> 16) as u8;
        *cb = ((-11_059 * r - 21_709 * g + 32_768 * b + (128 << 16) + (1 << 15) - 1) >> 16) as u8;
        *cr = ((32_768 * r - 27_439 * g - 5_329 * b + (128 << 16) + (1 << 15) - 1) >> 16) as u8;
    }
    for channel in [y, cb, cr] {
        let (covered, padding) = channel.split_at_mut(pixels.len());
        padding.fill(covered[covered.len() - 1]);
    }
}

/// Averages 2×2 samples of two rows. Rounds up and down in turns, so that the mean stays the same.
#[inline(always)]
fn halve(rows: &[u8], half: &mut [u8]) {
    let (above, below) = rows.split_at(rows.len() / 2);
    let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (index, (to, (above, below))) in half.iter_mut().zip(pairs).enumerate() {
        let sum = [above[0], above[1], below[0], below[1]].map(u16::from).iter().sum::<u16>();
        *to = ((sum + 1 + (index as u16 & 1)) >> 2) as u8;
    }
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

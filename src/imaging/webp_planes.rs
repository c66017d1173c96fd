//! Decodes a lossy WebP to its own luma and chroma planes and averages them there. That takes half as many samples as RGB, and
//! a quarter of the time of libwebp's scaler, which handles single planes one sample at a time. Thumbnails are created from
//! such planes (`ycbcr.rs`).

use super::bitmap::reduction;
use super::error::Error;
use super::libwebp;
use super::ycbcr::{Plane, YCbCr};

/// Larger images are scaled by libwebp, which needs only a few rows at a time: the planes of 16 megapixels.
const MAX_PLANES_BYTES: u64 = 24 << 20;

/// Returns the bytes of the planes; `None` if they are too large.
pub(super) fn planes_bytes(width: u32, height: u32) -> Option<u64> {
    let half = |side: u32| u64::from(side.div_ceil(2));
    let bytes = u64::from(width) * u64::from(height) + 2 * half(width) * half(height);
    (bytes <= MAX_PLANES_BYTES).then_some(bytes)
}

/// Returns the bytes of the reduced planes.
pub(super) fn reduced_planes_bytes(width: u32, height: u32, min_longer_side: u32) -> u64 {
    let factor = reduction(width, height, min_longer_side);
    let area = |width: u32, height: u32| u64::from(width.div_ceil(factor)) * u64::from(height.div_ceil(factor));
    area(width, height) + 2 * area(width.div_ceil(2), height.div_ceil(2))
}

/// Decodes a bitstream of this size completely. The longer side of the result keeps twice `min_longer_side`, as in a
/// [`Reducer`](super::bitmap::Reducer).
pub(super) fn decode(data: &[u8], size: (u32, u32), min_longer_side: u32, budget_bytes: u64) -> Result<YCbCr, Error> {
    let factor = reduction(size.0, size.1, min_longer_side) as usize;
    let [luma, cb, cr] = libwebp::decode_planes(data, size, factor > 1, budget_bytes)?;
    let half = (size.0.div_ceil(2), size.1.div_ceil(2));
    let covered = (f64::from(size.0) / factor as f64, f64::from(size.1) / factor as f64);
    let covered_half = (covered.0 / 2.0, covered.1 / 2.0);
    let luma = reduce(luma, size, covered, factor, LUMA);
    let [cb, cr] = [cb, cr].map(|plane| reduce(plane, half, covered_half, factor, CHROMA));
    Ok(YCbCr { luma, chroma: Some(Plane::interleaved(&cb, &cr)) })
}

/// The range of a plane in WebP (RFC 6386, 9.2: that of ITU-R BT.601), to be stretched to JPEG's.
#[derive(Clone, Copy)]
struct Range {
    /// The sample that stays the same value, in WebP and in JPEG.
    zero: (i64, i64),
    steps: i64,
}

const LUMA: Range = Range { zero: (16, 0), steps: 219 };
const CHROMA: Range = Range { zero: (128, 128), steps: 224 };

/// Bits of the fraction of a stretched sample.
const FRACTION: u32 = 32;

impl Range {
    /// Returns a function from the total of `count` samples to their mean in JPEG's range.
    fn mean(self, count: usize) -> impl Fn(u32) -> u8 {
        let count = count as i64;
        let scale = (255 << FRACTION) / (self.steps * count);
        let (zero, offset) = (self.zero.0 * count, (self.zero.1 << FRACTION) + (1 << (FRACTION - 1)));
        move |total| (((i64::from(total) - zero) * scale + offset) >> FRACTION).clamp(0, 255) as u8
    }
}

/// Averages blocks of `factor × factor` samples.
fn reduce(mut samples: Vec<u8>, (width, height): (u32, u32), covered: (f64, f64), factor: usize, range: Range) -> Plane {
    let columns = width as usize;
    let (width, height) = (width.div_ceil(factor as u32), height.div_ceil(factor as u32));
    if factor == 1 {
        let mean = range.mean(1);
        let stretched: [u8; 256] = std::array::from_fn(|sample| mean(sample as u32));
        samples.iter_mut().for_each(|sample| *sample = stretched[usize::from(*sample)]);
        return Plane { width, height, covered, samples };
    }
    let mut reduced = Vec::with_capacity(width as usize * height as usize);
    // 128 rows of 255 fit in 16 bits.
    let mut sums = vec![0u16; columns];
    for band in samples.chunks(columns * factor) {
        sums.fill(0);
        for row in band.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u16::from(sample));
        }
        combine(&sums, factor, band.len() / columns, range, &mut reduced);
    }
    Plane { width, height, covered, samples: reduced }
}

/// Appends the mean of each `factor` columns. Small factors are constants, so that the compiler unrolls their sums.
fn combine(sums: &[u16], factor: usize, rows: usize, range: Range, to: &mut Vec<u8>) {
    match factor {
        2 => combine_constant::<2>(sums, rows, range, to),
        3 => combine_constant::<3>(sums, rows, range, to),
        4 => combine_constant::<4>(sums, rows, range, to),
        _ => {
            let mean = range.mean(factor * rows);
            let (whole, rest) = sums.split_at(sums.len() - sums.len() % factor);
            to.extend(whole.chunks_exact(factor).map(|cell| mean(cell.iter().map(|&sum| u32::from(sum)).sum())));
            extend_partial(rest, rows, range, to);
        }
    }
}

fn combine_constant<const FACTOR: usize>(sums: &[u16], rows: usize, range: Range, to: &mut Vec<u8>) {
    let mean = range.mean(FACTOR * rows);
    let (whole, rest) = sums.as_chunks::<FACTOR>();
    to.extend(whole.iter().map(|cell| mean(cell.iter().map(|&sum| u32::from(sum)).sum())));
    extend_partial(rest, rows, range, to);
}

/// Appends the mean of the last columns, if there are fewer than the factor.
fn extend_partial(rest: &[u16], rows: usize, range: Range, to: &mut Vec<u8>) {
    if !rest.is_empty() {
        to.push(range.mean(rest.len() * rows)(rest.iter().map(|&sum| u32::from(sum)).sum()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_averaged_and_stretched() {
        for factor in 1..=9usize {
            let (width, height) = (23u32, 11u32);
            let samples: Vec<u8> = (0..width * height).map(|at| (at * 7919 % 256) as u8).collect();
            for (range, exact) in [
                (LUMA, (|mean: f64| (mean - 16.0) * 255.0 / 219.0) as fn(f64) -> f64),
                (CHROMA, |mean| (mean - 128.0) * 255.0 / 224.0 + 128.0),
            ] {
                let plane = reduce(samples.clone(), (width, height), (1.0, 1.0), factor, range);
                assert_eq!((plane.width, plane.height), (width.div_ceil(factor as u32), height.div_ceil(factor as u32)));
                for (at, &sample) in plane.samples.iter().enumerate() {
                    let (left, top) = (at % plane.width as usize * factor, at / plane.width as usize * factor);
                    let (right, bottom) = ((left + factor).min(23), (top + factor).min(11));
                    let block = (top..bottom).flat_map(|y| &samples[y * 23 + left..y * 23 + right]);
                    let mean = block.clone().map(|&sample| f64::from(sample)).sum::<f64>() / block.count() as f64;
                    let difference = exact(mean).clamp(0.0, 255.0) - f64::from(sample);
                    assert!(difference.abs() < 0.5001, "{factor} at {at}: {difference}");
                }
            }
        }
    }
}

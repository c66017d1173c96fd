//! Resampling by convolution with `fast_image_resize`.
//!
//! Its code is compiled within this crate, once per pixel type. So only columns of single samples are convolved with it, which
//! do not depend on the pixel type.

use super::error::Error;
use super::transpose::transposed;
use fast_image_resize as fir;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Samples in rows.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub width: u32,
    pub height: u32,
    /// 1, 2, 3, or 4, where the fourth is alpha.
    pub channels: usize,
    pub samples: &'a [u8],
}

/// Returns a Lanczos filter with three lobes. The library's own computes two sines per weight, a twelfth of the time for a
/// small image.
pub(super) fn lanczos3() -> fir::FilterType {
    fir::Filter::new("Lanczos3", lanczos3_at, 3.0).map_or(fir::FilterType::Lanczos3, fir::FilterType::Custom)
}

/// Values of the filter per unit. Interpolating between them is exact to 10⁻⁶, and the weights have 15 bits.
const STEPS: usize = 1024;

/// The filter from 0 to 3, and one zero more.
static LANCZOS3: LazyLock<[f64; 3 * STEPS + 2]> = LazyLock::new(|| {
    std::array::from_fn(|step| match step {
        0 => 1.0,
        _ if step >= 3 * STEPS => 0.0,
        _ => {
            let angle = std::f64::consts::PI * step as f64 / STEPS as f64;
            angle.sin() / angle * ((angle / 3.0).sin() / (angle / 3.0))
        }
    })
});

/// Returns sinc x · sinc x/3.
fn lanczos3_at(x: f64) -> f64 {
    let place = (x.abs() * STEPS as f64).min((3 * STEPS) as f64);
    let below = place as usize;
    match LANCZOS3.get(below..below + 2) {
        Some(&[low, high]) => low + (high - low) * (place - below as f64),
        _ => 0.0,
    }
}

/// A part of an image in pixels: left, top, width and height.
pub(super) type Part = [f64; 4];

/// Resizes `part` to `size`. Transparent pixels do not affect the colour of their neighbours.
pub(super) fn resample(source: Source<'_>, part: Part, size: (u32, u32), filter: fir::FilterType) -> Result<Vec<u8>, Error> {
    let part = within((source.width, source.height), part);
    let resampled = if source.channels == 4 && !is_crop(part, size) {
        weighted(source).and_then(|samples| unweighted(convolve(source, samples.into(), part, size, filter)?, size))
    } else {
        convolve(source, source.samples.into(), part, size, filter)
    };
    resampled.map_err(|error| Error::internal(format!("resizing: {error}")))
}

/// Returns whether the result consists of pixels of the source.
fn is_crop([left, top, width, height]: Part, size: (u32, u32)) -> bool {
    (width, height) == (f64::from(size.0), f64::from(size.1)) && left.fract() == 0.0 && top.fract() == 0.0
}

/// Minimum length of a part in samples: far smaller than any aspect ratio needs, and far larger than a rounding error.
const MIN_LENGTH: f64 = 1.0 / (1 << 20) as f64;

/// Clamps a part that exceeds the image through rounding: `fast_image_resize` rejects such a part, and resizes an empty one to
/// zeros.
fn within((width, height): (u32, u32), part: Part) -> Part {
    let axis = |start: f64, length: f64, side: u32| {
        let side = f64::from(side);
        let start = start.clamp(0.0, side - MIN_LENGTH);
        (start, length.clamp(MIN_LENGTH, side - start))
    };
    let (left, width) = axis(part[0], part[2], width);
    let (top, height) = axis(part[1], part[3], height);
    [left, top, width, height]
}

type Rgba = fir::pixels::U8x4;

/// Multiplies colours by alpha.
fn weighted(source: Source<'_>) -> Result<Vec<u8>, Failure> {
    let mut weighted = vec![0; source.samples.len()];
    let from = fir::images::TypedImageRef::<Rgba>::from_buffer(source.width, source.height, source.samples)?;
    let mut to = fir::images::TypedImage::<Rgba>::from_buffer(source.width, source.height, &mut weighted)?;
    fir::MulDiv::new().multiply_alpha_typed(&from, &mut to)?;
    Ok(weighted)
}

/// Divides colours by alpha.
fn unweighted(mut samples: Vec<u8>, (width, height): (u32, u32)) -> Result<Vec<u8>, Failure> {
    let mut image = fir::images::TypedImage::<Rgba>::from_buffer(width, height, &mut samples)?;
    fir::MulDiv::new().divide_alpha_inplace_typed(&mut image)?;
    Ok(samples)
}

/// Resizes columns, then transposes the image and resizes its rows as columns. The convolution of columns multiplies whole
/// vectors, whereas that of rows adds up a few samples for each pixel. So this takes 0.4 of the time where the size hardly
/// changes, where rows are slowest, and about the same at a quarter of the size.
fn convolve(
    source: Source<'_>,
    samples: Cow<'_, [u8]>,
    [left, top, part_width, part_height]: Part,
    (width, height): (u32, u32),
    filter: fir::FilterType,
) -> Result<Vec<u8>, Failure> {
    let samples_of = |pixels: u32| pixels as usize * source.channels;
    let needed = within_reach(left, part_width, source.width, width);
    let (first, columns) = (needed.start, needed.end - needed.start);
    let all = Columns { samples: &samples, width: samples_of(source.width), height: source.height };
    let resized = all.resized(samples_of(first)..samples_of(needed.end), (top, part_height), height, filter)?;
    drop(samples);
    if columns == width && part_width == f64::from(width) && left.fract() == 0.0 {
        return Ok(resized);
    }
    // One row for all samples of one column: first those of the first channel.
    let rows = transposed(&resized, (samples_of(columns), height as usize));
    drop(resized);
    let all = Columns { samples: &rows, width: samples_of(height), height: columns };
    let resized = all.resized(0..all.width, (left - f64::from(first), part_width), width, filter)?;
    drop(rows);
    Ok(transposed(&resized, (height as usize, samples_of(width))))
}

/// Returns the columns that the filter reads, which has at most three lobes on each side.
fn within_reach(left: f64, part_width: f64, source_width: u32, width: u32) -> Range<u32> {
    if part_width == f64::from(width) && left.fract() == 0.0 {
        return left as u32..left as u32 + width;
    }
    let reach = 3.0 * (part_width / f64::from(width)).max(1.0) + 1.0;
    let (first, end) = ((left - reach).floor(), (left + part_width + reach).ceil());
    first.max(0.0) as u32..end.min(f64::from(source_width)) as u32
}

/// Columns of single samples.
struct Columns<'a> {
    samples: &'a [u8],
    width: usize,
    height: u32,
}

impl Columns<'_> {
    /// Resizes some columns from the part (`start`, `length`) to `height`.
    fn resized(
        &self,
        columns: Range<usize>,
        (start, length): (f64, f64),
        height: u32,
        filter: fir::FilterType,
    ) -> Result<Vec<u8>, Failure> {
        type Sample = fir::pixels::U8;
        let (left, width) = (u32::try_from(columns.start)?, u32::try_from(columns.len())?);
        let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter)).use_alpha(false);
        let options = options.crop(left.into(), start, width.into(), length);
        let from = fir::images::TypedImageRef::<Sample>::from_buffer(u32::try_from(self.width)?, self.height, self.samples)?;
        let mut resized = vec![0; columns.len() * height as usize];
        let mut to = fir::images::TypedImage::<Sample>::from_buffer(width, height, &mut resized)?;
        fir::Resizer::new().resize_typed(&from, &mut to, &options)?;
        Ok(resized)
    }
}

type Failure = Box<dyn std::error::Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_contains_the_filter() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        for step in -3500..=3500 {
            let x = f64::from(step) / 1000.0;
            let expected = if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
            assert!((lanczos3_at(x) - expected).abs() < 1e-6, "at {x}: {} for {expected}", lanczos3_at(x));
        }
    }

    #[test]
    fn a_part_beyond_the_image_is_clamped() {
        for side in [1u32, 2, 3, 171, 172, 343, 4000, 65_500, 65_535] {
            let end = f64::from(side);
            for start in [0.0, end / 3.0, end * (1.0 - f64::EPSILON), end, end.next_up(), end + 1.0, -0.1, -f64::MIN_POSITIVE] {
                for length in [0.0, end / 3.0, end - start, (end - start).next_up(), end, end.next_up(), 2.0 * end] {
                    let [left, top, width, height] = within((side, side), [start, start, length, length]);
                    assert!(left >= 0.0 && left < end && width > 0.0 && left + width <= end, "{start} and {length} of {side}");
                    assert_eq!((left, width), (top, height));
                    let source = Source { width: side, height: 1, channels: 1, samples: &vec![9; side as usize] };
                    let made = resample(source, [start, 0.0, length, 1.0], (2, 1), fir::FilterType::Bilinear);
                    assert_eq!(made, Ok(vec![9; 2]), "{start} and {length} of {side}");
                }
            }
        }
    }

    #[test]
    fn a_crop_equals_that_of_the_whole_width() {
        let (width, height) = (700, 9);
        let samples: Vec<u8> = (0..width * height * 4u32).map(|at| (at * at / 7) as u8).collect();
        for channels in 1..=4 {
            let source = Source { width, height, channels, samples: &samples[..(width * height) as usize * channels] };
            for (left, length, to) in
                [(0.0, 700.0, 70), (301.5, 40.0, 10), (650.25, 49.75, 90), (300.0, 30.0, 30), (699.5, 0.5, 3)]
            {
                assert_reach_suffices(source, left, length, to);
            }
        }
    }

    /// Compares with a crop of columns that were resized before, which needs no reach.
    fn assert_reach_suffices(source: Source<'_>, left: f64, length: f64, to: u32) {
        let part = [left, 0.0, length, f64::from(source.height)];
        let made = convolve(source, source.samples.into(), part, (to, source.height), lanczos3()).unwrap();
        let samples_of = |pixels: u32| pixels as usize * source.channels;
        let rows = transposed(source.samples, (samples_of(source.width), source.height as usize));
        let all = Columns { samples: &rows, width: samples_of(source.height), height: source.width };
        let resized = all.resized(0..all.width, (left, length), to, lanczos3()).unwrap();
        assert_eq!(made, transposed(&resized, (source.height as usize, samples_of(to))), "{left} and {length} to {to}");
    }

    #[test]
    fn a_cropped_pixel_keeps_its_colour_at_any_alpha() {
        let pixels: Vec<u8> = (0..20 * 5u32).flat_map(|at| [(at * 2) as u8, (at * 3) as u8, 200, (at % 7) as u8]).collect();
        let source = Source { width: 20, height: 5, channels: 4, samples: &pixels };
        let made = resample(source, [3.0, 1.0, 4.0, 2.0], (4, 2), lanczos3()).unwrap();
        let row = |y: usize| &pixels[(y * 20 + 3) * 4..(y * 20 + 7) * 4];
        assert_eq!(made, [row(1), row(2)].concat());
    }

    #[test]
    fn a_part_within_the_image_is_unchanged() {
        for part in [[0.0, 0.0, 343.0, 172.0], [0.25, 1.5, 300.125, 0.125], [342.0, 171.0, 1.0, 1.0]] {
            assert_eq!(within((343, 172), part), part);
        }
    }
}

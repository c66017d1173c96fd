//! Compares thumbnails with a reference that is computed differently: every pixel is the mean of those that it covers, in
//! floating point. The comparison uses SSIM; the last test shows what the tolerance detects.

use super::test_images::*;
use super::*;
use ::png::{BitDepth, ColorType};
use mozjpeg::ColorSpace;
use std::collections::HashMap;

const SIZE: (usize, usize) = (660, 440);

/// JPEG decodes this at half the size, into planes with odd sides, which are then resized.
const LARGE: (usize, usize) = (1321, 883);

/// A JPEG thumbnail reaches at least 0.95; the smallest defect tested below stays under 0.8.
const MIN_SSIM: f64 = 0.9;

/// RGBA in rows.
struct Pixels {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
}

/// Different in every corner and in every channel: waves that get shorter to the right, and two discs. With alpha, one disc is
/// a hole and the other is half transparent.
fn scene((width, height): (usize, usize), alpha: bool) -> Pixels {
    let pixel = |at: usize| {
        let (x, y) = ((at % width) as f64 / width as f64, (at / width) as f64 / height as f64);
        let wave = |value: f64| (127.5 + 127.5 * value.sin()) as u8;
        let within = |across: f64, down: f64, radius: f64| (x - across).hypot((y - down) * 0.67) < radius;
        let color = [wave(24.0 * x * x + 3.0 * y), wave(12.0 * y + 9.0 * x), wave(18.0 * x * y + 2.0)];
        match (within(0.25, 0.3, 0.18), within(0.7, 0.75, 0.12)) {
            (true, _) if alpha => [color[0], color[1], color[2], 0],
            (true, _) => [230, 40, 60, 255],
            (_, true) => [20, 60, 220, if alpha { 120 } else { 255 }],
            _ => [color[0], color[1], color[2], 255],
        }
    };
    Pixels { width, height, pixels: (0..width * height).map(pixel).collect() }
}

impl Pixels {
    fn flat(&self, channels: usize) -> Vec<u8> {
        self.pixels.iter().flat_map(|pixel| pixel[..channels].to_vec()).collect()
    }

    /// Averages whole and partial pixels by coverage. Colours are weighted by alpha.
    fn reduced(&self, width: usize, height: usize) -> Pixels {
        let spans = |from: usize, to: usize| -> Vec<Vec<(usize, f64)>> {
            let scale = from as f64 / to as f64;
            let span = |index: usize| {
                let (start, end) = (index as f64 * scale, (index + 1) as f64 * scale);
                let parts = (start as usize)..(end.ceil() as usize).min(from);
                parts.map(|at| (at, (end.min(at as f64 + 1.0) - start.max(at as f64)).max(0.0))).collect()
            };
            (0..to).map(span).collect()
        };
        let (columns, rows) = (spans(self.width, width), spans(self.height, height));
        let mean = |row: &[(usize, f64)], column: &[(usize, f64)]| {
            let (mut sums, mut area) = ([0.0; 4], 0.0);
            for ((y, down), (x, across)) in row.iter().flat_map(|y| column.iter().map(move |x| (y, x))) {
                let pixel = self.pixels[y * self.width + x].map(f64::from);
                let share = down * across;
                for channel in 0..3 {
                    sums[channel] += pixel[channel] * pixel[3] * share;
                }
                sums[3] += pixel[3] * share;
                area += share;
            }
            let color = |sum: f64| if sums[3] > 0.0 { (sum / sums[3]).round() as u8 } else { 0 };
            [color(sums[0]), color(sums[1]), color(sums[2]), (sums[3] / area).round() as u8]
        };
        let pixels = rows.iter().flat_map(|row| columns.iter().map(|column| mean(row, column))).collect();
        Pixels { width, height, pixels }
    }

    /// Returns a channel as displayed: transparent pixels have no colour.
    fn channel(&self, channel: usize) -> Vec<f64> {
        let shown = |pixel: &[u8; 4]| match channel {
            3 => f64::from(pixel[3]),
            _ => f64::from(pixel[channel]) * f64::from(pixel[3]) / 255.0,
        };
        self.pixels.iter().map(shown).collect()
    }
}

/// Structural similarity (Wang et al. 2004) in windows of 8 × 8: the mean over the image and its colours, or that of alpha if
/// it is lower.
fn ssim(a: &Pixels, b: &Pixels) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let [red, green, blue, alpha] = [0, 1, 2, 3].map(|channel| ssim_of(&a.channel(channel), &b.channel(channel), a.width));
    alpha.min((red + green + blue) / 3.0)
}

fn ssim_of(a: &[f64], b: &[f64], width: usize) -> f64 {
    const SIDE: usize = 8;
    let (luminance, contrast) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let height = a.len() / width;
    let mut windows = Vec::new();
    for (top, left) in (0..=height - SIDE).step_by(8).flat_map(|top| (0..=width - SIDE).step_by(8).map(move |left| (top, left))) {
        let (mut sums, mut squares, mut product) = ((0.0, 0.0), (0.0, 0.0), 0.0);
        for at in (top..top + SIDE).flat_map(|y| (left..left + SIDE).map(move |x| y * width + x)) {
            sums = (sums.0 + a[at], sums.1 + b[at]);
            squares = (squares.0 + a[at] * a[at], squares.1 + b[at] * b[at]);
            product += a[at] * b[at];
        }
        let count = (SIDE * SIDE) as f64;
        let (mean_a, mean_b) = (sums.0 / count, sums.1 / count);
        let (var_a, var_b) = (squares.0 / count - mean_a * mean_a, squares.1 / count - mean_b * mean_b);
        let covariance = product / count - mean_a * mean_b;
        let alike = (2.0 * mean_a * mean_b + luminance) * (2.0 * covariance + contrast);
        windows.push(alike / ((mean_a * mean_a + mean_b * mean_b + luminance) * (var_a + var_b + contrast)));
    }
    windows.iter().sum::<f64>() / windows.len() as f64
}

fn shown(thumbnail: &MadeThumbnail) -> Pixels {
    Pixels { width: thumbnail.info.width as usize, height: thumbnail.info.height as usize, pixels: pixels(thumbnail) }
}

/// The references of one image, by size.
type References = HashMap<(usize, usize), Pixels>;

#[track_caller]
fn assert_similar(file: &[u8], original: &Pixels, references: &mut References, what: &str) {
    let (_, processed) = run(file).expect(what);
    assert_eq!(processed.thumbnails.len(), 4);
    for thumbnail in &processed.thumbnails {
        let made = shown(thumbnail);
        let size = (made.width, made.height);
        let similarity = ssim(&made, references.entry(size).or_insert_with(|| original.reduced(size.0, size.1)));
        assert!(similarity > MIN_SSIM, "{what}, {}: {similarity:.3}", thumbnail.info.size.name());
    }
}

fn as_jpeg(original: &Pixels, exif: Option<&[u8]>) -> Vec<u8> {
    jpeg((original.width as u32, original.height as u32), ColorSpace::JCS_RGB, &original.flat(3), exif, |_| {})
}

fn as_png(original: &Pixels) -> Vec<u8> {
    png((original.width as u32, original.height as u32), ColorType::Rgba, BitDepth::Eight, &original.flat(4), |_| {})
}

fn as_webp(original: &Pixels, lossless: bool) -> Vec<u8> {
    let (data, width, height) = (original.flat(4), original.width as u32, original.height as u32);
    if lossless { webp_files::lossless(&data, width, height) } else { webp_files::lossy(&data, width, height, 90.0) }
}

#[test]
fn thumbnails_match_the_image_in_every_format() {
    for alpha in [false, true] {
        let original = scene(SIZE, alpha);
        let mut references = References::new();
        if !alpha {
            assert_similar(&as_jpeg(&original, None), &original, &mut references, "JPEG");
        }
        assert_similar(&as_png(&original), &original, &mut references, "PNG");
        assert_similar(&as_webp(&original, false), &original, &mut references, "WebP");
        assert_similar(&as_webp(&original, true), &original, &mut references, "lossless WebP");
    }
}

#[test]
fn thumbnails_match_the_image_in_every_orientation() {
    for size in [SIZE, LARGE] {
        let original = scene(size, false);
        let mut references = References::new();
        for orientation in 1..=8u16 {
            let stored = stored_as(&original, orientation);
            let file = as_jpeg(&stored, Some(&exif(orientation, &[], &[])));
            assert_similar(&file, &original, &mut references, &format!("{size:?}, orientation {orientation}"));
        }
    }
}

#[test]
fn thumbnails_match_the_image_with_every_chroma_subsampling() {
    let original = scene(LARGE, false);
    let mut references = References::new();
    let size = (original.width as u32, original.height as u32);
    for chroma in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2)] {
        let sampled = |compress: &mut mozjpeg::Compress| compress.set_chroma_sampling_pixel_sizes(chroma, chroma);
        let file = jpeg(size, ColorSpace::JCS_RGB, &original.flat(3), None, sampled);
        assert_similar(&file, &original, &mut references, &format!("chroma of {chroma:?} pixels"));
    }
    let grey: Vec<u8> = original.pixels.iter().map(|pixel| pixel[1]).collect();
    let file = jpeg(size, ColorSpace::JCS_GRAYSCALE, &grey, None, |_| {});
    let original = Pixels { pixels: grey.iter().map(|&level| [level, level, level, 255]).collect(), ..original };
    assert_similar(&file, &original, &mut References::new(), "grey");
}

/// Returns the image as a camera with this orientation stores it (EXIF 2.32, tag 0x0112: where row 0 and column 0 are).
fn stored_as(original: &Pixels, orientation: u16) -> Pixels {
    let (width, height) = (original.width, original.height);
    let (stored_width, stored_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    let pixels = (0..stored_width * stored_height)
        .map(|at| {
            let (column, row) = (at % stored_width, at / stored_width);
            let (x, y) = match orientation {
                1 => (column, row),
                2 => (width - 1 - column, row),
                3 => (width - 1 - column, height - 1 - row),
                4 => (column, height - 1 - row),
                5 => (row, column),
                6 => (width - 1 - row, column),
                7 => (width - 1 - row, height - 1 - column),
                _ => (row, height - 1 - column),
            };
            original.pixels[y * width + x]
        })
        .collect();
    Pixels { width: stored_width, height: stored_height, pixels }
}

#[test]
fn the_tolerance_detects_every_expected_defect() {
    let original = scene(SIZE, true);
    let reduced = original.reduced(512, 341);
    let changed =
        |change: &dyn Fn(usize) -> [u8; 4]| Pixels { pixels: (0..512 * 341).map(change).collect(), ..original.reduced(512, 341) };
    let at = |x: usize, y: usize| reduced.pixels[y * 512 + x];
    let (column, row) = (|index: usize| index % 512, |index: usize| index / 512);
    let defects: [(&str, Pixels); 8] = [
        ("mirrored", changed(&|i| at(511 - column(i), row(i)))),
        ("upside down", changed(&|i| at(column(i), 340 - row(i)))),
        ("turned round", changed(&|i| at(511 - column(i), 340 - row(i)))),
        ("opaque", changed(&|i| [reduced.pixels[i][0], reduced.pixels[i][1], reduced.pixels[i][2], 255])),
        (
            "red and blue swapped",
            changed(&|i| [reduced.pixels[i][2], reduced.pixels[i][1], reduced.pixels[i][0], reduced.pixels[i][3]]),
        ),
        (
            "red and green swapped",
            changed(&|i| [reduced.pixels[i][1], reduced.pixels[i][0], reduced.pixels[i][2], reduced.pixels[i][3]]),
        ),
        ("off by twelve pixels", changed(&|i| at((column(i) + 12).min(511), row(i)))),
        ("grey", changed(&|i| [reduced.pixels[i][1], reduced.pixels[i][1], reduced.pixels[i][1], reduced.pixels[i][3]])),
    ];
    assert!(ssim(&reduced, &original.reduced(512, 341)) > 0.9999);
    for (defect, bitmap) in defects {
        let similarity = ssim(&bitmap, &reduced);
        assert!(similarity < 0.85, "{defect}: {similarity:.3}");
    }
}

//! Tests our own JPEG decoder against libjpeg. At an eighth of the size both output the mean of each block, so they must agree
//! to the bit, and damage that libjpeg finds must be rejected.

use super::*;
use crate::imaging::tests::test_images::*;
use mozjpeg::{ColorSpace, ColorSpaceExt, Compress};

const SIZE: (u32, u32) = (211, 173);

/// A scene with detail at every scale: gradients, edges, noise.
fn scene((width, height): (u32, u32)) -> Vec<u8> {
    let mut random = XorShift(7);
    let pixel = |x: u32, y: u32, noise: u32| {
        let edge = if (x / 31 + y / 17).is_multiple_of(2) { 60 } else { 0 };
        [x + edge + noise % 40, y + edge, (x * y / 64 + noise / 8) % 256].map(|value| (value % 256) as u8)
    };
    (0..width * height).flat_map(|at| pixel(at % width, at / width, random.below(64) as u32)).collect()
}

type Configure = fn(&mut Compress);

/// Every coding that mozjpeg can write and our decoder reads.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    kinds_of(SIZE)
}

pub(super) fn kinds_of(size: (u32, u32)) -> Vec<(&'static str, Vec<u8>)> {
    let kinds: [(&str, Configure); 8] = [
        ("4:2:0", |c| c.set_chroma_sampling_pixel_sizes((2, 2), (2, 2))),
        ("4:4:4", |c| c.set_chroma_sampling_pixel_sizes((1, 1), (1, 1))),
        ("4:2:2", |c| c.set_chroma_sampling_pixel_sizes((2, 1), (2, 1))),
        ("4:4:0", |c| c.set_chroma_sampling_pixel_sizes((1, 2), (1, 2))),
        ("4:1:1", |c| c.set_chroma_sampling_pixel_sizes((4, 1), (4, 1))),
        ("best quality, own tables", |c| {
            c.set_quality(100.0);
            c.set_optimize_coding(true);
        }),
        ("progressive", |c| c.set_progressive_mode()),
        ("progressive 4:4:4", |c| {
            c.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
            c.set_progressive_mode();
        }),
    ];
    let scene = scene(size);
    let grey: Vec<u8> = scene.chunks_exact(3).map(|pixel| pixel[1]).collect();
    let coloured = kinds.into_iter().map(|(name, kind)| (name, jpeg(size, ColorSpace::JCS_RGB, &scene, None, kind)));
    let grey_kinds: [(&str, Configure); 2] = [("grey", |_| {}), ("grey, progressive", |c| c.set_progressive_mode())];
    let grey = grey_kinds.into_iter().map(|(name, kind)| (name, jpeg(size, ColorSpace::JCS_GRAYSCALE, &grey, None, kind)));
    coloured.chain(grey).collect()
}

/// libjpeg's luma at an eighth of the size, or its first warning.
fn luma_by_libjpeg(file: &[u8]) -> Result<Vec<u8>, Error> {
    libjpeg_comparison::strictly_at_an_eighth(file, &Limits::default())
}

fn luma(file: &[u8]) -> Result<Vec<u8>, Error> {
    let planes = planar::decode(file, SIZE, 1, 100)?;
    let (width, height) = (SIZE.0.div_ceil(8) as usize, SIZE.1.div_ceil(8) as usize);
    let rows = planes[0].samples.chunks_exact(planes[0].stride).take(height);
    Ok(rows.flat_map(|row| row[..width].to_vec()).collect())
}

#[test]
fn block_means_equal_libjpegs_to_the_bit() {
    for (name, file) in kinds() {
        assert_eq!(luma(&file), luma_by_libjpeg(&file), "{name}");
    }
}

#[test]
fn samples_at_full_size_differ_from_libjpegs_by_at_most_one_level() {
    for (name, file) in kinds() {
        assert_full_size_equals_libjpegs(name, &file);
    }
}

/// Builds a progressive JPEG of noise. In most of its blocks, the last scan corrects all 63 coefficients.
pub(super) fn progressive_noise(size: (u32, u32)) -> Vec<u8> {
    jpeg(size, ColorSpace::JCS_GRAYSCALE, &noise(size.0 as usize * size.1 as usize), None, |c| {
        c.set_quality(100.0);
        c.set_progressive_mode();
    })
}

#[test]
fn blocks_of_only_corrections_are_read() {
    let file = progressive_noise(SIZE);
    assert_eq!(luma(&file), luma_by_libjpeg(&file));
    assert_full_size_equals_libjpegs("noise", &file);
}

fn assert_full_size_equals_libjpegs(name: &str, file: &[u8]) {
    let by_libjpeg = |space: ColorSpace| {
        let mut started = mozjpeg::Decompress::new_mem(file).and_then(|decoder| decoder.to_colorspace(space)).expect("a JPEG");
        let mut samples = vec![0; started.width() * started.height() * started.color_space().num_components()];
        started.read_scanlines_into(&mut samples).expect("samples");
        samples
    };
    let planes = planar::decode(file, SIZE, 8, 100).expect(name);
    // libjpeg outputs chroma without upsampling only if it is at full size.
    let full_chroma = planes.len() == 3 && planes[1].covered == planes[0].covered;
    let space = if full_chroma { ColorSpace::JCS_YCbCr } else { ColorSpace::JCS_GRAYSCALE };
    let channels = if full_chroma { 3 } else { 1 };
    for (at, pixel) in by_libjpeg(space).chunks_exact(channels).enumerate() {
        let (x, y) = (at % SIZE.0 as usize, at / SIZE.0 as usize);
        for (plane, &expected) in planes.iter().zip(pixel) {
            let made = plane.samples[y * plane.stride + x];
            assert!(made.abs_diff(expected) <= 1, "{name}: {made} for {expected} at {x}, {y}");
        }
    }
}

#[test]
fn files_that_libjpeg_finds_damaged_are_rejected() {
    let mut random = XorShift(99);
    for (name, file) in kinds() {
        let mut passed = 0;
        for round in 0..60 {
            let mut damaged = file.clone();
            let at = 700 + random.below(damaged.len() - 700);
            let end = (at + 1 + random.below(64)).min(damaged.len());
            match round % 4 {
                0 => damaged.truncate(at),
                1 => damaged[at..end].fill(0),
                2 => drop(damaged.drain(at..end)),
                _ => damaged[at..end].iter_mut().for_each(|byte| *byte = random.next() as u8),
            }
            if luma_by_libjpeg(&damaged).is_err() {
                assert!(luma(&damaged).is_err(), "{name}, round {round}");
            } else if luma(&damaged).is_ok() {
                passed += 1;
            }
        }
        // No decoder can detect damage that is still valid code, or that only adds stray bytes.
        assert!(passed < 45, "{name}: {passed} of 60 passed");
    }
}

#[test]
fn stray_bytes_after_a_scan_are_skipped() {
    for (name, file) in kinds() {
        for count in [1, 20, 5000, 50_000] {
            let mut longer = file.clone();
            let end = longer.len() - 2;
            longer.splice(end..end, std::iter::repeat_n(0x5a, count));
            assert_eq!(luma(&longer), luma(&file), "{name}: {count} more");
        }
    }
}

#[test]
fn larger_reductions_look_like_the_image() {
    let whole = scene(SIZE);
    for (name, file) in kinds() {
        for eighths in [2, 4] {
            let planes = planar::decode(&file, SIZE, eighths, 100).expect(name);
            let plane = &planes[0];
            let side = 8 / eighths;
            let mut error = 0f64;
            let (across, down) = (SIZE.0 as usize / side, SIZE.1 as usize / side);
            for y in 0..down {
                for x in 0..across {
                    let mut sum = 0f64;
                    for (dx, dy) in (0..side * side).map(|at| (at % side, at / side)) {
                        let at = ((y * side + dy) * SIZE.0 as usize + x * side + dx) * 3;
                        let [r, g, b] = [whole[at], whole[at + 1], whole[at + 2]].map(f64::from);
                        sum += if planes.len() == 1 { g } else { 0.299 * r + 0.587 * g + 0.114 * b };
                    }
                    let difference = sum / (side * side) as f64 - f64::from(plane.samples[y * plane.stride + x]);
                    error += difference * difference;
                }
            }
            let rms = (error / (across * down) as f64).sqrt();
            assert!(rms < 12.0, "{name} at {eighths}/8: off by {rms:.1}");
        }
    }
}

#[test]
fn a_sequential_scan_must_contain_all_coefficients() {
    let mut file = jpeg_with_restarts(SIZE);
    let scan = file.windows(2).position(|window| window == [0xff, 0xda]).expect("a scan");
    file[scan + 8] = 5;
    assert!(luma_by_libjpeg(&file).is_err() && luma(&file).is_err());
}

#[test]
fn restart_markers_must_exist_and_be_in_order() {
    let file = jpeg_with_restarts(SIZE);
    assert_eq!(luma(&file), luma_by_libjpeg(&file));
    let second = file.windows(2).position(|window| window == [0xff, 0xd1]).expect("a restart marker");
    let mut wrong = file.clone();
    wrong[second + 1] = 0xd2;
    assert_eq!(luma(&wrong).unwrap_err(), Error::corrupt("a restart marker of the JPEG is missing or misplaced"));
    let mut missing = file;
    missing.drain(second..second + 2);
    assert!(luma(&missing).is_err());
}

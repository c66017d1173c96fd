//! Component planes at the size of the output.

use super::frame::{Component, Frame};
use super::idct;
use super::inverse_dct::InverseDct;

/// The samples of one component.
pub(super) struct Plane {
    /// Samples in a row, padded to whole MCUs.
    pub stride: usize,
    /// The part that the image covers, from the top left corner. The last column and row can be partial.
    pub covered: (f64, f64),
    pub samples: Vec<u8>,
}

impl Plane {
    /// Creates a plane with `eighths` samples on each side of a block: 1, 2, 4 or 8.
    pub fn new(frame: &Frame, component: &Component, eighths: usize) -> Self {
        let (across, down) = frame.padded_blocks(component);
        let (stride, rows) = (across * eighths, down * eighths);
        let reduced = |length: u32, factor: usize, max: usize| f64::from(length) * (factor * eighths) as f64 / (max * 8) as f64;
        let covered = (reduced(frame.width, component.h, frame.max_h), reduced(frame.height, component.v, frame.max_v));
        Plane { stride, covered, samples: vec![0; stride * rows] }
    }

    /// Transforms and stores a block. Its coefficients are quantised and in zigzag order.
    #[inline(always)]
    pub fn put_1(&mut self, column: usize, row: usize, dc: i32, quantization: &[i32; 64]) {
        self.samples[row * self.stride + column] = idct::to_1(scaled(dc, quantization[0]));
    }

    #[inline(always)]
    pub fn put_2(&mut self, column: usize, row: usize, coefficients: &[i32], quantization: &[i32; 64]) {
        let mut c = [0; 5];
        for ((to, &coefficient), &step) in c.iter_mut().zip(coefficients).zip(quantization) {
            *to = scaled(coefficient, step);
        }
        let at = (row * self.stride + column) * 2;
        idct::to_2(c, &mut self.samples[at..], self.stride);
    }

    /// Transforms and stores the 4×4 lowest frequencies of a block, which are quantised and in rows.
    #[inline(always)]
    pub fn put_4(&mut self, column: usize, row: usize, coefficients: &[i16; 16], has_ac: bool, transform: &InverseDct) {
        let at = (row * self.stride + column) * 4;
        let out = &mut self.samples[at..];
        if has_ac {
            transform.to_4(coefficients, out, self.stride);
        } else {
            transform.flat::<4>(coefficients[0], out, self.stride);
        }
    }

    /// Transforms and stores a block at full size. Its coefficients are quantised and in columns.
    #[inline(always)]
    pub fn put_8(&mut self, column: usize, row: usize, coefficients: &[i16; 64], has_ac: bool, transform: &InverseDct) {
        let at = (row * self.stride + column) * 8;
        let out = &mut self.samples[at..];
        if has_ac {
            transform.to_8(coefficients, out, self.stride);
        } else {
            transform.flat::<8>(coefficients[0], out, self.stride);
        }
    }
}

/// Dequantises a coefficient. Valid coefficients stay below 2¹⁵ (T.81, A.3.4); hostile ones wrap around, here and in the
/// transform.
#[inline(always)]
fn scaled(coefficient: i32, quantization: i32) -> i32 {
    coefficient.wrapping_mul(quantization)
}

//! The inverse DCT to 8×8 or 4×4 samples (T.81, A.3.3), with dequantisation. It uses floating point, which the compiler can
//! vectorise on every processor, and differs from libjpeg's accurate integer transform by at most one level. To four samples, it
//! transforms the 4×4 lowest frequencies, which outputs the block at half its size (see `idct.rs`).
//!
//! Eight values are transformed as by Arai, Agui and Nakajima, as in `forward_dct.rs`: first the rows, in a block whose
//! coefficients are in columns, then, after transposing it, the columns.

use super::forward_dct::{ZIGZAG, transposed};
use super::idct::to_1;
use std::f32::consts::SQRT_2;

/// √2·cos(π/8) and √2·sin(π/8).
const COS: f32 = 1.306_563;
const SIN: f32 = 0.541_196_1;

/// The contribution of each of four frequencies of a row to its samples.
const BASIS_4: [[f32; 4]; 4] = [[1.0; 4], [COS, SIN, -SIN, -COS], [1.0, -1.0, -1.0, 1.0], [SIN, -COS, COS, -SIN]];

/// The level shift (T.81, A.3.1), and a little more, so that halves are rounded up, as by libjpeg. Large areas consist of them,
/// and rounding them to even would change their mean.
const LEVEL_SHIFT: f32 = 128.001;

/// For each of the first 25 coefficients in zigzag order, its index among the 4×4 lowest frequencies, or 16 if it is not one of
/// them.
pub(super) const PLACES_4: [u8; 25] = {
    let mut places = [16; 25];
    let mut index = 0;
    while index < 25 {
        let (row, column) = (ZIGZAG[index] / 8, ZIGZAG[index] % 8);
        if row < 4 && column < 4 {
            places[index] = row * 4 + column;
        }
        index += 1;
    }
    places
};

/// A quantisation table and the constants of the transform.
pub(super) struct InverseDct {
    /// The factors of the coefficients, in columns: the quantisation and the scale of the transform.
    factors: [[f32; 8]; 8],
    /// Those of the 4×4 lowest frequencies, in rows.
    factors_4: [[f32; 4]; 4],
    /// The quantisation of DC.
    dc: i32,
}

impl InverseDct {
    /// `quantization` is in zigzag order.
    pub fn new(quantization: &[i32; 64]) -> Self {
        let cosine = |numerator: usize| (numerator as f64 * std::f64::consts::PI / 16.0).cos();
        let scale = |frequency: usize| if frequency == 0 { 1.0 } else { cosine(frequency) * std::f64::consts::SQRT_2 };
        let (mut factors, mut factors_4) = ([[0f32; 8]; 8], [[0f32; 4]; 4]);
        for (&place, &step) in ZIGZAG.iter().zip(quantization) {
            let (row, column) = (usize::from(place) / 8, usize::from(place) % 8);
            factors[column][row] = (f64::from(step) * scale(row) * scale(column) / 8.0) as f32;
            if row < 4 && column < 4 {
                factors_4[row][column] = (f64::from(step) / 8.0) as f32;
            }
        }
        InverseDct { factors, factors_4, dc: quantization[0] }
    }

    /// Transforms a block, whose coefficients are quantised and in columns, to the 8×8 samples at the start of `out`.
    #[inline(always)]
    pub fn to_8(&self, coefficients: &[i16; 64], out: &mut [u8], stride: usize) {
        let columns = dequantized(coefficients.as_chunks().0, &self.factors);
        let sums = transformed(&transposed(&transformed(&columns)));
        // All at once, because the compiler packs vectors of more than eight samples better.
        let mut samples = [0; 64];
        for (to, &sum) in samples.iter_mut().zip(sums.as_flattened()) {
            *to = sample(sum);
        }
        put::<8>(samples.as_chunks().0, out, stride);
    }

    /// Transforms the 4×4 lowest frequencies, which are quantised and in rows, to the 4×4 samples at the start of `out`.
    #[inline(always)]
    pub fn to_4(&self, coefficients: &[i16; 16], out: &mut [u8], stride: usize) {
        let columns = dequantized(coefficients.as_chunks().0, &self.factors_4);
        let sums = rows_of_4(&columns_of_4(&columns));
        let mut samples = [0; 16];
        for (to, &sum) in samples.iter_mut().zip(sums.as_flattened()) {
            *to = sample(sum);
        }
        put::<4>(samples.as_chunks().0, out, stride);
    }

    /// Outputs a block of `N`×`N` samples that has only its DC.
    #[inline(always)]
    pub fn flat<const N: usize>(&self, dc: i16, out: &mut [u8], stride: usize) {
        put(&[[to_1(i32::from(dc).wrapping_mul(self.dc)); N]; N], out, stride);
    }
}

#[inline(always)]
fn put<const N: usize>(rows: &[[u8; N]], out: &mut [u8], stride: usize) {
    for (index, row) in rows.iter().enumerate() {
        if let Some(line) = out.get_mut(index * stride..).and_then(<[u8]>::first_chunk_mut) {
            *line = *row;
        }
    }
}

#[inline(always)]
fn dequantized<const N: usize>(coefficients: &[[i16; N]], factors: &[[f32; N]; N]) -> [[f32; N]; N] {
    let mut rows = [[0f32; N]; N];
    for ((to, from), factors) in rows.iter_mut().zip(coefficients).zip(factors) {
        for ((to, &from), factor) in to.iter_mut().zip(from).zip(factors) {
            *to = f32::from(from) * factor;
        }
    }
    rows
}

/// Transforms four rows.
#[inline(always)]
fn rows_of_4(rows: &[[f32; 4]; 4]) -> [[f32; 4]; 4] {
    let mut out = [[0f32; 4]; 4];
    for (to, row) in out.iter_mut().zip(rows) {
        let mut sums = [0f32; 4];
        for (value, basis) in row.iter().zip(&BASIS_4) {
            for (sum, basis) in sums.iter_mut().zip(basis) {
                *sum += value * basis;
            }
        }
        *to = sums;
    }
    out
}

/// Rounds to a sample and applies the level shift. Adding 2²³ leaves the integer in the lowest bits of the fraction.
#[inline(always)]
fn sample(value: f32) -> u8 {
    let value = value + LEVEL_SHIFT;
    // Comparisons, unlike `clamp`, compile to one instruction each.
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    (value + 8_388_608.0).to_bits() as u8
}

/// Transforms four columns.
#[inline(always)]
fn columns_of_4(rows: &[[f32; 4]; 4]) -> [[f32; 4]; 4] {
    let mut out = [[0f32; 4]; 4];
    for x in 0..4 {
        let [f0, f1, f2, f3] = [rows[0][x], rows[1][x], rows[2][x], rows[3][x]];
        let (outer, inner) = (f0 + f2, f0 - f2);
        let (steep, flat) = (f1 * COS + f3 * SIN, f1 * SIN - f3 * COS);
        out[0][x] = outer + steep;
        out[1][x] = inner + flat;
        out[2][x] = inner - flat;
        out[3][x] = outer - steep;
    }
    out
}

/// Transforms eight columns.
#[inline(always)]
fn transformed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    /// 2 cos 2π/16, 2 (cos 2π/16 − cos 6π/16), 2 (cos 2π/16 + cos 6π/16).
    const C2: f32 = 1.847_759_1;
    const C2_MINUS_C6: f32 = 1.082_392_2;
    const C2_PLUS_C6: f32 = 2.613_126;

    let mut out = [[0f32; 8]; 8];
    for x in 0..8 {
        let at = |y: usize| rows[y][x];
        let (outer, inner) = (at(0) + at(4), at(0) - at(4));
        let even = at(2) + at(6);
        let lean = (at(2) - at(6)) * SQRT_2 - even;
        let evens = [outer + even, inner + lean, inner - lean, outer - even];
        let (sum_53, gap_53) = (at(5) + at(3), at(5) - at(3));
        let (sum_17, gap_17) = (at(1) + at(7), at(1) - at(7));
        let turn = (gap_53 + gap_17) * C2;
        let first = sum_17 + sum_53;
        let second = turn - gap_53 * C2_PLUS_C6 - first;
        let third = (sum_17 - sum_53) * SQRT_2 - second;
        let fourth = turn - gap_17 * C2_MINUS_C6 - third;
        for (y, (even, odd)) in evens.into_iter().zip([first, second, third, fourth]).enumerate() {
            out[y][x] = even + odd;
            out[7 - y][x] = even - odd;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_those_of_the_definition() {
        let mut state = 7u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i32
        };
        for round in 0..200 {
            let quantization: [i32; 64] = std::array::from_fn(|_| 1 + random() % 20);
            let mut coefficients = [0i16; 64];
            for _ in 0..round % 20 {
                coefficients[random() as usize % 64] = (random() % 41 - 20) as i16;
            }
            coefficients[0] = (random() % 200 - 100) as i16;
            let steps: [i32; 64] = {
                let mut columns = [0; 64];
                ZIGZAG.iter().zip(quantization).for_each(|(&place, step)| columns[usize::from(place % 8 * 8 + place / 8)] = step);
                columns
            };
            let mut made = [0u8; 64];
            InverseDct::new(&quantization).to_8(&coefficients, &mut made, 8);
            for (at, &made) in made.iter().enumerate() {
                let (y, x) = (at / 8, at % 8);
                let sum: f64 = (0..64)
                    .map(|index| {
                        let (u, v) = (index / 8, index % 8);
                        let cosine = |sample: usize, frequency: usize| {
                            let norm = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
                            norm * ((2 * sample + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0).cos()
                        };
                        f64::from(i32::from(coefficients[index]) * steps[index]) * cosine(y, v) * cosine(x, u)
                    })
                    .sum();
                let exact = (sum + 128.0).clamp(0.0, 255.0);
                assert!((exact - f64::from(made)).abs() < 0.502, "{made} for {exact}");
            }
        }
    }

    #[test]
    fn a_block_without_ac_is_flat() {
        for step in [1, 3, 16, 255, 65_535] {
            let transform = InverseDct::new(&[step; 64]);
            for dc in [0, 1, -1, 7, 100, -100, 1023, -1024, i16::MAX, i16::MIN] {
                let mut coefficients = [0i16; 64];
                coefficients[0] = dc;
                let (mut whole, mut flat) = ([0u8; 64], [1u8; 64]);
                transform.to_8(&coefficients, &mut whole, 8);
                transform.flat::<8>(dc, &mut flat, 8);
                assert_eq!(whole, flat, "{dc} times {step}");
                let (mut whole, mut flat) = ([0u8; 16], [1u8; 16]);
                transform.to_4(&std::array::from_fn(|index| coefficients[index]), &mut whole, 4);
                transform.flat::<4>(dc, &mut flat, 4);
                assert_eq!(whole, flat, "{dc} times {step}");
            }
        }
    }
}

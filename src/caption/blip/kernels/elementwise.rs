//! Elementwise functions.
//!
//! They are plain loops without branches or calls, which the compiler vectorises.

use pulp::{Arch, NullaryFnOnce};

/// `row += bias` for each row of as many numbers as the bias has.
pub(in super::super) fn add(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Elementwise { rows, bias, function: |value| value });
}

/// `row = gelu(row + bias)` for each row of as many numbers as the bias has.
pub(in super::super) fn add_gelu(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Elementwise { rows, bias, function: gelu });
}

/// `row += other's row + bias` for each row of as many numbers as the bias has.
pub(in super::super) fn add_rows(rows: &mut [f32], others: &[f32], bias: &[f32]) {
    Arch::new().dispatch(AddRows { rows, others, bias });
}

struct Elementwise<'a, F> {
    rows: &'a mut [f32],
    bias: &'a [f32],
    function: F,
}

impl<F: Fn(f32) -> f32> NullaryFnOnce for Elementwise<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                *value = (self.function)(*value + bias);
            }
        }
    }
}

struct AddRows<'a> {
    rows: &'a mut [f32],
    others: &'a [f32],
    bias: &'a [f32],
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.bias.len();
        for (row, other) in self.rows.chunks_exact_mut(width).zip(self.others.chunks_exact(width)) {
            for ((value, other), bias) in row.iter_mut().zip(other).zip(self.bias) {
                *value += other + bias;
            }
        }
    }
}

/// Exact GELU, x · Φ(x), without the tanh approximation.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Eigen's rational minimax approximation (`generic_fast_erf_float`), with an error of at most 4 ULP. Beyond ±4 the exact result
/// rounds to ±1.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut numerator = -2.72614225801306e-10;
    for coefficient in [
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    ] {
        numerator = numerator * square + coefficient;
    }
    let mut denominator = -1.45660718464996e-05;
    for coefficient in [-2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02] {
        denominator = denominator * square + coefficient;
    }
    x * numerator / denominator
}

/// Returns e^x for x ≤ 0 with an error of at most 2 ULP. Values below −87 are clamped to −87; NaN stays NaN.
///
/// Method: x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial for e^r (from Cephes' `expf`), and n added to the exponent.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it to a small number rounds that number to an integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // Not `max`, which would turn NaN into −87.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts; the first has few bits, so that its product with n is exact.
    let r = x - n * 0.693359375 + n * 2.12194440e-4;
    let mut sum = 1.9875691500e-4;
    for coefficient in [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1] {
        sum = sum * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (sum * r * r + r + 1.0) * power
}

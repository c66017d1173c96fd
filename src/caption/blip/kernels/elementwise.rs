//! Functions of single numbers.
//!
//! Plain loops: they become vectors by themselves, because nothing in them branches or calls.

use pulp::{Arch, NullaryFnOnce};

/// `row += bias` for each row of as many numbers as the bias has.
pub(in super::super) fn add(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Elementwise { rows, bias, function: |value| value });
}

/// `row = gelu(row + bias)` for each row of as many numbers as the bias has.
pub(in super::super) fn add_gelu(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Elementwise { rows, bias, function: gelu_of });
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

/// x · Φ(x), the exact one, with no tanh in it.
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The rational minimax approximation of Eigen (`generic_fast_erf_float`), which is within 4 units of the last place; beyond
/// ±4 the result is ±1 to the last bit.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.72614225801306e-10;
    for coefficient in [
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    ] {
        above = above * square + coefficient;
    }
    let mut below = -1.45660718464996e-05;
    for coefficient in [-2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02] {
        below = below * square + coefficient;
    }
    x * above / below
}

/// e^x for x ≤ 0, to 2 units of the last place; of what is below −87, as of −87. What is not a number stays so.
///
/// By x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial for e^r (that of Cephes' `expf`), and n put into the exponent.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as published")]
pub(super) fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves that number rounded in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // Not `max`, which has no regard for what is not a number.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first of few bits, so that the product with n is exact.
    let r = x - n * 0.693359375 + n * 2.12194440e-4;
    let mut sum = 1.9875691500e-4;
    for coefficient in [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1] {
        sum = sum * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (sum * r * r + r + 1.0) * power
}

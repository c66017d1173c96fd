//! Softmax.

use pulp::{Arch, NullaryFnOnce};

use super::elementwise::exp;
use super::lanes::{largest, sum};

/// Replaces each value with the exponential of value · scale, shifted so that the largest result is 1. Returns the sum of the
/// results, by which the caller must divide.
pub(in super::super) fn softmax(values: &mut [f32], scale: f32) -> f32 {
    Arch::new().dispatch(Softmax { values, scale })
}

struct Softmax<'a> {
    values: &'a mut [f32],
    scale: f32,
}

impl NullaryFnOnce for Softmax<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        softmax_of(self.values, self.scale)
    }
}

#[inline(always)]
pub(super) fn softmax_of(values: &mut [f32], scale: f32) -> f32 {
    let largest = largest(values) * scale;
    for value in values.iter_mut() {
        *value = exp(*value * scale - largest);
    }
    sum(values, |value| value)
}

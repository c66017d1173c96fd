//! Likenesses as shares of a whole.

use pulp::{Arch, NullaryFnOnce};

use super::elementwise::exp;
use super::lanes::{largest, sum};

/// Makes of each value a share of what is returned, the sum of them: e to the power of the value by the scale, in such a
/// unit that the largest is 1.
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

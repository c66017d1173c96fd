//! Layer normalisation.

use pulp::{Arch, NullaryFnOnce};

use super::lanes::sum;

/// Normalises each row of `input` to a mean of 0 and a variance of 1, then multiplies by the scale and adds the shift.
pub(in super::super) fn normalise(input: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, output: &mut [f32]) {
    Arch::new().dispatch(Normalise { input, scale, shift, epsilon, output });
}

struct Normalise<'a> {
    input: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl NullaryFnOnce for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.scale.len();
        for (row, output) in self.input.chunks_exact(width).zip(self.output.chunks_exact_mut(width)) {
            let mean = sum(row, |value| value) / width as f32;
            let variance = sum(row, |value| (value - mean) * (value - mean)) / width as f32;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for (((output, value), scale), shift) in output.iter_mut().zip(row).zip(self.scale).zip(self.shift) {
                *output = (value - mean) * factor * scale + shift;
            }
        }
    }
}

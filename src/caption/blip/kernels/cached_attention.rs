//! Attention of one token to the cached tokens before it.

use pulp::{Arch, NullaryFnOnce};

use super::softmax::softmax_of;

/// Computes the attention of one query. Keys and values are stored consecutively; each is as long as the query and has all heads.
pub(in super::super) fn attend(query: &[f32], keys: &[f32], values: &[f32], heads: usize, output: &mut [f32]) {
    Arch::new().dispatch(Attend { query, keys, values, heads, output });
}

struct Attend<'a> {
    query: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    heads: usize,
    output: &'a mut [f32],
}

impl NullaryFnOnce for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let length = self.query.len();
        let width = length / self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let mut weights = Vec::with_capacity(self.keys.len() / length);
        for from in (0..length).step_by(width) {
            let query = &self.query[from..][..width];
            weights.clear();
            weights.extend(self.keys.chunks_exact(length).map(|key| dot(query, &key[from..][..width])));
            let sum = softmax_of(&mut weights, scale);
            let output = &mut self.output[from..][..width];
            for (weight, value) in weights.iter().zip(self.values.chunks_exact(length)) {
                for (output, number) in output.iter_mut().zip(&value[from..]) {
                    *output += weight / sum * number;
                }
            }
        }
    }
}

#[inline(always)]
fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

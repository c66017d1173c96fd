//! Attention of one token to the few before it.

use pulp::{Arch, NullaryFnOnce};

use super::softmax::softmax_of;

/// Keys and values lie one after the other, each as long as the query, all heads of it.
pub(in super::super) fn attend(query: &[f32], keys: &[f32], values: &[f32], heads: usize, found: &mut [f32]) {
    Arch::new().dispatch(Attend { query, keys, values, heads, found });
}

struct Attend<'a> {
    query: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    heads: usize,
    found: &'a mut [f32],
}

impl NullaryFnOnce for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let whole = self.query.len();
        let width = whole / self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let mut shares = Vec::with_capacity(self.keys.len() / whole);
        for from in (0..whole).step_by(width) {
            let query = &self.query[from..][..width];
            shares.clear();
            shares.extend(self.keys.chunks_exact(whole).map(|key| dot(query, &key[from..][..width])));
            let sum = softmax_of(&mut shares, scale);
            let found = &mut self.found[from..][..width];
            for (share, value) in shares.iter().zip(self.values.chunks_exact(whole)) {
                for (found, number) in found.iter_mut().zip(&value[from..]) {
                    *found += share / sum * number;
                }
            }
        }
    }
}

#[inline(always)]
fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

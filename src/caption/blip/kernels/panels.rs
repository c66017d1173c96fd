//! Attention of one head: for some rows at a time, their likeness to all keys, and the mean of the values by it.
//!
//! A matrix of likenesses never leaves the first-level cache, and is not there as a whole. Keys and values are laid out for
//! this in panels of [`PANEL`] columns, by `Head::gather`.

use pulp::{Arch, Simd, WithSimd};

use super::softmax::softmax_of;

/// Columns of a panel. Four vectors of AVX-512, a multiple of four of any other.
pub(in super::super) const PANEL: usize = 64;

/// Vectors of a panel that are summed up at once.
const GROUP: usize = 4;

/// What rows find in a picture, or a picture's parts in each other.
pub(in super::super) struct Attention<'a> {
    /// From the first number of the first row's query; the next row's lies `query_stride` further.
    pub queries: &'a [f32],
    pub query_stride: usize,
    /// Of each panel of keys: the first number of each key, then the second, …
    pub keys: &'a [f32],
    /// Of each panel of a value's numbers: the first value's, the second's, …
    pub values: &'a [f32],
    /// How many keys, and values, there are.
    pub count: usize,
    /// How long queries, keys and values are.
    pub width: usize,
    /// From the first number of the first row's result; the next row's lies `output_stride` further.
    pub output: &'a mut [f32],
    pub output_stride: usize,
    pub rows: usize,
}

impl Attention<'_> {
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // As many rows as there are registers for their sums.
        if S::REGISTER_COUNT >= 32 { self.all::<S, 6>(simd) } else { self.all::<S, 2>(simd) }
    }
}

impl Attention<'_> {
    #[inline(always)]
    fn all<S: Simd, const R: usize>(&mut self, simd: S) {
        let mut likeness = vec![0.0; R * self.count.next_multiple_of(PANEL)];
        let mut row = 0;
        while row + R <= self.rows {
            self.some::<S, R>(simd, row, &mut likeness);
            row += R;
        }
        while row < self.rows {
            self.some::<S, 1>(simd, row, &mut likeness);
            row += 1;
        }
    }

    #[inline(always)]
    fn some<S: Simd, const R: usize>(&mut self, simd: S, first: usize, likeness: &mut [f32]) {
        let padded = self.count.next_multiple_of(PANEL);
        let queries: [&[f32]; R] = std::array::from_fn(|row| &self.queries[(first + row) * self.query_stride..][..self.width]);
        for (at, panel) in self.keys.chunks_exact(PANEL * self.width).enumerate() {
            for (row, sums) in multiply(simd, queries, panel).iter().enumerate() {
                likeness[row * padded + at * PANEL..][..PANEL].copy_from_slice(sums);
            }
        }
        let scale = 1.0 / (self.width as f32).sqrt();
        let mut whole = [0.0; R];
        for (row, whole) in whole.iter_mut().enumerate() {
            *whole = softmax_of(&mut likeness[row * padded..][..self.count], scale);
        }
        let shares: [&[f32]; R] = std::array::from_fn(|row| &likeness[row * padded..][..self.count]);
        for (at, panel) in self.values.chunks_exact(PANEL * self.count).enumerate() {
            let wanted = PANEL.min(self.width - at * PANEL);
            for (row, sums) in multiply(simd, shares, panel).iter().enumerate() {
                let output = &mut self.output[(first + row) * self.output_stride + at * PANEL..][..wanted];
                for (output, sum) in output.iter_mut().zip(sums) {
                    *output = sum / whole[row];
                }
            }
        }
    }
}

/// The rows by a panel of as many rows as they have numbers.
#[inline(always)]
fn multiply<S: Simd, const R: usize>(simd: S, rows: [&[f32]; R], panel: &[f32]) -> [[f32; PANEL]; R] {
    let mut results = [[0.0; PANEL]; R];
    let depth = panel.len() / PANEL;
    let rows = rows.map(|row| &row[..depth]);
    for group in 0..PANEL / S::F32_LANES / GROUP {
        let from = group * GROUP * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); GROUP]; R];
        for (at, line) in panel.as_chunks::<PANEL>().0.iter().enumerate() {
            let (line, _) = pulp::as_arrays::<GROUP, _>(S::as_simd_f32s(&line[from..]).0);
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let factor = simd.splat_f32s(row[at]);
                for (sum, vector) in sums.iter_mut().zip(&line[0]) {
                    *sum = simd.mul_add_f32s(factor, *vector, *sum);
                }
            }
        }
        for (result, sums) in results.iter_mut().zip(sums) {
            let (result, _) = S::as_mut_simd_f32s(&mut result[from..]);
            result[..GROUP].copy_from_slice(&sums);
        }
    }
    results
}

//! Attention of one head: computes the scores of a few rows for all keys, then the mean of the values weighted by them.
//!
//! The scores of these rows fit into the L1 cache; the whole score matrix never exists. `Head::gather` arranges keys and values
//! for this in panels of [`PANEL`] columns.

use pulp::{Arch, Simd, WithSimd};

use super::softmax::softmax_of;

/// The columns of a panel: four vectors of AVX-512, and a multiple of four vectors of all narrower instruction sets.
pub(in super::super) const PANEL: usize = 64;

/// The number of a panel's vectors that are accumulated in registers at a time.
const GROUP: usize = 4;

/// The attention of many queries to the keys and values of one head.
pub(in super::super) struct Attention<'a> {
    /// Begins with the first row's query. The next row's follows after `query_stride` numbers.
    pub queries: &'a [f32],
    pub query_stride: usize,
    /// For each panel of keys: the first numbers of all keys, then the second ones, and so on.
    pub keys: &'a [f32],
    /// For each panel of columns: these numbers of the first value, of the second, and so on.
    pub values: &'a [f32],
    /// The number of keys, which is also that of values.
    pub count: usize,
    /// The length of queries, keys and values.
    pub width: usize,
    /// Begins with the first row's result. The next row's follows after `output_stride` numbers.
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
        // The number of rows whose accumulators fit into the registers.
        if S::REGISTER_COUNT >= 32 { self.all_rows::<S, 6>(simd) } else { self.all_rows::<S, 2>(simd) }
    }
}

impl Attention<'_> {
    #[inline(always)]
    fn all_rows<S: Simd, const R: usize>(&mut self, simd: S) {
        let mut scores = vec![0.0; R * self.count.next_multiple_of(PANEL)];
        let mut row = 0;
        while row + R <= self.rows {
            self.row_block::<S, R>(simd, row, &mut scores);
            row += R;
        }
        while row < self.rows {
            self.row_block::<S, 1>(simd, row, &mut scores);
            row += 1;
        }
    }

    #[inline(always)]
    fn row_block<S: Simd, const R: usize>(&mut self, simd: S, first: usize, scores: &mut [f32]) {
        let padded = self.count.next_multiple_of(PANEL);
        let queries: [&[f32]; R] = std::array::from_fn(|row| &self.queries[(first + row) * self.query_stride..][..self.width]);
        for (at, panel) in self.keys.chunks_exact(PANEL * self.width).enumerate() {
            for (row, sums) in multiply(simd, queries, panel).iter().enumerate() {
                scores[row * padded + at * PANEL..][..PANEL].copy_from_slice(sums);
            }
        }
        let scale = 1.0 / (self.width as f32).sqrt();
        let mut totals = [0.0; R];
        for (row, total) in totals.iter_mut().enumerate() {
            *total = softmax_of(&mut scores[row * padded..][..self.count], scale);
        }
        let weights: [&[f32]; R] = std::array::from_fn(|row| &scores[row * padded..][..self.count]);
        for (at, panel) in self.values.chunks_exact(PANEL * self.count).enumerate() {
            let columns = PANEL.min(self.width - at * PANEL);
            for (row, sums) in multiply(simd, weights, panel).iter().enumerate() {
                let output = &mut self.output[(first + row) * self.output_stride + at * PANEL..][..columns];
                for (output, sum) in output.iter_mut().zip(sums) {
                    *output = sum / totals[row];
                }
            }
        }
    }
}

/// Multiplies rows by a panel, which has one row for each of their numbers.
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

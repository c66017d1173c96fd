//! Attention: self attention in the image encoder, and cross attention and cached self attention in the text decoder.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

use super::kernels::{self, Attention, PANEL};
use super::tensors::values;

/// The keys and values of an image's tokens, in the layout that [`Attention`] reads.
pub(super) struct KeyValues {
    heads: Vec<Head>,
    count: usize,
    /// The length of a key or value.
    width: usize,
}

struct Head {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KeyValues {
    /// Gathers keys and values from tensors that hold consecutive rows. Each row has the queries, keys and values of all heads.
    pub fn gather(tensors: &[Tensor], heads: usize) -> Result<Self> {
        let stride = tensors.first().map_or(Ok(0), |tensor| tensor.dim(1))?;
        let parts = tensors.iter().map(values).collect::<Result<Vec<_>>>()?;
        let (count, width) = (parts.iter().map(|part| part.len() / stride).sum(), stride / 3 / heads);
        let part = |from: usize| from..from + width;
        let heads = (0..heads)
            .into_par_iter()
            .map(|head| {
                let rows = parts.iter().flat_map(|part| part.chunks_exact(stride));
                Head::gather(rows, part(stride / 3 + head * width), part(stride / 3 * 2 + head * width), count)
            })
            .collect();
        Ok(KeyValues { heads, count, width })
    }

    /// Returns the attention output of each row. Each row begins with its queries and may be longer.
    pub fn rows(&self, queries: &Tensor) -> Result<Tensor> {
        let (rows, stride) = queries.dims2()?;
        let width = self.heads.len() * self.width;
        let queries = values(queries)?;
        let mut output = vec![0.0; rows * width];
        for (at, head) in self.heads.iter().enumerate() {
            self.attend(head, &queries[at * self.width..], stride, &mut output[at * self.width..], rows);
        }
        Tensor::from_vec(output, (rows, width), &Device::Cpu)
    }

    fn attend(&self, head: &Head, queries: &[f32], stride: usize, output: &mut [f32], rows: usize) {
        Attention {
            queries,
            query_stride: stride,
            keys: &head.keys,
            values: &head.values,
            count: self.count,
            width: self.width,
            output,
            output_stride: self.heads.len() * self.width,
            rows,
        }
        .run();
    }
}

impl Head {
    /// Gathers one head and transposes its keys in squares of a panel's width.
    fn gather<'a>(rows: impl Iterator<Item = &'a [f32]>, key: Range<usize>, value: Range<usize>, count: usize) -> Self {
        let width = key.len();
        let mut keys = vec![0.0; count.next_multiple_of(PANEL) * width];
        let mut values = vec![0.0; width.next_multiple_of(PANEL) * count];
        for (at, row) in rows.enumerate() {
            let panel = &mut keys[at / PANEL * PANEL * width..][..PANEL * width];
            for (line, number) in panel.as_chunks_mut::<PANEL>().0.iter_mut().zip(&row[key.clone()]) {
                line[at % PANEL] = *number;
            }
            for (panel, numbers) in values.chunks_exact_mut(PANEL * count).zip(row[value.clone()].chunks(PANEL)) {
                panel[at * PANEL..][..numbers.len()].copy_from_slice(numbers);
            }
        }
        Head { keys, values }
    }
}

/// An image's keys and values for one layer of the text decoder, in a layout for one query at a time.
pub(super) struct CrossAttention {
    /// For each head: the keys, one after the other.
    keys: Vec<f32>,
    /// For each head, transposed: the first numbers of all values, then the second ones, and so on.
    values: Tensor,
    heads: usize,
}

impl CrossAttention {
    /// Gathers keys (a row for each token of the image) and values (a column for each).
    pub fn gather(keys: &Tensor, transposed_values: Tensor, heads: usize) -> Result<Self> {
        let (_, length) = keys.dims2()?;
        let (rows, width) = (values(keys)?, length / heads);
        let mut keys = Vec::with_capacity(rows.len());
        for head in 0..heads {
            for row in rows.chunks_exact(length) {
                keys.extend_from_slice(&row[head * width..][..width]);
            }
        }
        Ok(CrossAttention { keys, values: transposed_values, heads })
    }

    /// Returns the attention output of one query, computed by all threads of the pool.
    pub fn row(&self, query: &[f32]) -> Result<Vec<f32>> {
        let (width, count) = (query.len() / self.heads, self.keys.len() / query.len());
        let values = values(&self.values)?;
        let mut output = vec![0.0; query.len()];
        output
            .par_chunks_mut(width)
            .zip(query.par_chunks(width))
            .zip(self.keys.par_chunks(width * count))
            .zip(values.par_chunks(width * count))
            .with_min_len(self.heads.div_ceil(rayon::current_num_threads()))
            .for_each(|(((output, query), keys), values)| attend_head(query, keys, values, output));
        Ok(output)
    }
}

fn attend_head(query: &[f32], keys: &[f32], values: &[f32], output: &mut [f32]) {
    let mut weights = vec![0.0; keys.len() / query.len()];
    kernels::product(keys, query, &mut weights);
    let sum = kernels::softmax(&mut weights, 1.0 / (query.len() as f32).sqrt());
    kernels::product(values, &weights, output);
    for number in output {
        *number /= sum;
    }
}

/// The keys and values of the tokens generated so far, at most those of one caption.
#[derive(Default)]
pub(super) struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// Adds a token (its query, key and value, one after the other) and returns its attention output over all tokens so far.
    pub fn row(&mut self, token: &[f32], heads: usize) -> Vec<f32> {
        let width = token.len() / 3;
        let (query, rest) = token.split_at(width);
        let (key, value) = rest.split_at(width);
        self.keys.extend(key);
        self.values.extend(value);
        let mut output = vec![0.0; width];
        kernels::attend(query, &self.keys, &self.values, heads, &mut output);
        output
    }
}

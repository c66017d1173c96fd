//! Attention: of a picture's parts to each other, of a token to a picture, and of a token to those before it.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

use super::kernels::{self, Attention, PANEL};
use super::tensors::values;

/// The keys and values of a picture's parts, in the order in which [`Attention`] reads them.
pub(super) struct Memory {
    heads: Vec<Head>,
    count: usize,
    /// How long a key, and a value, is.
    width: usize,
}

struct Head {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Memory {
    /// Of tensors whose rows follow each other, each of queries, keys and values of so many heads.
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
        Ok(Memory { heads, count, width })
    }

    /// What each row finds. The queries are the first numbers of the rows, which may be longer.
    pub fn rows(&self, queries: &Tensor) -> Result<Tensor> {
        let (rows, stride) = queries.dims2()?;
        let width = self.heads.len() * self.width;
        let queries = values(queries)?;
        let mut found = vec![0.0; rows * width];
        for (at, head) in self.heads.iter().enumerate() {
            self.of(head, &queries[at * self.width..], stride, &mut found[at * self.width..], rows);
        }
        Tensor::from_vec(found, (rows, width), &Device::Cpu)
    }

    fn of(&self, head: &Head, queries: &[f32], stride: usize, found: &mut [f32], rows: usize) {
        Attention {
            queries,
            query_stride: stride,
            keys: &head.keys,
            values: &head.values,
            count: self.count,
            width: self.width,
            output: found,
            output_stride: self.heads.len() * self.width,
            rows,
        }
        .run();
    }
}

impl Head {
    /// Keys are transposed on the way, in squares of a panel's width.
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

/// What a picture is to every token: its keys and values for one layer, laid out for one row that looks at them.
pub(super) struct View {
    /// Of each head: the keys, one after the other.
    keys: Vec<f32>,
    /// Of each head: the first numbers of all values, the second ones, …
    values: Tensor,
    heads: usize,
}

impl View {
    /// Of keys, a row for each part of the picture, and of values, a column for each.
    pub fn gather(keys: &Tensor, seen: Tensor, heads: usize) -> Result<Self> {
        let (_, length) = keys.dims2()?;
        let (rows, width) = (values(keys)?, length / heads);
        let mut keys = Vec::with_capacity(rows.len());
        for head in 0..heads {
            for row in rows.chunks_exact(length) {
                keys.extend_from_slice(&row[head * width..][..width]);
            }
        }
        Ok(View { keys, values: seen, heads })
    }

    /// What a token finds, by all threads of the pool.
    pub fn row(&self, query: &[f32]) -> Result<Vec<f32>> {
        let (width, count) = (query.len() / self.heads, self.keys.len() / query.len());
        let values = values(&self.values)?;
        let mut found = vec![0.0; query.len()];
        found
            .par_chunks_mut(width)
            .zip(query.par_chunks(width))
            .zip(self.keys.par_chunks(width * count))
            .zip(values.par_chunks(width * count))
            .with_min_len(self.heads.div_ceil(rayon::current_num_threads()))
            .for_each(|(((found, query), keys), values)| look(query, keys, values, found));
        Ok(found)
    }
}

fn look(query: &[f32], keys: &[f32], values: &[f32], found: &mut [f32]) {
    let mut shares = vec![0.0; keys.len() / query.len()];
    kernels::product(keys, query, &mut shares);
    let whole = kernels::softmax(&mut shares, 1.0 / (query.len() as f32).sqrt());
    kernels::product(values, &shares, found);
    for number in found {
        *number /= whole;
    }
}

/// The keys and values of the tokens so far: at most a caption's.
#[derive(Default)]
pub(super) struct Past {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Past {
    /// Takes in a token's query, key and value, which follow each other, and tells what it finds in itself and those before.
    pub fn row(&mut self, token: &[f32], heads: usize) -> Vec<f32> {
        let width = token.len() / 3;
        let (query, rest) = token.split_at(width);
        let (key, value) = rest.split_at(width);
        self.keys.extend(key);
        self.values.extend(value);
        let mut found = vec![0.0; width];
        kernels::attend(query, &self.keys, &self.values, heads, &mut found);
        found
    }
}

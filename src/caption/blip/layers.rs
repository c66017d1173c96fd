//! The layers that both halves of the model are made of: of many rows at once, or of a single one.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::fmt::Display;

use super::error::OpenError;
use super::kernels;
use super::tensors::{Add, AddGelu, AddRows, AddToRows, Normalise, values};
use super::weights::Weights;

/// Below as many multiplications, threads would wait for each other longer than they work.
const MIN_PARALLEL_WORK: usize = 1 << 16;

/// A matrix and a bias.
pub(super) struct Linear {
    /// A row for each number of the result, as in the file.
    weight: Tensor,
    bias: Vec<f32>,
}

impl Linear {
    /// From `width` numbers to `wanted`.
    pub fn read(weights: &Weights, name: &str, width: usize, wanted: usize) -> std::result::Result<Self, OpenError> {
        Self::read_stacked(weights, &[name], width, wanted)
    }

    /// Several that are applied to the same rows, as one, whose results follow each other.
    pub fn read_stacked(
        weights: &Weights,
        names: &[impl Display],
        width: usize,
        wanted: usize,
    ) -> std::result::Result<Self, OpenError> {
        let matrices: Vec<_> = names.iter().map(|name| format!("{name}.weight")).collect();
        let weight = weights.stacked(&matrices, [wanted, width])?;
        let mut bias = Vec::with_capacity(names.len() * wanted);
        for name in names {
            bias.extend(weights.values(&format!("{name}.bias"), &[wanted])?);
        }
        Ok(Linear { weight, bias })
    }

    /// For many rows only: laid out by columns, which spares the multiplication the turning of them each time (a tenth of
    /// the encoder's time with two threads).
    pub fn by_columns(self) -> Result<Self> {
        let (rows, columns) = self.weight.dims2()?;
        let weight = Tensor::from_vec(turned(&values(&self.weight)?, columns), (columns, rows), &Device::Cpu)?.t()?;
        Ok(Linear { weight, bias: self.bias })
    }

    pub fn new(weight: Tensor, bias: Vec<f32>) -> Self {
        Linear { weight, bias }
    }

    /// Of many rows.
    pub fn rows(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.product(rows)?;
        product.inplace_op1(&Add(&self.bias))?;
        Ok(product)
    }

    /// Of many rows, and the activation of the result.
    pub fn rows_gelu(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.product(rows)?;
        product.inplace_op1(&AddGelu(&self.bias))?;
        Ok(product)
    }

    /// Of many rows, added to as many others.
    pub fn add_rows(&self, rows: &Tensor, sums: &Tensor) -> Result<()> {
        sums.inplace_op2(&self.product(rows)?, &AddRows(&self.bias))
    }

    /// Of many rows: the result's columns, one after the other.
    pub fn columns(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.weight.matmul(&rows.t()?)?;
        product.inplace_op1(&AddToRows(&self.bias))?;
        Ok(product)
    }

    fn product(&self, rows: &Tensor) -> Result<Tensor> {
        rows.matmul(&self.weight.t()?)
    }

    /// Of one row, by all threads of the pool.
    pub fn row(&self, row: &[f32]) -> Result<Vec<f32>> {
        let mut product = self.product_of_row(row)?;
        kernels::add(&mut product, &self.bias);
        Ok(product)
    }

    /// Of one row, and the activation of the result.
    pub fn row_gelu(&self, row: &[f32]) -> Result<Vec<f32>> {
        let mut product = self.product_of_row(row)?;
        kernels::add_gelu(&mut product, &self.bias);
        Ok(product)
    }

    fn product_of_row(&self, row: &[f32]) -> Result<Vec<f32>> {
        let matrix = values(&self.weight)?;
        let mut product = vec![0.0; self.bias.len()];
        if matrix.len() < MIN_PARALLEL_WORK {
            kernels::product(&matrix, row, &mut product);
            return Ok(product);
        }
        let share = product.len().div_ceil(rayon::current_num_threads());
        product
            .par_chunks_mut(share)
            .zip(matrix.par_chunks(share * row.len()))
            .for_each(|(product, matrix)| kernels::product(matrix, row, product));
        Ok(product)
    }
}

/// A matrix of so many columns, column by column.
fn turned(matrix: &[f32], columns: usize) -> Vec<f32> {
    /// Numbers of a cache line: so many rows are read at once, and written by lines.
    const LINE: usize = 16;
    let rows = matrix.len() / columns;
    let mut result = vec![0.0; matrix.len()];
    for (at, some) in matrix.chunks(LINE * columns).enumerate() {
        for (column, line) in result.chunks_exact_mut(rows).enumerate() {
            let line = &mut line[at * LINE..rows.min((at + 1) * LINE)];
            for (number, row) in line.iter_mut().zip(some.chunks_exact(columns)) {
                *number = row[column];
            }
        }
    }
    result
}

/// Layer normalisation.
pub(super) struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub fn read(weights: &Weights, name: &str, width: usize, epsilon: f32) -> std::result::Result<Self, OpenError> {
        let scale = weights.values(&format!("{name}.weight"), &[width])?;
        let shift = weights.values(&format!("{name}.bias"), &[width])?;
        Ok(Norm { scale, shift, epsilon })
    }

    pub fn rows(&self, rows: &Tensor) -> Result<Tensor> {
        rows.apply_op1_no_bwd(&Normalise { scale: &self.scale, shift: &self.shift, epsilon: self.epsilon })
    }

    pub fn row(&self, row: &[f32]) -> Vec<f32> {
        let mut result = vec![0.0; row.len()];
        kernels::normalise(row, &self.scale, &self.shift, self.epsilon, &mut result);
        result
    }

    /// Of the sum of two.
    pub fn sum(&self, mut row: Vec<f32>, other: &[f32]) -> Vec<f32> {
        kernels::add(&mut row, other);
        self.row(&row)
    }
}

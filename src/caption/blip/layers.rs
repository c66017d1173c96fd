//! The layers of both halves of the model, applied to many rows or to a single one.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::fmt::Display;

use super::error::OpenError;
use super::kernels;
use super::tensors::{Add, AddGelu, AddRows, AddToRows, Normalise, values};
use super::weights::Weights;

/// Products with fewer multiplications run on one thread: with several, waiting would take longer than computing.
const MIN_PARALLEL_WORK: usize = 1 << 16;

/// A linear layer: a weight matrix and a bias.
pub(super) struct Linear {
    /// A row for each number of the output, as in the file.
    weight: Tensor,
    bias: Vec<f32>,
}

impl Linear {
    /// Reads a layer from `width` numbers to `output_width`.
    pub fn read(weights: &Weights, name: &str, width: usize, output_width: usize) -> std::result::Result<Self, OpenError> {
        Self::read_stacked(weights, &[name], width, output_width)
    }

    /// Reads several layers for the same input as one layer with concatenated outputs.
    pub fn read_stacked(
        weights: &Weights,
        names: &[impl Display],
        width: usize,
        output_width: usize,
    ) -> std::result::Result<Self, OpenError> {
        let matrices: Vec<_> = names.iter().map(|name| format!("{name}.weight")).collect();
        let weight = weights.stacked(&matrices, [output_width, width])?;
        let mut bias = Vec::with_capacity(names.len() * output_width);
        for name in names {
            bias.extend(weights.values(&format!("{name}.bias"), &[output_width])?);
        }
        Ok(Linear { weight, bias })
    }

    /// Changes the layout to column-major, for layers that are applied to many rows only. This saves the product from transposing
    /// the matrix each time (a tenth of the encoder's time with two threads).
    pub fn by_columns(self) -> Result<Self> {
        let (rows, columns) = self.weight.dims2()?;
        let weight = Tensor::from_vec(transposed(&values(&self.weight)?, columns), (columns, rows), &Device::Cpu)?.t()?;
        Ok(Linear { weight, bias: self.bias })
    }

    pub fn new(weight: Tensor, bias: Vec<f32>) -> Self {
        Linear { weight, bias }
    }

    /// Applies the layer to many rows.
    pub fn rows(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.product(rows)?;
        product.inplace_op1(&Add(&self.bias))?;
        Ok(product)
    }

    /// Applies the layer and the activation to many rows.
    pub fn rows_gelu(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.product(rows)?;
        product.inplace_op1(&AddGelu(&self.bias))?;
        Ok(product)
    }

    /// Applies the layer to many rows and adds the result to `sums`.
    pub fn add_rows(&self, rows: &Tensor, sums: &Tensor) -> Result<()> {
        sums.inplace_op2(&self.product(rows)?, &AddRows(&self.bias))
    }

    /// Applies the layer to many rows and returns the transposed result.
    pub fn columns(&self, rows: &Tensor) -> Result<Tensor> {
        let product = self.weight.matmul(&rows.t()?)?;
        product.inplace_op1(&AddToRows(&self.bias))?;
        Ok(product)
    }

    fn product(&self, rows: &Tensor) -> Result<Tensor> {
        rows.matmul(&self.weight.t()?)
    }

    /// Applies the layer to one row, on all threads of the pool.
    pub fn row(&self, row: &[f32]) -> Result<Vec<f32>> {
        let mut product = self.product_of_row(row)?;
        kernels::add(&mut product, &self.bias);
        Ok(product)
    }

    /// Applies the layer and the activation to one row.
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

/// Transposes a matrix with this number of columns.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    /// Numbers per cache line: this many rows are read together, so that whole lines are written.
    const LINE: usize = 16;
    let rows = matrix.len() / columns;
    let mut result = vec![0.0; matrix.len()];
    for (at, block) in matrix.chunks(LINE * columns).enumerate() {
        for (column, line) in result.chunks_exact_mut(rows).enumerate() {
            let line = &mut line[at * LINE..rows.min((at + 1) * LINE)];
            for (number, row) in line.iter_mut().zip(block.chunks_exact(columns)) {
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

    /// Normalises the sum of two rows.
    pub fn sum(&self, mut row: Vec<f32>, other: &[f32]) -> Vec<f32> {
        kernels::add(&mut row, other);
        self.row(&row)
    }
}

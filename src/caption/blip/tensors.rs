//! Access to candle's tensors as slices, and our kernels as operations on tensors.
//!
//! Of candle's own kernels, only the matrix product and views are used. Its elementwise kernels run on a separate thread pool
//! with one thread per processor, and idle threads of that pool spin.

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, InplaceOp2, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use std::ops::{Deref, Range};

use super::kernels;

/// A contiguous tensor's numbers, row by row.
pub(super) struct Values<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

pub(super) fn values(tensor: &Tensor) -> Result<Values<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = match &*storage {
        Storage::Cpu(storage) => range_of(storage, layout)?,
        _ => bail!("the tensor is not in CPU memory"),
    };
    Ok(Values { storage, range })
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => &numbers[self.range.clone()],
            // `values` refuses all other types.
            _ => &[],
        }
    }
}

fn range_of(storage: &CpuStorage, layout: &Layout) -> Result<Range<usize>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((from, to))) if to <= numbers.len() => Ok(from..to),
        (CpuStorage::F32(_), _) => bail!("the tensor is not contiguous"),
        _ => bail!("the tensor is not of type f32"),
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let range = range_of(storage, layout)?;
    match storage {
        CpuStorage::F32(numbers) => Ok(&numbers[range]),
        _ => bail!("the tensor is not of type f32"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let range = range_of(storage, layout)?;
    match storage {
        CpuStorage::F32(numbers) => Ok(&mut numbers[range]),
        _ => bail!("the tensor is not of type f32"),
    }
}

/// `row += bias`, in place.
pub(super) struct Add<'a>(pub &'a [f32]);

impl InplaceOp1 for Add<'_> {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        kernels::add(slice_mut(storage, layout)?, self.0);
        Ok(())
    }
}

/// `row = gelu(row + bias)`, in place.
pub(super) struct AddGelu<'a>(pub &'a [f32]);

impl InplaceOp1 for AddGelu<'_> {
    fn name(&self) -> &'static str {
        "add-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        kernels::add_gelu(slice_mut(storage, layout)?, self.0);
        Ok(())
    }
}

/// `row += other's row + bias`, in place.
pub(super) struct AddRows<'a>(pub &'a [f32]);

impl InplaceOp2 for AddRows<'_> {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout, other: &CpuStorage, other_layout: &Layout) -> Result<()> {
        let (rows, others) = (slice_mut(storage, layout)?, slice(other, other_layout)?);
        if rows.len() != others.len() {
            bail!("the tensors have different shapes");
        }
        kernels::add_rows(rows, others, self.0);
        Ok(())
    }
}

/// `row += bias[row]`, in place: one number for each row.
pub(super) struct AddToRows<'a>(pub &'a [f32]);

impl InplaceOp1 for AddToRows<'_> {
    fn name(&self) -> &'static str {
        "add-to-rows"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let rows = slice_mut(storage, layout)?;
        let length = rows.len() / self.0.len();
        for (row, bias) in rows.chunks_exact_mut(length).zip(self.0) {
            row.iter_mut().for_each(|number| *number += bias);
        }
        Ok(())
    }
}

/// Layer normalisation of each row.
pub(super) struct Normalise<'a> {
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    pub epsilon: f32,
}

impl CustomOp1 for Normalise<'_> {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = slice(storage, layout)?;
        let mut normalised = vec![0.0; rows.len()];
        kernels::normalise(rows, self.scale, self.shift, self.epsilon, &mut normalised);
        Ok((CpuStorage::F32(normalised), layout.shape().clone()))
    }
}

//! What candle's own kernels do too slowly, on slices, for the widest vectors that the processor has.
//!
//! `pulp` compiles each of them for several instruction sets and chooses when it runs; all of it is safe code. Nothing
//! here is parallel: the callers divide the work.

mod elementwise;
mod lanes;
mod norm;
mod panels;
mod past;
mod product;
mod softmax;

pub(super) use elementwise::{add, add_gelu, add_rows};
pub(super) use norm::normalise;
pub(super) use panels::{Attention, PANEL};
pub(super) use past::attend;
pub(super) use product::product;
pub(super) use softmax::softmax;

#[cfg(test)]
mod tests;

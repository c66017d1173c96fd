//! Kernels on slices that replace slower ones of candle, for the widest vectors of the processor.
//!
//! `pulp` compiles each kernel for several instruction sets and selects one at run time, without unsafe code. The kernels are
//! single-threaded: callers divide the work.

mod cached_attention;
mod elementwise;
mod lanes;
mod norm;
mod panels;
mod product;
mod softmax;

pub(super) use cached_attention::attend;
pub(super) use elementwise::{add, add_gelu, add_rows};
pub(super) use norm::normalise;
pub(super) use panels::{Attention, PANEL};
pub(super) use product::product;
pub(super) use softmax::softmax;

#[cfg(test)]
mod tests;

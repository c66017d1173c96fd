//! Tests of admission: memory, threads and disk space are shared fairly between callers.

mod fairness;
mod memory;

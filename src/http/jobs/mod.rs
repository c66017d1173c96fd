//! Jobs: imports.

pub mod imports;

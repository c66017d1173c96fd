//! Background jobs: imports.

pub mod imports;

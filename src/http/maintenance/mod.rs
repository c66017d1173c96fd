//! Health, metrics, statistics, and limits.

pub mod health;
pub mod limits;
pub mod stats;

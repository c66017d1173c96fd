//! Endpoints for operators and clients: health, metrics, statistics, and limits.

pub mod health;
pub mod limits;
pub mod stats;

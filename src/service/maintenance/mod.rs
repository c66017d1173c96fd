//! Maintenance: cleanup, the doctor, readiness, and statistics.

pub(super) mod bucket;
pub mod doctor;
pub mod readiness;
pub mod repeated_failures;
pub mod stats;
pub mod step;
pub mod sweep;
mod sweep_uploads;

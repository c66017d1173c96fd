//! Tests of maintenance: health, metrics, statistics, cleanup, the doctor, and failures of what the service depends on.

mod bucket;
mod doctor;
mod faults;
mod full_disk;
mod health;
mod metrics;
mod stats;
mod sweeper;

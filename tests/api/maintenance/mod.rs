//! Tests of maintenance: health, metrics, statistics, cleanup, the doctor, and failures of what the service depends on.

mod bucket;
mod faults;
mod full_disk;
mod stats;
mod sweeper;

//! The job tables, as queues that instances share.

pub mod caption_jobs;
pub mod import_lanes;
pub mod import_queue;
pub mod imports;

//! Tests of background jobs: imports, captions and their queues.

mod caption_model;
mod caption_queue;
mod captions;
mod import_addresses;
mod import_attempts;
mod import_fetch;
mod import_queue;
mod import_recovery;
mod imports;

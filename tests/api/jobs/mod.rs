//! Tests of background jobs: imports, captions and their queues.

mod caption_model;
mod caption_queue;
mod captions;
mod import_fetch;
mod import_queue;
mod imports;

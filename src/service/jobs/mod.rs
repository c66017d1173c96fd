//! Jobs: imports and captions, and the queues that instances share.

pub mod caption_queue;
pub mod captions;
pub(super) mod import_failure;
pub(super) mod import_fetch;
pub mod import_queue;
pub mod imports;
pub mod queue;

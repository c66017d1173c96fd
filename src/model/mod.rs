//! Floor 1: plain types and the pure rules on them. Parse once at the edge, then trust the type.
//!
//! Nothing here does IO, knows a wire format or holds SQL; everything above may use it.

pub mod accept;
pub mod account;
pub mod byte_range;
pub mod caller;
pub mod caption;
pub mod clock;
pub mod collection;
pub mod color;
pub mod content_disposition;
pub mod counter;
pub mod filter;
pub mod header_parameters;
pub mod id;
pub mod image;
pub mod job;
pub mod name;
pub mod page;
pub mod plan;
pub mod rendering;
pub mod resize;
pub mod tag;
pub mod text;

//! The domain model: plain types and the pure rules on them. Values are parsed once at the edge; after that the type is trusted.
//!
//! Nothing here performs I/O, knows a wire format or contains SQL. Every other layer may use it.

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
pub mod draft;
pub mod entity_tag;
pub mod filter;
pub mod format;
pub mod header_parameters;
pub mod id;
pub mod image;
pub mod job;
pub mod multipart_framing;
pub mod name;
pub mod page;
pub mod plan;
pub mod plural;
pub mod rendering;
pub mod resize;
pub mod share;
pub mod tag;
pub mod text;
pub mod thumbnail;
pub mod upload_properties;
pub mod user_id;

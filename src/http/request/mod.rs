//! Reading requests: bodies, forms, JSON, and headers.

pub mod body;
pub mod conditional;
pub mod extractors;
pub mod fields;
pub mod json;
pub mod json_fields;
pub mod link_header;
pub mod multipart;
pub mod multipart_framing;
pub mod paging;

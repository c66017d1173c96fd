//! Parsing of requests: bodies, forms, JSON, headers, query parameters, and extractors.

pub mod authorization;
pub mod body;
pub mod conditional;
pub mod cookies;
pub mod declared;
pub mod extractors;
pub mod fields;
pub mod json;
pub mod json_fields;
pub mod link_header;
pub mod multipart;
pub mod negotiation;
pub mod paging;
pub mod parameters;
pub mod previewers;

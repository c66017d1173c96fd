//! Sharing: public links, share links that expire, and collections.

pub mod collections;
pub mod expiring_links;
pub mod public_images;
pub mod public_links;

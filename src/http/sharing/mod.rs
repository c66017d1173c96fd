//! Sharing: public links, share links that expire, shares, and collections.

pub mod collections;
pub mod expiring_links;
pub mod public_images;
pub mod public_links;
pub mod shared_images;
pub mod shares;

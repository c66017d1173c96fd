//! Sharing: public links, expiring links, shares, and collections.

pub mod collection_items;
pub mod collection_order;
pub mod collection_tiles;
pub mod collections;
pub mod expiring_links;
pub mod public_links;
pub mod share_access;
pub mod shared_images;
pub mod shares;

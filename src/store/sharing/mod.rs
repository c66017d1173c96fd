//! The tables of expiring links, shares and collections.

pub mod collection_items;
pub mod collection_order;
pub mod collections;
pub mod expiring_links;
pub mod shares;

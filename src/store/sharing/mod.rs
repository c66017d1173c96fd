//! The tables of expiring links and of collections.

pub mod collection_items;
pub mod collection_order;
pub mod collections;
pub mod expiring_links;

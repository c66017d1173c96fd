//! Tests of sharing: public links, expiring links and collections.

mod collection_consistency;
mod collection_order;
mod collections;
mod expiring_links;
mod public_links;

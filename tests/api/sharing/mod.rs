//! Tests of sharing: public links, expiring links, shares and collections.

mod collection_consistency;
mod collections;
mod expiring_links;
mod guest_images;
mod public_links;
mod share_passwords;
mod shared_images;
mod shares;

//! C2PA Content Credentials (specification 2.2): signed records of the origin of an image.
//!
//! A manifest is signed, so it cannot be edited: it is kept as it is or removed as a whole. It is removed if anything in it names
//! a location ([`store::has_location`]), or if its hash covers a byte that was changed elsewhere in the file
//! ([`FileCredentials::stays_valid`]). An image without credentials is better than one that readers report as tampered with.
//! After removal, readers find no manifest.
//!
//! A reference to a remote manifest is removed from every file that was changed and does not keep a manifest of its own.

mod app11;
mod boxes;
mod cbor;
mod compact;
mod compressed;
mod file_credentials;
mod json;
mod reference;
mod store;
mod vocabulary;

pub(super) use app11::{SplitBox, join};
pub(super) use compact::compact;
pub(super) use file_credentials::FileCredentials;
pub(super) use reference::remove as remove_reference;

use super::Policy;
use super::pieces::Pieces;

/// The start of the name of GIF's application extension; a version follows.
pub(super) const GIF_NAME: &[u8] = b"C2PA_GIF";

/// The name of an extension that was emptied.
pub(super) const GIF_BLANK_NAME: [u8; 11] = [b' '; 11];

/// Returns whether a manifest store must be removed.
pub(super) fn must_remove(store: &[u8], policy: Policy) -> bool {
    policy.void_credentials || policy.wipe || store::has_location(store, policy)
}

/// Returns whether JUMBF other than a manifest store has a location.
pub(super) fn split_box_has_location(file: &[u8], pieces: &Pieces, policy: Policy) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || store::has_location(&pieces.gather(file), policy)
}

/// Same as [`must_remove`], for a store that its container splits.
pub(super) fn must_remove_split(file: &[u8], pieces: &Pieces, policy: Policy) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || must_remove(&pieces.gather(file), policy)
}

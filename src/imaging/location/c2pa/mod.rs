//! C2PA's Content Credentials (specification 2.2): signed records of where a picture comes from.
//!
//! A manifest is signed, so it cannot be edited: it stays as it is or goes as a whole. It goes if anything in it meaning where
//! ([`has_location`]), and if its hash covers a byte that was changed elsewhere in the file ([`FileCredentials::stays_valid`]): a picture
//! without a credential is better than one that readers call tampered with. It goes so that readers find none.
//!
//! The address of a manifest elsewhere goes from every file that was changed and that keeps no manifest of its own.

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

/// How the name of GIF's application extension starts; a version follows.
pub(super) const GIF_NAME: &[u8] = b"C2PA_GIF";

/// The name that it has once it was emptied.
pub(super) const GIF_BLANK_NAME: [u8; 11] = [b' '; 11];

/// Whether a manifest store has to go.
pub(super) fn must_remove(store: &[u8], policy: Policy) -> bool {
    policy.void_credentials || policy.wipe || store::has_location(store, policy)
}

/// Whether JUMBF that is no manifest store meaning where.
pub(super) fn split_box_has_location(file: &[u8], pieces: &Pieces, policy: Policy) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || store::has_location(&pieces.gather(file), policy)
}

/// As [`must_remove`], of one that its container has cut.
pub(super) fn must_remove_split(file: &[u8], pieces: &Pieces, policy: Policy) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || must_remove(&pieces.gather(file), policy)
}

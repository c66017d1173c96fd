//! C2PA's Content Credentials (specification 2.2): signed records of where a picture comes from.
//!
//! A manifest is signed, so it cannot be edited: it stays as it is or goes as a whole. It goes if anything in it says where
//! ([`tells_place`]), and if its hash covers a byte that was changed elsewhere in the file ([`Found::stays_valid`]): a picture
//! without a credential is better than one that readers call tampered with. It goes so that readers find none.
//!
//! The address of a manifest elsewhere goes from every file that was changed and that keeps no manifest of its own.

mod app11;
mod boxes;
mod cbor;
mod compressed;
mod cut;
mod found;
mod json;
mod names;
mod reference;
mod store;

pub(super) use app11::{CutBox, join};
pub(super) use cut::cut;
pub(super) use found::Found;
pub(super) use reference::remove as remove_reference;

use super::Care;
use super::pieces::Pieces;

/// How the name of GIF's application extension starts; a version follows.
pub(super) const GIF_NAME: &[u8] = b"C2PA_GIF";

/// The name that it has once it was emptied.
pub(super) const GIF_NO_NAME: [u8; 11] = [b' '; 11];

/// Whether a manifest store has to go.
pub(super) fn must_go(store: &[u8], care: Care) -> bool {
    care.void_credentials || care.wipe || store::tells_place(store, care)
}

/// Whether JUMBF that is no manifest store says where.
pub(super) fn cut_box_tells_place(file: &[u8], pieces: &Pieces, care: Care) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || store::tells_place(&pieces.gather(file), care)
}

/// As [`must_go`], of one that its container has cut.
pub(super) fn cut_store_must_go(file: &[u8], pieces: &Pieces, care: Care) -> bool {
    pieces.bytes() > store::MAX_STORE_BYTES || must_go(&pieces.gather(file), care)
}

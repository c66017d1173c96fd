//! A metadata block of one of the four kinds that every container carries, whatever it wraps around them. Owns the two
//! decisions that hold for all kinds: how large a block may be, and that it is wiped when it is larger.

use super::{Care, Outcome, c2pa, fill, iptc, is_blank, photoshop, tiff, xmp};

/// A larger block is wiped unread. JPEG segments hold 64 KB and an extended XMP packet with a depth map a few MB; the edits'
/// own memory grows with the block, and this bounds it.
pub(super) const MAX_BLOCK_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TIFF header and its IFDs, with or without `Exif\0\0` before it.
    Exif,
    /// An XMP packet.
    Xmp,
    /// Photoshop's image resources.
    Photoshop,
    /// IPTC-IIM datasets, or image resources around them, as ImageMagick mixes them up.
    Iptc,
}

/// Removes the location in place.
pub(super) fn clean(kind: Kind, block: &mut [u8], care: Care) -> Outcome {
    if is_blank(block) {
        return Outcome::Unchanged;
    }
    if care.wipe || block.len() > MAX_BLOCK_BYTES {
        return wipe(kind, block);
    }
    match kind {
        Kind::Xmp => {
            let outcome = xmp::clean(block, care);
            let reference = if care.void_credentials { c2pa::remove_reference(block) } else { Outcome::Unchanged };
            if outcome == Outcome::Unchanged { reference } else { outcome }
        }
        Kind::Iptc if block.first() == Some(&iptc::MARKER) => iptc::clean(block, care),
        Kind::Iptc if !photoshop::recognises(block) => iptc::clean_unreadable(block),
        _ if care.levels == 0 => wipe(kind, block),
        Kind::Exif => tiff::clean(after_exif_header(block), care),
        Kind::Photoshop | Kind::Iptc => photoshop::clean(block, care),
    }
}

/// Wipes with what the block's readers take for padding.
pub(super) fn wipe(kind: Kind, block: &mut [u8]) -> Outcome {
    let padding = match kind {
        Kind::Exif => return tiff::wipe(after_exif_header(block)),
        Kind::Xmp => b' ',
        Kind::Photoshop | Kind::Iptc => 0,
    };
    if fill(block, padding) { Outcome::Emptied } else { Outcome::Unchanged }
}

/// PNG and WebP hold a bare TIFF, but many writers copy the JPEG segment's header along.
fn after_exif_header(block: &mut [u8]) -> &mut [u8] {
    let skip = if block.starts_with(b"Exif\0") { 6.min(block.len()) } else { 0 };
    block.get_mut(skip..).unwrap_or_default()
}

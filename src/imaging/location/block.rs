//! The kinds of metadata blocks that every container carries, how to clean one, and what came of it. Owns the size limit for all
//! kinds.

/// A larger block is wiped unread. JPEG segments hold 64 KB, and an extended XMP packet with a depth map a few MB. The memory for
/// edits grows with the block, and this limit bounds it.
pub(super) const MAX_BLOCK_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TIFF header and its IFDs, with or without `Exif\0\0` before it.
    Exif,
    /// An XMP packet.
    Xmp,
    /// Photoshop image resources.
    Photoshop,
    /// IPTC-IIM datasets, or image resources around them: ImageMagick uses one name for both.
    Iptc,
}

/// How to treat a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// Wipe the whole block, because the file did not settle.
    pub wipe: bool,
    /// How many more levels of nested blocks may be opened: EXIF can hold Photoshop resources, which can hold EXIF. Deeper blocks
    /// are wiped.
    pub levels: u8,
    /// No C2PA manifest is valid any more: remove manifests and references to manifests.
    pub void_credentials: bool,
}

impl Policy {
    pub const EDIT: Policy = Policy { wipe: false, levels: 2, void_credentials: false };
    pub const WIPE: Policy = Policy { wipe: true, ..Policy::EDIT };

    /// Returns the policy for blocks inside this one.
    pub fn nested(self) -> Policy {
        Policy { levels: self.levels.saturating_sub(1), ..self }
    }
}

/// What cleaning did to a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No byte changed.
    Unchanged,
    /// Part of it was removed.
    Edited,
    /// All of it was removed; the container may drop the block.
    Emptied,
}

impl Outcome {
    pub fn changed(self) -> bool {
        self != Outcome::Unchanged
    }
}

/// Fills `bytes` and returns whether that changed any of them.
pub(super) fn fill(bytes: &mut [u8], with: u8) -> bool {
    let changes = bytes.iter().any(|&byte| byte != with);
    bytes.fill(with);
    changes
}

/// Returns whether a block is empty: wiping leaves zeros and white space.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r'))
}

//! A metadata block of one of the four kinds that every container carries, whatever it wraps around them. Owns the two
//! decisions that hold for all kinds: how large a block may be, and that it is wiped when it is larger.

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

/// How to treat a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// Remove the whole block, because the file did not settle.
    pub wipe: bool,
    /// How many blocks that hold others may still be opened: EXIF can hold Photoshop resources, which can hold EXIF. What lies
    /// deeper is wiped.
    pub levels: u8,
    /// No credential is valid any more: manifests go, and addresses of manifests.
    pub void_credentials: bool,
}

impl Policy {
    pub const EDIT: Policy = Policy { wipe: false, levels: 2, void_credentials: false };
    pub const WIPE: Policy = Policy { wipe: true, ..Policy::EDIT };

    /// For what lies inside of a block.
    pub fn nested(self) -> Policy {
        Policy { levels: self.levels.saturating_sub(1), ..self }
    }
}

/// What became of a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not one byte differs.
    Unchanged,
    /// Some of it is gone.
    Edited,
    /// All of it is gone; the container may drop it.
    Emptied,
}

impl Outcome {
    pub fn changed(self) -> bool {
        self != Outcome::Unchanged
    }
}

/// Whether that changed anything.
pub(super) fn fill(bytes: &mut [u8], with: u8) -> bool {
    let changes = bytes.iter().any(|&byte| byte != with);
    bytes.fill(with);
    changes
}

/// Whether nothing is left in a block: zeros and white space are what wiping leaves behind.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r'))
}

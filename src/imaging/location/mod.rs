//! Location privacy: takes the place where a picture was taken out of its file, and nothing else.
//!
//! [`remove`] edits metadata only. Picture data is copied untouched, and whatever is not a location (orientation, camera,
//! dates, ICC profile, caption, copyright) stays readable. What counts as a location is written down in `fields` for names
//! and in `tiff`, `iptc` and `mp4` for numbers.
//!
//! **Edits keep every length.** A removed EXIF entry leaves a freed slot, a removed XMP property leaves white space, a
//! removed IPTC dataset leaves zeros at the end of its block. So no offset has to be rewritten: those of maker notes, of the
//! Multi-Picture Format and of motion photos, which count from places that only their makers know, stay true. Only two
//! things change a length: PNG's compressed texts, which are packed again, and whole PNG or WebP chunks that are dropped.
//!
//! **Doubt is resolved for privacy.** A metadata block that cannot be understood (not XML, larger than
//! `block::MAX_BLOCK_BYTES`, overlapping structures that do not settle) is wiped, because someone else's reader may be
//! more patient than this one. Nothing here trusts that the file was decoded before.
//!
//! What is kept on purpose: maker notes, FlashPix, FLIR and other makers' own segments, GoPro's GPMF; keywords and captions,
//! though people write places into them; the creator's contact address; direction (`GPano:PoseHeadingDegrees`, a gimbal's
//! yaw) outside of the GPS fields; a video's timed tracks.

mod angle;
mod block;
mod coordinates;
mod embedded;
mod fields;
mod flir;
mod gif;
mod gopro;
mod inflate;
mod insta360;
mod iptc;
mod jpeg;
mod links;
mod maker_note;
mod media_jukebox;
mod mp4;
mod photoshop;
mod pieces;
mod png;
mod png_text;
mod raw_profile;
mod rebuild;
mod rmeta;
mod segments;
mod spans;
mod text;
mod tiff;
mod tiff_edit;
mod tiff_read;
mod trailer;
mod webp;
mod wide;
mod words;
mod xml;
mod xmp;
mod xmp_extended;

#[cfg(test)]
mod tests;

use crate::model::image::Format;

/// What is needed beside the copy of the file, at most: a block that is inflated, and packed again.
pub(super) const EXTRA_BYTES: u64 = 16 << 20;

/// The file without its location; `None` when it has none, so that the original can be kept as it is.
///
/// Never fails: what cannot be parsed is kept when no metadata reader could understand it either, and wiped otherwise.
/// Running it on its own result gives `None`. Time grows with the file's length, memory is one copy of it and a few blocks
/// of up to 16 MiB.
pub(super) fn remove(bytes: &[u8], format: Format) -> Option<Vec<u8>> {
    let mut cleaned = first_pass(bytes, format)?;
    // An honest file is settled after one pass, and the second finds nothing. In a hostile one, whose structures overlap, an
    // edit can uncover another location; each pass then has fewer bytes to remove, and the last one wipes every block.
    for care in [Care::EDIT, Care::EDIT, Care::WIPE, Care::WIPE] {
        if !next_pass(&mut cleaned, format, care) {
            break;
        }
    }
    Some(cleaned)
}

fn first_pass(bytes: &[u8], format: Format) -> Option<Vec<u8>> {
    match format {
        Format::Png => png::clean(bytes, Care::EDIT),
        Format::Webp => webp::clean(bytes, Care::EDIT),
        Format::Jpeg | Format::Gif => {
            let mut copy = bytes.to_vec();
            next_pass(&mut copy, format, Care::EDIT).then_some(copy)
        }
    }
}

/// Whether there was something left to remove.
fn next_pass(file: &mut Vec<u8>, format: Format, care: Care) -> bool {
    let rebuilt = match format {
        Format::Jpeg => return jpeg::clean(file, care),
        Format::Gif => return gif::clean(file, care),
        Format::Png => png::clean(file, care),
        Format::Webp => webp::clean(file, care),
    };
    match rebuilt {
        Some(cleaned) => {
            *file = cleaned;
            true
        }
        None => false,
    }
}

/// How to treat a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Care {
    /// Remove the whole block, because the file did not settle.
    wipe: bool,
    /// How many blocks that hold others may still be opened: EXIF can hold Photoshop resources, which can hold EXIF. What lies
    /// deeper is wiped.
    levels: u8,
}

impl Care {
    const EDIT: Care = Care { wipe: false, levels: 2 };
    const WIPE: Care = Care { wipe: true, levels: 2 };

    /// For what lies inside of a block.
    fn inside(self) -> Care {
        Care { levels: self.levels.saturating_sub(1), ..self }
    }
}

/// What became of a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Not one byte differs.
    Unchanged,
    /// Some of it is gone.
    Edited,
    /// All of it is gone; the container may drop it.
    Emptied,
}

impl Outcome {
    fn changed(self) -> bool {
        self != Outcome::Unchanged
    }
}

/// Whether that changed anything.
fn fill(bytes: &mut [u8], with: u8) -> bool {
    let changes = bytes.iter().any(|&byte| byte != with);
    bytes.fill(with);
    changes
}

/// Whether nothing is left in a block: zeros and white space are what wiping leaves behind.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r'))
}

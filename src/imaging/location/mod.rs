//! Removes location metadata from image files, and nothing else.
//!
//! [`clean`] edits metadata only. Image data is copied untouched, and metadata that is not a location (orientation, camera,
//! dates, ICC profile, caption, copyright) stays readable. The rules for what counts as a location are in `property_names` and
//! `keywords` for names, and in `tiff_plan`, `iptc` and `mp4` for numeric tags.
//!
//! **Edits preserve lengths.** Removing an EXIF entry frees its slot, an XMP property becomes white space, and an IPTC dataset
//! leaves zeros at the end of its block. No offset needs rewriting. This matters for MakerNotes, the Multi-Picture Format and
//! motion photos, whose offsets count from positions that only their makers know. Three edits change a length: PNG's compressed
//! texts are compressed again, whole PNG or WebP chunks are dropped, and C2PA manifests are cut out of JPEG and GIF files that
//! have no data after the image.
//!
//! **When in doubt, remove.** A metadata block that cannot be parsed (malformed XML, more than `block::MAX_BLOCK_BYTES`,
//! overlapping structures that do not settle) is wiped, because another reader may be more lenient than this one. Nothing here
//! assumes that the file was decoded before.
//!
//! **A file without a location is not changed.** The exception is malformed XMP, which is wiped where it cannot be parsed.
//! Unreadable EXIF and IPTC are wiped only if they contain something that looks like a location.
//!
//! # What is removed
//!
//! - EXIF: the GPS IFD and GeoTIFF tags; also in previews and Photoshop thumbnails.
//! - XMP, PNG text chunks, video metadata keys: properties that name a location, by the rules of `property_names` and `keywords`;
//!   also in UTF-16 and UTF-32.
//! - IPTC: location, city, state, country, sublocation; also where old programs appended it to the file.
//! - Human-readable text: coordinates, by the rules of `coordinates`: in comments, titles, descriptions, captions, keywords,
//!   authors, every text of EXIF and PNG, other values of XMP.
//! - Vendor blocks: FLIR and GoPro positions, Insta360 and Samsung trailers, locations of Ricoh and Media Jukebox, the documented
//!   location tags of MakerNotes.
//! - Videos: ISO, Apple and Android locations, XMP, GoPro positions.
//!
//! # What is kept on purpose
//!
//! - Place names that people write into captions and keywords.
//! - The creator's contact address.
//! - Directions (`GPano:PoseHeadingDegrees`, a gimbal's yaw) outside the GPS IFD.
//! - A camera's time zone, even if it is named after a city.
//! - IPTC's `Destination`, which names the recipient of the file.
//! - A drone's position relative to its take-off point.
//! - Undocumented parts of MakerNotes, FlashPix, and the timed tracks of a video.
//!
//! `RatingRegion` is removed: its value is a location in words.

mod angle;
mod base64_jpeg;
mod block;
mod c2pa;
mod character_references;
mod coordinates;
mod ducky;
mod flir;
mod geometry;
mod gif;
mod gopro;
mod inflate;
mod insta360;
mod iptc;
mod jpeg;
mod keywords;
mod labels;
mod links;
mod maker_note;
mod media_jukebox;
mod mp4;
mod namespaces;
mod pairs;
mod photoshop;
mod pieces;
mod png;
mod png_text;
mod property_names;
mod raw_profile;
mod rebuild;
mod rmeta;
mod segments;
mod spans;
mod text;
mod tiff;
mod tiff_edit;
mod tiff_plan;
mod tiff_read;
mod trailer;
mod webp;
mod wide;
mod word_match;
mod xml;
mod xmp;
mod xmp_extended;

#[cfg(test)]
mod tests;

use crate::model::image::{Credentials, Format};
use block::{Kind, MAX_BLOCK_BYTES, Outcome, Policy, fill, is_blank};

/// Memory needed beside the copy of the file, at most: an inflated block, and as much again for what is derived from it (the
/// compressed result, its narrow form, an embedded image).
pub(super) const EXTRA_BYTES: u64 = 32 << 20;

/// The result of [`clean`].
pub(super) struct Cleaned {
    /// The file without its location. `None` if it had none, so the original can be stored unchanged.
    pub file: Option<Vec<u8>>,
    pub credentials: Credentials,
}

/// Removes the location from a file.
///
/// Never fails: data that cannot be parsed is kept if no metadata reader could parse it either, and wiped otherwise. Cleaning the
/// result again changes nothing. Time grows with the length of the file. Memory is one copy of the file and a few blocks of up to
/// 16 MiB.
pub(super) fn clean(bytes: &[u8], format: Format) -> Cleaned {
    let credentials = c2pa::FileCredentials::find_in(bytes, format);
    let Some(mut file) = clean_copy(bytes, format, Policy::EDIT) else {
        return Cleaned { file: None, credentials: unchanged_credentials(&credentials) };
    };
    settle(&mut file, format, bytes, &credentials);
    // Cutting bytes out can join two blocks or split one, so the file is checked again.
    if !credentials.stays_valid(bytes, &file) && c2pa::compact(&mut file, format) {
        settle(&mut file, format, bytes, &credentials);
    }
    let credentials = match unchanged_credentials(&credentials) {
        Credentials::Kept if !c2pa::FileCredentials::find_in(&file, format).is_present() => Credentials::Removed,
        other => other,
    };
    Cleaned { file: Some(file), credentials }
}

/// Reports the credentials of a file whose location is kept.
pub(super) fn kept(bytes: &[u8], format: Format) -> Cleaned {
    Cleaned { file: None, credentials: unchanged_credentials(&c2pa::FileCredentials::find_in(bytes, format)) }
}

fn unchanged_credentials(credentials: &c2pa::FileCredentials) -> Credentials {
    if credentials.is_present() { Credentials::Kept } else { Credentials::None }
}

/// Same as [`clean`], without the credentials.
#[cfg(any(test, fuzzing))]
pub(super) fn remove(bytes: &[u8], format: Format) -> Option<Vec<u8>> {
    clean(bytes, format).file
}

/// Cleans a changed file until nothing is left to remove. `original` and its `credentials` are those from before the edit.
///
/// A well-formed file has settled after the first pass, so this finds nothing. In a hostile file with overlapping structures, an
/// edit can uncover another location. Each pass then has fewer bytes to remove, and the last one wipes every block.
fn settle(file: &mut Vec<u8>, format: Format, original: &[u8], credentials: &c2pa::FileCredentials) {
    for policy in [Policy::EDIT, Policy::EDIT, Policy::WIPE, Policy::WIPE] {
        let policy = Policy { void_credentials: !credentials.stays_valid(original, file), ..policy };
        if !clean_in_place(file, format, policy) {
            break;
        }
    }
}

/// Returns a cleaned copy, or `None` if there was nothing to remove.
fn clean_copy(bytes: &[u8], format: Format, policy: Policy) -> Option<Vec<u8>> {
    match format {
        Format::Png => png::clean(bytes, policy),
        Format::Webp => webp::clean(bytes, policy),
        Format::Jpeg | Format::Gif => {
            let mut copy = bytes.to_vec();
            clean_in_place(&mut copy, format, policy).then_some(copy)
        }
    }
}

/// Returns whether there was anything to remove.
fn clean_in_place(file: &mut Vec<u8>, format: Format, policy: Policy) -> bool {
    let rebuilt = match format {
        Format::Jpeg => return jpeg::clean(file, policy),
        Format::Gif => return gif::clean(file, policy),
        Format::Png => png::clean(file, policy),
        Format::Webp => webp::clean(file, policy),
    };
    match rebuilt {
        Some(cleaned) => {
            *file = cleaned;
            true
        }
        None => false,
    }
}

/// Removes the location from a metadata block in place.
///
/// Blocks nest: EXIF can hold Photoshop resources, which can hold EXIF. A block that holds others calls this function for them,
/// so that the modules of the block kinds do not depend on each other.
fn clean_block(kind: Kind, block: &mut [u8], policy: Policy) -> Outcome {
    if is_blank(block) {
        return Outcome::Unchanged;
    }
    if policy.wipe || block.len() > MAX_BLOCK_BYTES {
        return wipe_block(kind, block);
    }
    match kind {
        Kind::Xmp => {
            let outcome = xmp::clean(block, policy);
            let reference = if policy.void_credentials { c2pa::remove_reference(block) } else { Outcome::Unchanged };
            if outcome == Outcome::Unchanged { reference } else { outcome }
        }
        Kind::Iptc if block.first() == Some(&iptc::MARKER) => iptc::clean(block, policy),
        Kind::Iptc if !photoshop::recognises(block) => iptc::clean_unreadable(block),
        _ if policy.levels == 0 => wipe_block(kind, block),
        Kind::Exif => tiff::clean(after_exif_header(block), policy),
        Kind::Photoshop | Kind::Iptc => photoshop::clean(block, policy),
    }
}

/// Overwrites a block with the bytes that its readers treat as padding.
fn wipe_block(kind: Kind, block: &mut [u8]) -> Outcome {
    let padding = match kind {
        Kind::Exif => return tiff::wipe(after_exif_header(block)),
        Kind::Xmp => b' ',
        Kind::Photoshop | Kind::Iptc => 0,
    };
    if fill(block, padding) { Outcome::Emptied } else { Outcome::Unchanged }
}

/// Skips the header of a JPEG segment: PNG and WebP store bare TIFF, but many writers copy the header along.
fn after_exif_header(block: &mut [u8]) -> &mut [u8] {
    let skip = if block.starts_with(b"Exif\0") { 6.min(block.len()) } else { 0 };
    block.get_mut(skip..).unwrap_or_default()
}

/// Cleans every JPEG in `bytes`, which may be arbitrary data, and returns whether it changed.
///
/// Blocks that can hold a JPEG call this function, because [`segments`] depends on them in turn.
fn clean_embedded_jpegs(bytes: &mut [u8], policy: Policy) -> bool {
    segments::clean_jpegs(bytes, policy)
}

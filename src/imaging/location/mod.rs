//! Location privacy: takes the place where a picture was taken out of its file, and nothing else.
//!
//! [`remove`] edits metadata only. Picture data is copied unchanged_credentials, and whatever is not a location (orientation, camera,
//! dates, ICC profile, caption, copyright) stays readable. What counts as a location is written down in `fields` for names
//! and in `tiff`, `iptc` and `mp4` for numbers.
//!
//! **Edits keep every length.** A removed EXIF entry leaves a freed slot, a removed XMP property leaves white space, a
//! removed IPTC dataset leaves zeros at the end of its block. So no offset has to be rewritten: those of maker notes, of the
//! Multi-Picture Format and of motion photos, which count from places that only their makers know, stay true. Three
//! things change a length: PNG's compressed texts, which are packed again; whole PNG or WebP chunks that are dropped; and C2PA
//! manifests, which are cut out of JPEG and GIF files in which nothing follows the picture.
//!
//! **Doubt is resolved for privacy.** A metadata block that cannot be understood (not XML, larger than
//! `block::MAX_BLOCK_BYTES`, overlapping structures that do not settle) is wiped, because someone else's reader may be
//! more patient than this one. Nothing here trusts that the file was decoded before.
//!
//! **A file without a location is not touched**, except where XMP is not well-formed: what cannot be read there is wiped. EXIF
//! and IPTC that cannot be read are wiped only when something in them looks like a location.
//!
//! # What goes
//!
//! | where | what |
//! |---|---|
//! | EXIF | the GPS IFD, GeoTIFF's tags; also in previews and Photoshop's thumbnails |
//! | XMP, PNG texts, videos' keys | properties that name a place, by the rules of `fields`; the same in UTF-16 and UTF-32 |
//! | IPTC | location, city, state, country, sublocation; also where old programs appended it |
//! | texts for people | the coordinates in them, by the rules of `coordinates`: comments, titles, descriptions, captions, keywords, authors, every text of EXIF and of PNG, other values of XMP |
//! | makers' blocks | FLIR's and GoPro's positions, Insta360's and Samsung's trailers, Ricoh's and Media Jukebox's places, the documented place tags of maker notes |
//! | videos | ISO's, Apple's and Android's locations, XMP, GoPro's positions |
//!
//! # What stays on purpose
//!
//! Names of places that people write into captions and keywords; the creator's contact address; directions
//! (`GPano:PoseHeadingDegrees`, a gimbal's yaw) outside of the GPS fields; a camera's time zone, also by the name of a city;
//! IPTC's `Destination`, which is who the file is sent to; a drone's place relative to its take-off; undocumented parts of maker
//! notes; FlashPix; a video's timed tracks. `RatingRegion` goes: it is a place in the words of one.

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

/// What is needed beside the copy of the file, at most: a block that is inflated, and as much for what is made of it (packed
/// again, its narrow form, a picture in it).
pub(super) const EXTRA_BYTES: u64 = 32 << 20;

/// A file without its location.
pub(super) struct Cleaned {
    /// `None` when it has none, so that the original can be kept as it is.
    pub file: Option<Vec<u8>>,
    pub credentials: Credentials,
}

/// Takes the location out of a file.
///
/// Never fails: what cannot be parsed is kept when no metadata reader could understand it either, and wiped otherwise.
/// Running it on its own result changes nothing. Time grows with the file's length, memory is one copy of it and a few blocks
/// of up to 16 MiB.
pub(super) fn clean(bytes: &[u8], format: Format) -> Cleaned {
    let credential = c2pa::FileCredentials::find_in(bytes, format);
    let Some(mut file) = clean_copy(bytes, format, Policy::EDIT) else {
        return Cleaned { file: None, credentials: unchanged_credentials(&credential) };
    };
    settle(&mut file, format, bytes, &credential);
    // What was read as one block for what stood between its parts may be two now, or the other way round.
    if !credential.stays_valid(bytes, &file) && c2pa::compact(&mut file, format) {
        settle(&mut file, format, bytes, &credential);
    }
    let credentials = match unchanged_credentials(&credential) {
        Credentials::Kept if !c2pa::FileCredentials::find_in(&file, format).is_present() => Credentials::Removed,
        other => other,
    };
    Cleaned { file: Some(file), credentials }
}

/// The file as it came, where its location is to be kept.
pub(super) fn kept(bytes: &[u8], format: Format) -> Cleaned {
    Cleaned { file: None, credentials: unchanged_credentials(&c2pa::FileCredentials::find_in(bytes, format)) }
}

fn unchanged_credentials(credential: &c2pa::FileCredentials) -> Credentials {
    if credential.is_present() { Credentials::Kept } else { Credentials::None }
}

/// As [`clean`], of the file alone.
#[cfg(any(test, fuzzing))]
pub(super) fn remove(bytes: &[u8], format: Format) -> Option<Vec<u8>> {
    clean(bytes, format).file
}

/// Goes over a file that was changed until nothing is left to remove. `original` and its `credential` are from before.
///
/// An honest file is settled after one pass, and this finds nothing. In a hostile one, whose structures overlap, an edit can
/// uncover another location; each pass then has fewer bytes to remove, and the last one wipes every block.
fn settle(file: &mut Vec<u8>, format: Format, original: &[u8], credential: &c2pa::FileCredentials) {
    for policy in [Policy::EDIT, Policy::EDIT, Policy::WIPE, Policy::WIPE] {
        let policy = Policy { void_credentials: !credential.stays_valid(original, file), ..policy };
        if !clean_in_place(file, format, policy) {
            break;
        }
    }
}

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

/// Whether there was something left to remove.
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

/// Removes the location in place.
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

/// Wipes with what the block's readers take for padding.
fn wipe_block(kind: Kind, block: &mut [u8]) -> Outcome {
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

/// Cleans every JPEG in `bytes`, which may be anything. A block that can hold a JPEG calls this instead of [`segments`], whose
/// blocks it is among.
fn clean_embedded_jpegs(bytes: &mut [u8], policy: Policy) -> bool {
    segments::scan(bytes, policy)
}

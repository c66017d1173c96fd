//! EXIF: a TIFF header and its IFDs (TIFF 6.0; EXIF 3.0, chapter 4). [`super::tiff_plan`] finds the location,
//! [`super::tiff_edit`] removes it.
//!
//! Removes the GPS IFD with all its values, whichever IFD points to it, and GeoTIFF tags. Blocks of other standards (XMP, IPTC,
//! Photoshop) and MakerNotes are cleaned in place, and texts lose their coordinates.
//!
//! Pitfall: every offset is untrusted. IFDs may overlap, point at each other or claim 65 535 entries. A budget of entries,
//! proportional to the length of the block, bounds the walk. A block that exceeds it, or that is not TIFF, is wiped if anything
//! in it looks like a location.

use super::text::{self, Encoding};
use super::tiff_plan::{GPS_IFD, Plan, TextType};
use super::wide::Wide;
use super::{Outcome, Policy, clean_block, clean_embedded_jpegs, coordinates, keywords, maker_note, tiff_edit};
use crate::imaging::metadata;

/// Passes before the block is wiped. Only overlapping structures need more than one.
const MAX_PASSES: usize = 3;

/// Removes the location in place. Only the entries within an IFD move.
pub(super) fn clean(tiff: &mut [u8], policy: Policy) -> Outcome {
    let mut outcome = Outcome::Unchanged;
    for _ in 0..MAX_PASSES {
        match pass(tiff, policy) {
            Some(false) => return outcome,
            Some(true) => outcome = Outcome::Edited,
            None => break,
        }
    }
    if outcome == Outcome::Unchanged && !looks_like_location(tiff) {
        return Outcome::Unchanged;
    }
    match wipe(tiff) {
        Outcome::Unchanged => outcome,
        wiped => wiped,
    }
}

/// Returns whether a block that is not readable as TIFF may hold a location: a pointer to a GPS IFD or the start of one, in
/// either byte order, or property names and coordinates in plain text.
fn looks_like_location(block: &[u8]) -> bool {
    let gps = GPS_IFD.to_be_bytes();
    let has_entry = memchr::memchr2_iter(gps[0], gps[1], block).any(|at| match block.get(at..at + 4) {
        Some(&[high, low, 0, kind]) if [high, low] == gps => (1..=13).contains(&kind),
        Some(&[low, high, kind, 0]) if [high, low] == gps => (1..=13).contains(&kind),
        _ => false,
    });
    // GPSLatitude: three rationals, after GPSLatitudeRef.
    let latitudes: [&[u8]; 2] = [&[0, 2, 0, 5, 0, 0, 0, 3], &[2, 0, 5, 0, 3, 0, 0, 0]];
    has_entry
        || latitudes.iter().any(|latitude| memchr::memmem::find(block, latitude).is_some())
        || keywords::remnant_mentions_location(block)
        || !coordinates::find(block).is_empty()
}

/// Wipes everything except the orientation, without which the image would be displayed sideways.
pub(super) fn wipe(tiff: &mut [u8]) -> Outcome {
    let orientation = metadata::orientation(tiff, Some(0..tiff.len()));
    let mut left = if orientation == 1 { Vec::new() } else { orientation_alone(orientation).to_vec() };
    if left.len() > tiff.len() {
        left.clear();
    }
    let is_empty = left.is_empty();
    left.resize(tiff.len(), 0);
    if left == tiff {
        return Outcome::Unchanged;
    }
    tiff.copy_from_slice(&left);
    if is_empty { Outcome::Emptied } else { Outcome::Edited }
}

/// Returns a TIFF whose only entry is the orientation: tag, type (SHORT), count, value.
fn orientation_alone(orientation: u8) -> [u8; 26] {
    let mut tiff = *b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    tiff[19] = orientation;
    tiff
}

/// Returns whether anything was removed, or `None` if the block cannot be parsed.
fn pass(tiff: &mut [u8], policy: Policy) -> Option<bool> {
    if super::is_blank(tiff) {
        return Some(false);
    }
    let plan = Plan::read(tiff)?;
    let mut changed = false;
    for &(kind, span) in &plan.nested {
        let nested = tiff.get_mut(span.range())?;
        changed |= clean_block(kind, nested, policy.nested()).changed();
    }
    for &(text, span) in &plan.texts {
        let value = tiff.get_mut(span.range())?;
        changed |= match text {
            TextType::Plain => text::clean(value, Encoding::Bytes, policy),
            TextType::Utf16 => text::clean(value, Encoding::Wide(Wide::UTF_16_LE), policy),
            TextType::CharacterCode => text::clean_with_character_code(value, plan.big_endian, policy),
        };
    }
    for &note in &plan.maker_notes {
        changed |= maker_note::clean(tiff, note, plan.big_endian);
    }
    changed |= tiff_edit::apply(tiff, plan);
    if policy.levels > 1 {
        // A thumbnail in IFD1 or in a MakerNote is a JPEG and may have an EXIF segment of its own.
        changed |= clean_embedded_jpegs(tiff, policy.nested());
    }
    Some(changed)
}

//! Removes a location from a TIFF without moving anything that others point to. Entries are removed from their IFD, and their
//! values are zeroed where they do not overlap data that stays.

use super::fill;
use super::spans::{Span, merged, subtract, touches};
use super::tiff_plan::{Plan, is_location};
use super::tiff_read::{ENTRY_BYTES, Ifd, Tiff};

/// Applies the plan and returns whether a byte changed.
pub(super) fn apply(bytes: &mut [u8], plan: Plan) -> bool {
    let Plan { big_endian, ifds, kept_values, ifds_to_edit, gps_ifds, removed, .. } = plan;
    let mut changed = zero(bytes, ifds, kept_values, gps_ifds, removed);
    for offset in ifds_to_edit {
        changed |= remove_entries(bytes, big_endian, offset).unwrap_or(false);
    }
    changed
}

/// Zeroes removed values. IFDs that stay are never touched. A value that stays protects its bytes too, unless it overlaps a GPS
/// IFD: such a length is false, and would preserve the coordinates.
fn zero(bytes: &mut [u8], ifds: Vec<Span>, mut kept_values: Vec<Span>, gps_ifds: Vec<Span>, mut removed: Vec<Span>) -> bool {
    let gps_ifds = merged(gps_ifds);
    kept_values.retain(|&value| !touches(value, &gps_ifds));
    let mut kept = ifds;
    kept.extend(kept_values);
    removed.extend(gps_ifds);
    let mut changed = false;
    for span in subtract(&merged(removed), &merged(kept)) {
        changed |= bytes.get_mut(span.range()).is_some_and(|range| fill(range, 0));
    }
    changed
}

/// Moves the remaining entries, and the offset of the next IFD after them, over the removed ones, and zeroes the freed slots. The
/// IFD and the values keep their positions.
fn remove_entries(bytes: &mut [u8], big_endian: bool, offset: u32) -> Option<bool> {
    let ifd = Ifd::at(Tiff { bytes, big_endian }, offset)?;
    let claimed = Tiff { bytes, big_endian }.u16(offset as usize)?;
    let mut stays = 0;
    for index in 0..ifd.entries {
        let at = ifd.entry(index);
        if is_location(Tiff { bytes, big_endian }.u16(at)?) {
            continue;
        }
        bytes.copy_within(at..at + ENTRY_BYTES, ifd.entry(stays));
        stays += 1;
    }
    let struck = ifd.entries - stays;
    if struck == 0 {
        return Some(false);
    }
    let (mut end, old_end) = (ifd.entry(stays), ifd.entry(ifd.entries));
    if !ifd.truncated && old_end + 4 <= bytes.len() {
        bytes.copy_within(old_end..old_end + 4, end);
        end += 4;
        bytes.get_mut(end..old_end + 4)?.fill(0);
    } else {
        bytes.get_mut(end..old_end)?.fill(0);
    }
    let left = claimed.checked_sub(u16::try_from(struck).ok()?)?;
    let count = if big_endian { left.to_be_bytes() } else { left.to_le_bytes() };
    bytes.get_mut(offset as usize..)?.first_chunk_mut().map(|field| *field = count)?;
    Some(true)
}

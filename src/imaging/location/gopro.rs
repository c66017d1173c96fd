//! GoPro telemetry (GPMF, gopro/gpmf-parser), in APP6 of JPEGs and in a box of videos. A list of entries: a key, a type, the size
//! and number of samples, and the samples, padded to four bytes. Type 0 is a nested list.
//!
//! An entry with positions becomes free space, for which the format has a key. The stream around it stays.

use super::fill;

pub(super) const HEADER: &[u8] = b"GoPro\0";

/// The key of an entry that readers skip.
const FREE: [u8; 4] = *b"FREE";

/// Keys of positions besides those that start with `GPS`: those of the Karma drone and the raw ones.
const POSITIONS: [[u8; 4]; 2] = [*b"GLPI", *b"GPRI"];

const HEAD_BYTES: usize = 8;

/// Removes positions in place and returns whether there were any.
pub(super) fn clean(entries: &mut [u8]) -> bool {
    let (mut at, mut changed) = (0, false);
    // Lists need no stack: their first entry follows their header.
    while let Some(&[a, b, c, d, kind, size, high, low]) = entries.get(at..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>()) {
        let key = [a, b, c, d];
        at += HEAD_BYTES;
        if kind == 0 {
            continue;
        }
        let bytes = usize::from(size) * usize::from(u16::from_be_bytes([high, low]));
        let end = (at + bytes).min(entries.len());
        if key.starts_with(b"GPS") || POSITIONS.contains(&key) {
            changed = true;
            if let Some(name) = entries.get_mut(at - HEAD_BYTES..at - HEAD_BYTES + 4) {
                name.copy_from_slice(&FREE);
            }
            entries.get_mut(at..end).map(|samples| fill(samples, 0));
        }
        at += bytes.next_multiple_of(4);
    }
    changed
}

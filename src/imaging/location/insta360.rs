//! Insta360's trailer: records before a footer, each followed by its number and length, and a magic string at the end, as
//! ExifTool documents it. Record 0x700 holds positions.

use super::{fill, is_blank};
use memchr::memmem;

const MAGIC: &[u8] = b"8db42d694ccc418790edff439fe026bf";

/// The number and length of the last record, 32 bytes, the length and version of the trailer, the magic string.
const FOOTER_BYTES: usize = 78;

/// Number and length.
const HEAD_BYTES: usize = 6;

const GPS_RECORD: u16 = 0x700;

/// Removes positions in place and returns whether there were any.
pub(super) fn clean(trailer: &mut [u8]) -> bool {
    let ends: Vec<usize> = memmem::find_iter(trailer, MAGIC).map(|at| at + MAGIC.len()).collect();
    let (mut start, mut changed) = (0, false);
    for end in ends {
        changed |= trailer.get_mut(start..end).is_some_and(|one| clean_records(one).unwrap_or(false));
        // A trailer does not overlap the previous one.
        start = end;
    }
    changed
}

fn clean_records(trailer: &mut [u8]) -> Option<bool> {
    let mut changed = false;
    let mut head = trailer.len().checked_sub(FOOTER_BYTES)?;
    while let Some(&[a, b, c, d, e, f]) = trailer.get(head..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>()) {
        let length = u32::from_le_bytes([c, d, e, f]) as usize;
        let Some(start) = head.checked_sub(length) else { break };
        if u16::from_le_bytes([a, b]) == GPS_RECORD {
            let record = trailer.get_mut(start..head)?;
            changed |= !is_blank(record) && fill(record, 0);
        }
        let Some(next) = start.checked_sub(HEAD_BYTES) else { break };
        head = next;
    }
    Some(changed)
}

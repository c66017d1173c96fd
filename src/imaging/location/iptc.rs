//! IPTC-IIM (version 4.2): a list of datasets with a header of five bytes each. Datasets of the application record that name a
//! location are removed, the others move up, and zeros fill the end. Readers treat zeros as padding, because TIFF always adds
//! some.

use super::text::{self, Encoding};
use super::{Outcome, Policy, coordinates, fill, is_blank};

/// The tag marker at the start of every dataset.
pub(super) const MARKER: u8 = 0x1c;

/// Marker, record, number, and a length of two bytes.
const HEADER_BYTES: usize = 5;

/// Removes location datasets and the coordinates in texts. The block keeps its length. Data after the last readable dataset stays
/// in place, unless it looks like a location.
pub(super) fn clean(block: &mut [u8], policy: Policy) -> Outcome {
    let (mut read, mut write) = (0, 0);
    let mut changed = false;
    while let Some(dataset) = Dataset::at(block, read) {
        if dataset.is_text() {
            let text = block.get_mut(read + HEADER_BYTES..read + dataset.bytes);
            changed |= text.is_some_and(|text| text::clean(text, Encoding::Bytes, policy));
        }
        if !dataset.is_location() {
            if write != read {
                block.copy_within(read..read + dataset.bytes, write);
            }
            write += dataset.bytes;
        }
        read += dataset.bytes;
    }
    changed |= read != write;
    fill(block.get_mut(write..read).unwrap_or_default(), 0);
    let rest = block.get_mut(read..).unwrap_or_default();
    if looks_like_location(rest) {
        changed |= fill(rest, 0);
    }
    match changed {
        false => Outcome::Unchanged,
        true if write == 0 && is_blank(block) => Outcome::Emptied,
        true => Outcome::Edited,
    }
}

/// Wipes a block that is not IPTC if it looks like a location.
pub(super) fn clean_unreadable(block: &mut [u8]) -> Outcome {
    // Some programs write datasets as four-byte numbers in the other byte order.
    let swapped = || block.chunks(4).flat_map(|number| number.iter().rev().copied()).collect::<Vec<u8>>();
    let found = looks_like_location(block) || looks_like_location(&swapped());
    if found && fill(block, 0) { Outcome::Emptied } else { Outcome::Unchanged }
}

/// Returns whether bytes that are not readable as datasets may hold a location: the start of a location dataset, or coordinates.
fn looks_like_location(bytes: &[u8]) -> bool {
    let starts_dataset = |at: usize| matches!(bytes.get(at..), Some(&[_, record, number, ..]) if is_location(record, number));
    memchr::memchr_iter(MARKER, bytes).any(starts_dataset) || !coordinates::find_in_whole(bytes).is_empty()
}

/// Content Location Code and Name, City, Sublocation, Province/State, Country Code and Name.
fn is_location(record: u8, number: u8) -> bool {
    record == 2 && matches!(number, 26 | 27 | 90 | 92 | 95 | 100 | 101)
}

struct Dataset {
    record: u8,
    number: u8,
    /// Including the header.
    bytes: usize,
}

impl Dataset {
    fn at(block: &[u8], at: usize) -> Option<Self> {
        let &[marker, record, number, high, low] = block.get(at..)?.first_chunk()?;
        if marker != MARKER {
            return None;
        }
        let bytes = if high & 0x80 == 0 {
            5 + usize::from(u16::from_be_bytes([high, low]))
        } else {
            // An extended dataset: these two bytes give the length of the length field.
            let width = usize::from(u16::from_be_bytes([high & 0x7f, low]));
            let digits = block.get(at + 5..(at + 5).checked_add(width)?).filter(|digits| digits.len() <= 8)?;
            let length = digits.iter().fold(0u64, |length, &digit| length << 8 | u64::from(digit));
            usize::try_from(length).ok()?.checked_add(5 + width)?
        };
        (at.checked_add(bytes)? <= block.len()).then_some(Dataset { record, number, bytes })
    }

    /// Returns whether the record exists and the dataset is not large.
    fn is_plausible(&self) -> bool {
        (1..=9).contains(&self.record) && self.bytes < 0x8000
    }

    /// Returns whether the value is human-readable: titles, keywords, captions, names and sources, but not dates, codes and
    /// images.
    fn is_text(&self) -> bool {
        const TEXTS: [u8; 19] = [5, 7, 12, 15, 20, 22, 25, 40, 80, 85, 103, 105, 110, 115, 116, 118, 120, 121, 122];
        self.record == 2 && TEXTS.contains(&self.number)
    }

    fn is_location(&self) -> bool {
        is_location(self.record, self.number)
    }
}

/// Cleans datasets anywhere in `bytes`, which may be arbitrary data: programs of the 1990s append them to files (AFCP,
/// FotoStation). Requires three in a row, which do not occur by chance.
pub(super) fn clean_appended(bytes: &mut [u8], policy: Policy) -> bool {
    const MIN_DATASETS: usize = 3;
    let (mut at, mut changed) = (0, false);
    while let Some(skip) = bytes.get(at..).and_then(|rest| memchr::memchr(MARKER, rest)) {
        let start = at + skip;
        let (mut end, mut count) = (start, 0);
        while let Some(dataset) = Dataset::at(bytes, end).filter(Dataset::is_plausible) {
            end += dataset.bytes;
            count += 1;
        }
        at = if count >= MIN_DATASETS { end } else { start + 1 };
        if count >= MIN_DATASETS {
            changed |= bytes.get_mut(start..end).is_some_and(|block| clean(block, policy).changed());
        }
    }
    changed
}

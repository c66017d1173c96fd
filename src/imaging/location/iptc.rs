//! IPTC-IIM (version 4.2): a list of datasets, five bytes of header each. Those of the application record that name a place
//! are taken out, the others move up, and zeros fill the end; readers take zeros for padding, as TIFF always adds some.

use super::text::{self, Encoding};
use super::{Outcome, Policy, coordinates, fill, is_blank};

/// What every dataset starts with.
pub(super) const MARKER: u8 = 0x1c;

/// Marker, record, number, and a length of two bytes.
const HEADER_BYTES: usize = 5;

/// The block keeps its length. What follows the last dataset that can be read stays where it is, unless it looks like a
/// location. Texts lose their coordinates.
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

/// Wipes a block that is no IPTC, if it looks like a location.
pub(super) fn clean_unreadable(block: &mut [u8]) -> Outcome {
    // Some programs write datasets as numbers of four bytes, in the other byte order.
    let swapped = || block.chunks(4).flat_map(|number| number.iter().rev().copied()).collect::<Vec<u8>>();
    let found = looks_like_location(block) || looks_like_location(&swapped());
    if found && fill(block, 0) { Outcome::Emptied } else { Outcome::Unchanged }
}

/// Whether bytes that cannot be read as datasets may hold a place: the start of a dataset that has one, or coordinates.
fn looks_like_location(bytes: &[u8]) -> bool {
    let starts_dataset = |at: usize| matches!(bytes.get(at..), Some(&[_, record, number, ..]) if is_location(record, number));
    memchr::memchr_iter(MARKER, bytes).any(starts_dataset) || !coordinates::find_in_whole(bytes).is_empty()
}

/// Content location code and name, city, sublocation, province or state, country code and name.
fn is_location(record: u8, number: u8) -> bool {
    record == 2 && matches!(number, 26 | 27 | 90 | 92 | 95 | 100 | 101)
}

struct Dataset {
    record: u8,
    number: u8,
    /// With its header.
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
            // An extended dataset: the length is that of its own length.
            let width = usize::from(u16::from_be_bytes([high & 0x7f, low]));
            let digits = block.get(at + 5..(at + 5).checked_add(width)?).filter(|digits| digits.len() <= 8)?;
            let length = digits.iter().fold(0u64, |length, &digit| length << 8 | u64::from(digit));
            usize::try_from(length).ok()?.checked_add(5 + width)?
        };
        (at.checked_add(bytes)? <= block.len()).then_some(Dataset { record, number, bytes })
    }

    /// Of a record that exists, and not large.
    fn is_plausible(&self) -> bool {
        (1..=9).contains(&self.record) && self.bytes < 0x8000
    }

    /// What people write, as titles, keywords, captions, names and sources; dates, codes and pictures are none.
    fn is_text(&self) -> bool {
        const TEXTS: [u8; 19] = [5, 7, 12, 15, 20, 22, 25, 40, 80, 85, 103, 105, 110, 115, 116, 118, 120, 121, 122];
        self.record == 2 && TEXTS.contains(&self.number)
    }

    fn is_location(&self) -> bool {
        is_location(self.record, self.number)
    }
}

/// Cleans the datasets that lie somewhere in `bytes`, which may be anything: programs of the nineties append them to files (AFCP,
/// FotoStation). Three in a row are none by chance.
pub(super) fn scan(bytes: &mut [u8], policy: Policy) -> bool {
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

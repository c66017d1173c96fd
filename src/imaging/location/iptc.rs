//! IPTC-IIM (version 4.2): a list of datasets, five bytes of header each. Those of the application record that name a place
//! are taken out, the others move up, and zeros fill the end; readers take zeros for padding, as TIFF always adds some.

use super::text::{self, Encoding};
use super::{Care, Outcome, fill, is_blank};

/// What every dataset starts with.
pub(super) const MARKER: u8 = 0x1c;

/// Marker, record, number, and a length of two bytes.
const HEADER_BYTES: usize = 5;

/// The block keeps its length. What follows the last dataset that can be read is wiped. Texts lose their coordinates.
pub(super) fn clean(block: &mut [u8], care: Care) -> Outcome {
    let (mut read, mut write) = (0, 0);
    let mut text_changed = false;
    while let Some(dataset) = Dataset::at(block, read) {
        if dataset.is_text() {
            let text = block.get_mut(read + HEADER_BYTES..read + dataset.bytes);
            text_changed |= text.is_some_and(|text| text::clean(text, Encoding::Bytes, care));
        }
        if !dataset.is_location() {
            if write != read {
                block.copy_within(read..read + dataset.bytes, write);
            }
            write += dataset.bytes;
        }
        read += dataset.bytes;
    }
    let padded = is_blank(block.get(read..).unwrap_or_default());
    if read == write && padded {
        return if text_changed { Outcome::Edited } else { Outcome::Unchanged };
    }
    fill(block.get_mut(write..).unwrap_or_default(), 0);
    if write == 0 { Outcome::Emptied } else { Outcome::Edited }
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

    /// Title, instructions, headline, caption.
    fn is_text(&self) -> bool {
        self.record == 2 && matches!(self.number, 5 | 40 | 105 | 120)
    }

    /// Content location code and name, city, sublocation, province or state, country code and name.
    fn is_location(&self) -> bool {
        self.record == 2 && matches!(self.number, 26 | 27 | 90 | 92 | 95 | 100 | 101)
    }
}

/// Cleans the datasets that lie somewhere in `bytes`, which may be anything: programs of the nineties append them to files (AFCP,
/// FotoStation). Three in a row are none by chance.
pub(super) fn scan(bytes: &mut [u8], care: Care) -> bool {
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
            changed |= bytes.get_mut(start..end).is_some_and(|block| clean(block, care).changed());
        }
    }
    changed
}

//! IPTC-IIM (version 4.2): a list of datasets, five bytes of header each. Those of the application record that name a place
//! are taken out, the others move up, and zeros fill the end; readers take zeros for padding, as TIFF always adds some.

use super::{Outcome, fill, is_blank};

/// What every dataset starts with.
pub(super) const MARKER: u8 = 0x1c;

/// The block keeps its length. What follows the last dataset that can be read is wiped.
pub(super) fn clean(block: &mut [u8]) -> Outcome {
    let (mut read, mut write) = (0, 0);
    while let Some(dataset) = Dataset::at(block, read) {
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
        return Outcome::Unchanged;
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

    /// Content location code and name, city, sublocation, province or state, country code and name.
    fn is_location(&self) -> bool {
        self.record == 2 && matches!(self.number, 26 | 27 | 90 | 92 | 95 | 100 | 101)
    }
}

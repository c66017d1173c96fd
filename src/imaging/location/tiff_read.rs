//! TIFF's structures (TIFF 6.0, section 2), read without trust: numbers in the block's byte order, directories, entries and
//! where their values lie. Whatever is not inside of the block is `None`.

use super::spans::Span;

pub(super) const ENTRY_BYTES: usize = 12;

/// The block and its byte order.
#[derive(Clone, Copy)]
pub(super) struct Tiff<'a> {
    pub bytes: &'a [u8],
    pub big_endian: bool,
}

impl Tiff<'_> {
    pub fn u16(self, at: usize) -> Option<u16> {
        let field = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(*field) } else { u16::from_le_bytes(*field) })
    }

    pub fn u32(self, at: usize) -> Option<u32> {
        let field = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(*field) } else { u32::from_le_bytes(*field) })
    }

    pub fn entry(self, at: usize) -> Option<Entry> {
        Some(Entry { at, tag: self.u16(at)?, field_type: self.u16(at + 2)?, count: self.u32(at + 4)? })
    }

    /// The length that belongs to a picture's offset: the entry that follows it, since entries are sorted by tag. Strips of
    /// an uncompressed thumbnail are not looked for further.
    pub fn length_for(self, offset: Entry) -> u32 {
        let lengths = (1..=8).filter_map(|step| self.entry(offset.at + step * ENTRY_BYTES));
        let wanted = if offset.tag == 0x0201 { 0x0202 } else { 0x0117 };
        lengths.into_iter().find(|entry| entry.tag == wanted).and_then(|entry| entry.number(self, 0)).unwrap_or(0)
    }
}

/// One directory: a count, entries of twelve bytes, the offset of the next directory.
#[derive(Clone, Copy)]
pub(super) struct Ifd {
    offset: usize,
    /// As many as lie in the block.
    pub entries: usize,
    /// Whether it claims more than that.
    pub truncated: bool,
}

impl Ifd {
    pub fn at(tiff: Tiff, offset: u32) -> Option<Self> {
        let offset = offset as usize;
        let claimed = usize::from(tiff.u16(offset)?);
        let fits = tiff.bytes.len().saturating_sub(offset + 2) / ENTRY_BYTES;
        Some(Ifd { offset, entries: claimed.min(fits), truncated: claimed > fits })
    }

    pub fn entry(self, index: usize) -> usize {
        self.offset + 2 + index * ENTRY_BYTES
    }

    pub fn next(self, tiff: Tiff) -> Option<u32> {
        if self.truncated { None } else { tiff.u32(self.entry(self.entries)) }
    }

    pub fn bytes(self) -> usize {
        2 + self.entries * ENTRY_BYTES + if self.truncated { 0 } else { 4 }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    at: usize,
    pub tag: u16,
    field_type: u16,
    pub count: u32,
}

impl Entry {
    /// Bytes of one value; 0 for an unknown type.
    pub fn size(self) -> usize {
        match self.field_type {
            // 129 is EXIF 3.0's UTF-8.
            1 | 2 | 6 | 7 | 129 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 0,
        }
    }

    /// Whether its type meaning that it is a text, in ASCII or UTF-8.
    pub fn is_text(self) -> bool {
        matches!(self.field_type, 2 | 129)
    }

    /// Where the entry has its value, or the offset of it.
    pub fn value_position(self) -> usize {
        self.at + 8
    }

    /// What a value that does not fit into the entry has in its place.
    pub fn offset(self, tiff: Tiff) -> Option<u32> {
        tiff.u32(self.value_position())
    }

    /// The offsets that a pointer has: 32 bits each, in whatever type meaning so. One byte for each would be a text's.
    pub fn pointers(self, tiff: Tiff) -> impl Iterator<Item = u32> {
        let (count, is_raw) = match (self.size(), self.size().checked_mul(self.count as usize)) {
            (4, _) => (self.count, false),
            (_, Some(4)) => (1, true),
            (2, _) => (self.count, false),
            // A rational or an unknown type: readers differ.
            (0 | 8, _) => (1, true),
            _ => (0, true),
        };
        (0..count).map_while(move |index| if is_raw { self.offset(tiff) } else { self.number(tiff, index) })
    }

    /// Where a value lies that does not fit into the entry.
    pub fn external_value(self, tiff: Tiff) -> Option<Span> {
        let bytes = self.size().checked_mul(self.count as usize)?;
        if bytes <= 4 {
            return None;
        }
        Span::inside(tiff.u32(self.at + 8)? as usize, bytes, tiff.bytes.len())
    }

    /// A whole number of the value, of whatever width.
    pub fn number(self, tiff: Tiff, index: u32) -> Option<u32> {
        let bytes = self.size().checked_mul(self.count as usize)?;
        let start = if bytes <= 4 { self.at + 8 } else { tiff.u32(self.at + 8)? as usize };
        let at = start.checked_add(self.size().checked_mul(index as usize)?)?;
        match self.size() {
            _ if index >= self.count => None,
            1 => tiff.bytes.get(at).map(|&byte| u32::from(byte)),
            2 => tiff.u16(at).map(u32::from),
            4 => tiff.u32(at),
            // A pointer of a wrong type: readers differ, but an offset is 32 bits.
            _ if index == 0 => tiff.u32(self.at + 8),
            _ => None,
        }
    }
}

//! Reads the structures of TIFF (TIFF 6.0, section 2) from untrusted bytes: numbers in the byte order of the block, IFDs, entries
//! and the positions of their values. Anything outside the block is `None`.

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

    /// Returns the length that belongs to the offset of embedded image data. It is in one of the next entries, since entries are
    /// sorted by tag. Further strips of an uncompressed thumbnail are not considered.
    pub fn length_for(self, offset: Entry) -> u32 {
        let lengths = (1..=8).filter_map(|step| self.entry(offset.at + step * ENTRY_BYTES));
        let wanted = if offset.tag == 0x0201 { 0x0202 } else { 0x0117 };
        lengths.into_iter().find(|entry| entry.tag == wanted).and_then(|entry| entry.number(self, 0)).unwrap_or(0)
    }
}

/// An image file directory: a count, entries of twelve bytes, the offset of the next IFD.
#[derive(Clone, Copy)]
pub(super) struct Ifd {
    offset: usize,
    /// The entries that lie within the block.
    pub entries: usize,
    /// Whether the IFD claims more entries than that.
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
    /// Returns the bytes of one value; 0 for an unknown type.
    pub fn size(self) -> usize {
        match self.field_type {
            // 129 is UTF-8, from EXIF 3.0.
            1 | 2 | 6 | 7 | 129 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 0,
        }
    }

    /// Returns whether the type is ASCII or UTF-8.
    pub fn is_text(self) -> bool {
        matches!(self.field_type, 2 | 129)
    }

    /// Returns the position of the value, or of the offset to it.
    pub fn value_position(self) -> usize {
        self.at + 8
    }

    /// Returns the offset of a value that does not fit into the entry.
    pub fn offset(self, tiff: Tiff) -> Option<u32> {
        tiff.u32(self.value_position())
    }

    /// Returns the offsets that a pointer holds: 32 bits each, whatever the type. Values of one byte are a text instead.
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

    /// Returns the range of a value that does not fit into the entry.
    pub fn external_value(self, tiff: Tiff) -> Option<Span> {
        let bytes = self.size().checked_mul(self.count as usize)?;
        if bytes <= 4 {
            return None;
        }
        Span::inside(tiff.u32(self.at + 8)? as usize, bytes, tiff.bytes.len())
    }

    /// Returns one integer of the value, of any width.
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

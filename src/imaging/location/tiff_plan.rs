//! Walks the IFDs of a TIFF and records what is removed from it, for [`super::tiff`] and [`super::tiff_edit`].

use super::block::Kind;
use super::spans::{self, Span};
use super::tiff_read::{ENTRY_BYTES, Entry, Ifd, Tiff};
use std::collections::HashSet;

pub(super) const GPS_IFD: u16 = 0x8825;

/// The maximum number of entries accepted for a GPS IFD; EXIF 3.0 defines 32.
const MAX_GPS_ENTRIES: usize = 256;

/// Returns whether a tag of a main IFD is a location: the GPS IFD and the GeoTIFF tags (GeoTIFF 1.1, clause 7).
pub(super) fn is_location(tag: u16) -> bool {
    matches!(tag, GPS_IFD | 0x8480 | 0x8482 | 0x830e | 0x85d8 | 0x87af | 0x87b0 | 0x87b1)
}

/// Returns whether a tag is a text, which some programs write with another type: DocumentName, ImageDescription, PageName,
/// Artist, Copyright, and the title, photographer and editor of EXIF 3.0.
fn is_text(tag: u16) -> bool {
    matches!(tag, 0x010d | 0x010e | 0x011d | 0x013b | 0x8298 | 0xa436 | 0xa437 | 0xa438)
}

/// What a walk through the IFDs found.
#[derive(Default)]
pub(super) struct Plan {
    pub big_endian: bool,
    /// The header and the IFDs that stay.
    pub ifds: Vec<Span>,
    /// Values of entries that stay.
    pub kept_values: Vec<Span>,
    /// Offsets of IFDs with an entry to remove.
    pub ifds_to_edit: Vec<u32>,
    /// GPS IFDs.
    pub gps_ifds: Vec<Span>,
    /// Values of removed entries and of the GPS IFDs.
    pub removed: Vec<Span>,
    /// Blocks of other standards.
    pub nested: Vec<(Kind, Span)>,
    pub texts: Vec<(TextType, Span)>,
    pub maker_notes: Vec<Span>,
}

/// How a text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextType {
    Plain,
    /// Windows' XPTitle, XPComment, XPAuthor, XPKeywords and XPSubject.
    Utf16,
    /// A character code in the first eight bytes names the encoding.
    CharacterCode,
}

impl Plan {
    pub fn read(bytes: &[u8]) -> Option<Plan> {
        let big_endian = match bytes.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        let tiff = Tiff { bytes, big_endian };
        let mut walk = Walk {
            // An IFD that does not overlap others takes 6 bytes, and 12 for each entry.
            budget: bytes.len() / 6 + 16,
            nested_budget: bytes.len(),
            seen: HashSet::new(),
            pending: vec![tiff.u32(4)?],
            gps: Vec::new(),
            plan: Plan { big_endian, ifds: vec![Span { start: 0, end: 8 }], ..Plan::default() },
        };
        while let Some(offset) = walk.pending.pop() {
            walk.directory(tiff, offset)?;
        }
        let mut found = std::mem::take(&mut walk.gps);
        found.sort_unstable();
        found.dedup();
        for offset in found {
            walk.gps_directory(tiff, offset)?;
        }
        walk.texts()?;
        Some(walk.plan)
    }
}

struct Walk {
    budget: usize,
    nested_budget: usize,
    seen: HashSet<u32>,
    pending: Vec<u32>,
    gps: Vec<u32>,
    plan: Plan,
}

impl Walk {
    fn directory(&mut self, tiff: Tiff, offset: u32) -> Option<()> {
        if offset == 0 || !self.seen.insert(offset) {
            return Some(());
        }
        let Some(ifd) = Ifd::at(tiff, offset) else { return Some(()) };
        self.budget = self.budget.checked_sub(ifd.entries + 1)?;
        self.plan.ifds.extend(Span::inside(offset as usize, ifd.bytes(), tiff.bytes.len()));
        self.pending.extend(ifd.next(tiff));
        let mut struck = false;
        for index in 0..ifd.entries {
            let Some(entry) = tiff.entry(ifd.entry(index)) else { continue };
            struck |= is_location(entry.tag);
            self.entry(tiff, entry)?;
        }
        if struck {
            self.plan.ifds_to_edit.push(offset);
        }
        Some(())
    }

    fn entry(&mut self, tiff: Tiff, entry: Entry) -> Option<()> {
        let value = entry.external_value(tiff);
        if entry.tag == GPS_IFD {
            self.pointers(tiff, entry, |walk, offset| walk.gps.push(offset))?;
        }
        if is_location(entry.tag) {
            self.plan.removed.extend(value);
            return Some(());
        }
        self.plan.kept_values.extend(value);
        match entry.tag {
            // EXIF, Interoperability, SubIFDs, GlobalParameters.
            0x8769 | 0xa005 | 0x014a | 0x0190 => self.pointers(tiff, entry, |walk, offset| walk.pending.push(offset))?,
            0x02bc => self.nested(Kind::Xmp, value)?,
            0x83bb | 0x8568 => self.nested(Kind::Iptc, value)?,
            0x8649 => self.nested(Kind::Photoshop, value)?,
            0x9c9b..=0x9c9f => self.text(TextType::Utf16, value),
            0x9286 => self.text(TextType::CharacterCode, value),
            0x927c => self.maker_note(value)?,
            tag if entry.is_text() || is_text(tag) => self.text(TextType::Plain, value),
            _ => {}
        }
        // Image data is located by a second tag: the thumbnail, and strips.
        if let (0x0201 | 0x0111, Some(start)) = (entry.tag, entry.number(tiff, 0)) {
            let length = tiff.length_for(entry);
            self.plan.kept_values.extend(Span::inside(start as usize, length as usize, tiff.bytes.len()));
        }
        Some(())
    }

    fn pointers(&mut self, tiff: Tiff, entry: Entry, mut take: impl FnMut(&mut Self, u32)) -> Option<()> {
        for offset in entry.pointers(tiff) {
            self.budget = self.budget.checked_sub(1)?;
            take(self, offset);
        }
        Some(())
    }

    fn nested(&mut self, kind: Kind, value: Option<Span>) -> Option<()> {
        let Some(span) = value else { return Some(()) };
        self.plan.nested.push((kind, span));
        self.charge_nested(span)
    }

    fn text(&mut self, text: TextType, value: Option<Span>) {
        self.plan.texts.extend(value.map(|span| (text, span)));
    }

    /// Limits texts to the start of the next IFD, whatever length they claim, and drops duplicates: several entries may share a
    /// text.
    fn texts(&mut self) -> Option<()> {
        let ifds = spans::merged(self.plan.ifds.clone());
        for (_, span) in &mut self.plan.texts {
            let next = ifds.partition_point(|ifd| ifd.end <= span.start);
            if let Some(ifd) = ifds.get(next) {
                span.end = span.end.min(ifd.start.max(span.start));
            }
        }
        self.plan.texts.sort_by_key(|&(_, span)| span);
        self.plan.texts.dedup();
        let bytes = self.plan.texts.iter().map(|(_, span)| span.len()).fold(0, usize::saturating_add);
        self.nested_budget = self.nested_budget.checked_sub(bytes)?;
        Some(())
    }

    fn maker_note(&mut self, value: Option<Span>) -> Option<()> {
        let Some(span) = value else { return Some(()) };
        self.plan.maker_notes.push(span);
        self.charge_nested(span)
    }

    /// Values that do not overlap are together no longer than the file.
    fn charge_nested(&mut self, span: Span) -> Option<()> {
        self.nested_budget = self.nested_budget.checked_sub(span.len())?;
        Some(())
    }

    fn gps_directory(&mut self, tiff: Tiff, offset: u32) -> Option<()> {
        if self.seen.contains(&offset) {
            // A GPS pointer to a main IFD: the IFD stays, the pointer is removed.
            return Some(());
        }
        let Some(mut ifd) = Ifd::at(tiff, offset) else { return Some(()) };
        self.budget = self.budget.checked_sub(1)?;
        if ifd.truncated || ifd.entries > MAX_GPS_ENTRIES {
            // A stale pointer into other data: only valid entries count.
            ifd.entries = (0..ifd.entries.min(MAX_GPS_ENTRIES))
                .take_while(|&index| tiff.entry(ifd.entry(index)).is_some_and(|entry| entry.size() > 0))
                .count();
        }
        self.budget = self.budget.checked_sub(ifd.entries)?;
        let length = 2 + ifd.entries * ENTRY_BYTES;
        self.plan.gps_ifds.extend(Span::inside(offset as usize, length, tiff.bytes.len()));
        for index in 0..ifd.entries {
            let entry = tiff.entry(ifd.entry(index));
            self.plan.removed.extend(entry.and_then(|entry| entry.external_value(tiff)));
        }
        Some(())
    }
}

//! Walks the directories of a TIFF and plans what is removed from it, for [`super::tiff`] and [`super::tiff_edit`].

use super::block::Kind;
use super::spans::{self, Span};
use super::tiff_read::{ENTRY_BYTES, Entry, Table, Tiff};
use std::collections::HashSet;

pub(super) const GPS_IFD: u16 = 0x8825;

/// The most entries that a GPS IFD is believed to have; EXIF 3.0 defines 32.
const MAX_GPS_ENTRIES: usize = 256;

/// Tags that say where, in a main directory: the GPS IFD and GeoTIFF's model of the ground (GeoTIFF 1.1, clause 7).
pub(super) fn is_location(tag: u16) -> bool {
    matches!(tag, GPS_IFD | 0x8480 | 0x8482 | 0x830e | 0x85d8 | 0x87af | 0x87b0 | 0x87b1)
}

/// Tags of texts, which some write in another type: DocumentName, ImageDescription, PageName, Artist, Copyright, and EXIF 3.0's
/// title, photographer and editor.
fn is_text(tag: u16) -> bool {
    matches!(tag, 0x010d | 0x010e | 0x011d | 0x013b | 0x8298 | 0xa436 | 0xa437 | 0xa438)
}

/// What a walk through the directories found.
#[derive(Default)]
pub(super) struct Plan {
    pub big_endian: bool,
    /// Directories that stay, and the header.
    pub tables: Vec<Span>,
    /// Values of their entries that stay.
    pub values: Vec<Span>,
    /// Offsets of directories with an entry to strike.
    pub struck: Vec<u32>,
    /// GPS IFDs.
    pub gps_tables: Vec<Span>,
    /// Values of what is struck and of the GPS IFDs.
    pub gone: Vec<Span>,
    /// Blocks of other standards.
    pub nested: Vec<(Kind, Span)>,
    pub texts: Vec<(Text, Span)>,
    pub maker_notes: Vec<Span>,
}

/// How a text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Plain,
    /// Windows' title, comment, author, keywords and subject.
    Wide,
    /// It says so itself.
    WithCode,
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
            // Directories that do not overlap pay 6 bytes each and 12 for an entry.
            budget: bytes.len() / 6 + 16,
            nested_budget: bytes.len(),
            seen: HashSet::new(),
            open: vec![tiff.u32(4)?],
            gps: Vec::new(),
            plan: Plan { big_endian, tables: vec![Span { start: 0, end: 8 }], ..Plan::default() },
        };
        while let Some(offset) = walk.open.pop() {
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
    open: Vec<u32>,
    gps: Vec<u32>,
    plan: Plan,
}

impl Walk {
    fn directory(&mut self, tiff: Tiff, offset: u32) -> Option<()> {
        if offset == 0 || !self.seen.insert(offset) {
            return Some(());
        }
        let Some(table) = Table::at(tiff, offset) else { return Some(()) };
        self.budget = self.budget.checked_sub(table.entries + 1)?;
        self.plan.tables.extend(Span::inside(offset as usize, table.bytes(), tiff.bytes.len()));
        self.open.extend(table.next(tiff));
        let mut struck = false;
        for index in 0..table.entries {
            let Some(entry) = tiff.entry(table.entry(index)) else { continue };
            struck |= is_location(entry.tag);
            self.entry(tiff, entry)?;
        }
        if struck {
            self.plan.struck.push(offset);
        }
        Some(())
    }

    fn entry(&mut self, tiff: Tiff, entry: Entry) -> Option<()> {
        let value = entry.outside(tiff);
        if entry.tag == GPS_IFD {
            self.pointers(tiff, entry, |walk, offset| walk.gps.push(offset))?;
        }
        if is_location(entry.tag) {
            self.plan.gone.extend(value);
            return Some(());
        }
        self.plan.values.extend(value);
        match entry.tag {
            // EXIF, Interoperability, SubIFDs, GlobalParameters.
            0x8769 | 0xa005 | 0x014a | 0x0190 => self.pointers(tiff, entry, |walk, offset| walk.open.push(offset))?,
            0x02bc => self.nested(Kind::Xmp, value)?,
            0x83bb | 0x8568 => self.nested(Kind::Iptc, value)?,
            0x8649 => self.nested(Kind::Photoshop, value)?,
            0x9c9b..=0x9c9f => self.text(Text::Wide, value),
            0x9286 => self.text(Text::WithCode, value),
            0x927c => self.maker_note(value)?,
            tag if entry.is_text() || is_text(tag) => self.text(Text::Plain, value),
            _ => {}
        }
        // Pictures lie where a second tag says: the thumbnail, and strips.
        if let (0x0201 | 0x0111, Some(start)) = (entry.tag, entry.number(tiff, 0)) {
            let length = tiff.length_for(entry);
            self.plan.values.extend(Span::inside(start as usize, length as usize, tiff.bytes.len()));
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
        self.pay(span)
    }

    fn text(&mut self, text: Text, value: Option<Span>) {
        self.plan.texts.extend(value.map(|span| (text, span)));
    }

    /// A text ends where a directory starts, whatever it claims, and several entries may have the same one.
    fn texts(&mut self) -> Option<()> {
        let tables = spans::merged(self.plan.tables.clone());
        for (_, span) in &mut self.plan.texts {
            let next = tables.partition_point(|table| table.end <= span.start);
            if let Some(table) = tables.get(next) {
                span.end = span.end.min(table.start.max(span.start));
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
        self.pay(span)
    }

    /// Values that do not overlap are together no longer than the file.
    fn pay(&mut self, span: Span) -> Option<()> {
        self.nested_budget = self.nested_budget.checked_sub(span.len())?;
        Some(())
    }

    fn gps_directory(&mut self, tiff: Tiff, offset: u32) -> Option<()> {
        if self.seen.contains(&offset) {
            // A main directory that a GPS pointer names too: it stays, the pointer goes.
            return Some(());
        }
        let Some(mut table) = Table::at(tiff, offset) else { return Some(()) };
        self.budget = self.budget.checked_sub(1)?;
        if table.cut || table.entries > MAX_GPS_ENTRIES {
            // A stale pointer into other data: only what looks like entries is taken for one.
            table.entries = (0..table.entries.min(MAX_GPS_ENTRIES))
                .take_while(|&index| tiff.entry(table.entry(index)).is_some_and(|entry| entry.size() > 0))
                .count();
        }
        self.budget = self.budget.checked_sub(table.entries)?;
        let length = 2 + table.entries * ENTRY_BYTES;
        self.plan.gps_tables.extend(Span::inside(offset as usize, length, tiff.bytes.len()));
        for index in 0..table.entries {
            let entry = tiff.entry(table.entry(index));
            self.plan.gone.extend(entry.and_then(|entry| entry.outside(tiff)));
        }
        Some(())
    }
}

//! The documented location tags of MakerNotes (ExifTool's tables): Panasonic's and Leica's location names, Nikon's `LocationInfo`
//! and barometer, Samsung's location names. Everything else in a note stays, and stays in tag.
//!
//! Not locations: the home and destination of a camera's clock (Panasonic, Pentax, Casio, Canon), which identify a time zone.
//!
//! Pitfall: offsets count from the start of the TIFF, from that of the note, or from a header within it, and the offsets of notes
//! that were moved are wrong. So a value is changed only if it lies within its own note.

use super::spans::{Span, merged};
use super::tiff_read::{Entry, Ifd, Tiff};

/// What to blank: from which byte of the value on, and how many at most.
#[derive(Clone, Copy)]
struct LocationTag {
    tag: u16,
    skip: usize,
    bytes: usize,
}

const fn whole(tag: u16) -> LocationTag {
    LocationTag { tag, skip: 0, bytes: usize::MAX }
}

/// Location, Country, State, City, Landmark, City2 and the tags after it.
const PANASONIC: [LocationTag; 9] =
    [whole(0x67), whole(0x69), whole(0x6b), whole(0x6d), whole(0x6f), whole(0x80), whole(0x81), whole(0x82), whole(0x83)];

/// Country code, level and name, after a version and an encoding; the barometer's altitude.
const NIKON: [LocationTag; 2] =
    [LocationTag { tag: 0x39, skip: 5, bytes: usize::MAX }, LocationTag { tag: 0xc3, skip: 6, bytes: 4 }];

/// The GPS data of an NX100, and the two location names.
const SAMSUNG: [LocationTag; 6] = [whole(0x2f), whole(0x30), whole(0x31), whole(0x32), whole(0x33), whole(0x34)];

/// Removes the locations of the note at `note` and returns whether there were any.
pub(super) fn clean(tiff: &mut [u8], note: Span, big_endian: bool) -> bool {
    let found = find(tiff, note, big_endian);
    for &range in &found {
        if let Some(value) = tiff.get_mut(range.range()) {
            value.fill(0);
        }
    }
    !found.is_empty()
}

fn find(bytes: &[u8], note: Span, big_endian: bool) -> Vec<Span> {
    let start = note.start as usize;
    let head = bytes.get(note.range()).unwrap_or_default();
    let layout = |ifd: usize, base: usize, big_endian: bool, tags: &'static [LocationTag]| Layout { ifd, base, big_endian, tags };
    let layout = if head.starts_with(b"Panasonic\0") {
        layout(start + 12, 0, big_endian, &PANASONIC)
    } else if head.starts_with(b"LEICA\0\0\0") {
        layout(start + 8, 0, big_endian, &PANASONIC)
    } else if head.starts_with(b"Nikon\0") {
        // The note contains a TIFF of its own.
        let base = start + 10;
        let own = match bytes.get(base..base + 4) {
            Some(b"MM\0*") => true,
            Some(b"II*\0") => false,
            _ => return Vec::new(),
        };
        let Some(first) = (Tiff { bytes, big_endian: own }).u32(base + 4) else { return Vec::new() };
        layout(base.saturating_add(first as usize), base, own, &NIKON)
    } else if let Some(own) = samsung_order(head) {
        layout(start, 0, own, &SAMSUNG)
    } else {
        return Vec::new();
    };
    layout.find(bytes, note)
}

/// Samsung's note has no header; its first entry is a version of four characters.
fn samsung_order(note: &[u8]) -> Option<bool> {
    match note.first_chunk::<14>()? {
        [0, _, 0, 1, 0, 7, 0, 0, 0, 4, b'0', b'1', b'0', b'0'] => Some(true),
        [_, 0, 1, 0, 7, 0, 4, 0, 0, 0, b'0', b'1', b'0', b'0'] => Some(false),
        _ => None,
    }
}

struct Layout {
    ifd: usize,
    /// The position that offsets count from.
    base: usize,
    big_endian: bool,
    tags: &'static [LocationTag],
}

impl Layout {
    fn find(&self, bytes: &[u8], note: Span) -> Vec<Span> {
        let tiff = Tiff { bytes, big_endian: self.big_endian };
        let Some(ifd) = u32::try_from(self.ifd).ok().and_then(|ifd| Ifd::at(tiff, ifd)) else { return Vec::new() };
        let entries = (0..ifd.entries).filter_map(|index| tiff.entry(ifd.entry(index)));
        let tags = entries.filter_map(|entry| {
            let tag = self.tags.iter().find(|tag| tag.tag == entry.tag)?;
            let value = self.value(tiff, entry, note)?;
            let start = value.start as usize + tag.skip;
            let end = start.saturating_add(tag.bytes).min(value.end as usize);
            Span::inside(start, end.checked_sub(start)?, bytes.len())
        });
        // Merged, so that overlapping values are checked once.
        let mut found = merged(tags.collect());
        // Panasonic writes dashes for an empty value.
        let is_blank =
            |span: &Span| bytes.get(span.range()).is_none_or(|value| value.iter().all(|byte| matches!(byte, 0 | b' ' | b'-')));
        found.retain(|span| !is_blank(span));
        found
    }

    /// Returns the range of the value. Samsung's offsets count from the TIFF in some models, from the note in others.
    fn value(&self, tiff: Tiff, entry: Entry, note: Span) -> Option<Span> {
        let bytes = entry.size().checked_mul(entry.count as usize)?;
        let inside = |start: usize| {
            let span = Span::inside(start, bytes, tiff.bytes.len())?;
            (span.start >= note.start && span.end <= note.end).then_some(span)
        };
        if bytes <= 4 {
            return inside(entry.value_position());
        }
        let offset = entry.offset(tiff)? as usize;
        inside(self.base.checked_add(offset)?).or_else(|| inside(offset.checked_add(note.start as usize)?))
    }
}

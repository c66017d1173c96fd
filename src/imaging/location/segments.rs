//! The metadata segments of a JPEG: what each of them holds, and those blocks that lie in more than one. Works for the
//! picture's own segments, which [`super::jpeg`] walks, and for those of JPEGs that lie somewhere inside of other data.

use super::block::{self, Kind, MAX_BLOCK_BYTES};
use super::photoshop::{self, CutOff};
use super::pieces::{Cut, Pieces, runs};
use super::xmp_extended::{self, Extended};
use super::{Care, Outcome, fields, fill};
use memchr::memmem;
use std::ops::Range;

const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const PHOTOSHOP_HEADER: &[u8] = b"Photoshop 3.0\0";
const PHOTOSHOP_2_HEADER: &[u8] = b"Adobe_Photoshop2.5:";

/// Marker and length.
const HEAD_BYTES: usize = 4;

/// Cleans the segments of every JPEG in `bytes`, which may be anything: thumbnails in EXIF, the further pictures of a
/// Multi-Picture file. Their headers are searched for, not their starts, so a damaged one is found as well.
pub(super) fn scan(bytes: &mut [u8], care: Care) -> bool {
    let mut segments = Segments::new(care);
    let mut at = 0;
    while let Some(skip) = bytes.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at = match segment(bytes, at + skip) {
            Some((content, body)) => {
                let end = body.end;
                segments.take(bytes, content, body);
                end
            }
            None => at + skip + 1,
        };
    }
    segments.finish(bytes)
}

/// A segment at `at` that is one beyond doubt.
fn segment(bytes: &[u8], at: usize) -> Option<(Content, Range<usize>)> {
    let &[0xff, marker @ 0xe1..=0xef, high, low] = bytes.get(at..)?.first_chunk()? else { return None };
    let end = (at + 2).checked_add(usize::from(u16::from_be_bytes([high, low])))?.min(bytes.len());
    let body = bytes.get(at + HEAD_BYTES..end)?;
    let content = Content::of(marker, body).filter(|content| content.has_header())?;
    Some((content, at + HEAD_BYTES..end))
}

/// What a segment holds; the numbers are where, after its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Exif,
    Xmp,
    /// XMP without the header that it should have.
    BareXmp(usize),
    ExtendedXmp,
    Photoshop(usize),
    /// JUMBF, of which C2PA's records are made.
    Provenance,
    Comment,
}

impl Content {
    /// `None` for one that has no location.
    pub fn of(marker: u8, body: &[u8]) -> Option<Self> {
        let header = |header: &[u8]| body.starts_with(header);
        match marker {
            0xe1..=0xef if header(b"Exif\0") => Some(Content::Exif),
            0xe1 if header(XMP_HEADER) => Some(Content::Xmp),
            0xe1 if header(xmp_extended::HEADER) => Some(Content::ExtendedXmp),
            0xe1 if header(b"http") || memmem::find(body, b"<rdf:RDF").is_some() || memmem::find(body, b"<exif:").is_some() => {
                memchr::memchr(b'<', body).map(Content::BareXmp)
            }
            0xed if header(PHOTOSHOP_HEADER) => Some(Content::Photoshop(PHOTOSHOP_HEADER.len())),
            0xed if header(PHOTOSHOP_2_HEADER) => Some(Content::Photoshop(PHOTOSHOP_2_HEADER.len())),
            0xeb if header(b"JP") => Some(Content::Provenance),
            0xfe => Some(Content::Comment),
            _ => None,
        }
    }

    /// Whether chance could not have written it.
    fn has_header(self) -> bool {
        !matches!(self, Content::BareXmp(_) | Content::Provenance | Content::Comment)
    }
}

/// The segments of one JPEG.
pub(super) struct Segments {
    care: Care,
    changed: bool,
    xmp: Vec<Range<usize>>,
    extended: Extended,
    /// ExifTool continues EXIF that is longer than a segment in the next one.
    exif: Vec<Cut>,
    /// Photoshop cuts its resources where a segment is full.
    photoshop: Vec<Cut>,
    provenance: Vec<Range<usize>>,
}

impl Segments {
    pub fn new(care: Care) -> Self {
        Segments {
            care,
            changed: false,
            xmp: Vec::new(),
            extended: Extended::default(),
            exif: Vec::new(),
            photoshop: Vec::new(),
            provenance: Vec::new(),
        }
    }

    /// Cleans what lies in one segment, and remembers what does not until [`Segments::finish`].
    pub fn take(&mut self, file: &mut [u8], content: Content, body: Range<usize>) {
        let from = |skip: usize| (body.start + skip).min(body.end)..body.end;
        match content {
            Content::Exif => {
                let data = from(6);
                let starts = file.get(data.clone()).is_some_and(|tiff| tiff.starts_with(b"II*\0") || tiff.starts_with(b"MM\0*"));
                self.exif.push(Cut { body_start: body.start, data, starts });
            }
            Content::Xmp => {
                self.clean(Kind::Xmp, file, from(XMP_HEADER.len()));
                self.xmp.push(body);
            }
            Content::BareXmp(skip) => self.clean(Kind::Xmp, file, from(skip)),
            Content::ExtendedXmp => self.extended.add(file, body),
            Content::Photoshop(skip) => {
                self.photoshop.push(Cut { body_start: body.start, data: from(skip), starts: false });
            }
            Content::Provenance => self.provenance.push(body),
            Content::Comment => {
                if let Some(text) = file.get_mut(body).filter(|text| fields::names_coordinates(text)) {
                    self.changed |= fill(text, b' ');
                }
            }
        }
    }

    pub fn finish(mut self, file: &mut [u8]) -> bool {
        for run in runs(std::mem::take(&mut self.exif)) {
            self.changed |= whole(Kind::Exif, file, &run, self.care);
        }
        for run in runs(std::mem::take(&mut self.photoshop)) {
            self.photoshop(file, &run);
        }
        self.changed |= std::mem::take(&mut self.extended).finish(file, &self.xmp, self.care);
        self.provenance(file);
        self.changed
    }

    fn clean(&mut self, kind: Kind, file: &mut [u8], range: Range<usize>) {
        let outcome = file.get_mut(range).map(|bytes| block::clean(kind, bytes, self.care));
        self.changed |= outcome.is_some_and(Outcome::changed);
    }

    /// Some programs cut resources, others write several whole blocks: both readings are cleaned.
    fn photoshop(&mut self, file: &mut [u8], run: &Pieces) {
        let care = self.care;
        self.changed |= whole(Kind::Photoshop, file, run, care);
        if run.0.len() > 1 {
            self.changed |= run.each(file, |piece| photoshop::clean_resources(piece, CutOff::Leave, care) != Outcome::Unchanged);
        }
    }

    /// A record of provenance is signed and bound to the file's every byte, so it cannot be edited, and is void after any
    /// edit. One that names coordinates goes.
    fn provenance(&mut self, file: &mut [u8]) {
        let bytes = |file: &[u8], body: &Range<usize>| file.get(body.clone()).is_some_and(fields::names_coordinates);
        if !self.provenance.iter().any(|body| bytes(file, body)) {
            return;
        }
        for body in &self.provenance {
            // The two letters of the header stay, so that it is still recognised, as empty.
            self.changed |= file.get_mut(body.start + 2..body.end).is_some_and(|record| fill(record, 0));
        }
    }
}

/// Cleans a block that may be cut.
fn whole(kind: Kind, file: &mut [u8], run: &Pieces, care: Care) -> bool {
    if run.0.len() == 1 || run.bytes() > MAX_BLOCK_BYTES {
        let care = Care { wipe: care.wipe || run.0.len() > 1, ..care };
        return run.each(file, |piece| block::clean(kind, piece, care).changed());
    }
    let mut gathered = run.gather(file);
    let changed = block::clean(kind, &mut gathered, care).changed();
    if changed {
        run.scatter(file, &gathered);
    }
    changed
}

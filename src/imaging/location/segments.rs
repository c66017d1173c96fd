//! The metadata segments of a JPEG: what each one holds, and blocks that span several segments. Handles the segments of the file
//! itself, which [`super::jpeg`] walks, and those of JPEGs embedded in other data.
//!
//! In other data, segments without a header of their own (comments, JUMBF) are recognised only if the JPEG around them can be
//! walked from its start to its first scan: `FF FE` occurs by chance in every video.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::photoshop::{self, Truncated};
use super::pieces::{Pieces, SegmentPart, runs};
use super::text;
use super::xmp_extended::{self, Extended};
use super::{Outcome, Policy, c2pa, clean_block, ducky, fill, flir, gopro, media_jukebox, rmeta};
use memchr::memmem;
use std::ops::Range;

const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const PHOTOSHOP_HEADER: &[u8] = b"Photoshop 3.0\0";
const PHOTOSHOP_2_HEADER: &[u8] = b"Adobe_Photoshop2.5:";

/// Marker and length.
const HEAD_BYTES: usize = 4;

/// Cleans the segments of every JPEG in `bytes`, which may be arbitrary data: thumbnails in EXIF, the further images of a
/// Multi-Picture file. Searches for the headers of segments, not for the start of a JPEG, so a damaged JPEG is found as well.
pub(super) fn clean_jpegs(bytes: &mut [u8], policy: Policy) -> bool {
    let mut segments = Segments::new(policy);
    let (mut at, mut walked) = (0, 0);
    while let Some(skip) = bytes.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        let start = at + skip;
        if start >= walked && bytes.get(start..).is_some_and(|rest| rest.starts_with(&[0xff, 0xd8, 0xff])) {
            walked = add_headerless(bytes, start + 2, &mut segments);
        }
        at = match segment(bytes, start) {
            Some((content, body)) => {
                let end = body.end;
                segments.add(bytes, content, body);
                end
            }
            None => start + 1,
        };
    }
    segments.finish(bytes)
}

/// Adds the segments without a header of the JPEG whose first marker is at `at`. Returns where the JPEG's header ends.
fn add_headerless(bytes: &mut [u8], mut at: usize, segments: &mut Segments) -> usize {
    let mut found = Vec::new();
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        match (marker, bytes.get(at + HEAD_BYTES..end)) {
            // SOS, the first scan: this is a JPEG.
            (0xda, _) => {
                for (content, body) in found {
                    segments.add(bytes, content, body);
                }
                return at;
            }
            (0xc0..=0xfe, Some(body)) => {
                let content = Content::of(marker, body).filter(|content| !content.has_header());
                found.extend(content.map(|content| (content, at + HEAD_BYTES..end)));
                at = end;
            }
            _ => break,
        }
    }
    at
}

/// Returns the segment at `at` if its header identifies it beyond doubt.
fn segment(bytes: &[u8], at: usize) -> Option<(Content, Range<usize>)> {
    let &[0xff, marker @ 0xe1..=0xef, high, low] = bytes.get(at..)?.first_chunk()? else { return None };
    let end = (at + 2).checked_add(usize::from(u16::from_be_bytes([high, low])))?.min(bytes.len());
    let body = bytes.get(at + HEAD_BYTES..end)?;
    let content = Content::of(marker, body).filter(|content| content.has_header())?;
    Some((content, at + HEAD_BYTES..end))
}

/// What a segment holds. The numbers are offsets of the data in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Exif(usize),
    Xmp,
    /// XMP without the header that the specification requires.
    BareXmp(usize),
    ExtendedXmp,
    Photoshop(usize),
    /// FLIR: records of thermal cameras.
    Flir,
    /// GoPro telemetry.
    GoPro,
    /// XML of the Media Jukebox catalogue.
    MediaJukebox(usize),
    /// Ricoh's user-defined tags.
    Rmeta,
    /// Texts of Photoshop's "Save for Web".
    Ducky,
    /// PhotoStudio's comment in UTF-16.
    WideComment,
    /// JUMBF, the box format of C2PA manifests.
    Jumbf,
    Comment,
}

impl Content {
    /// Identifies a segment. `None` if it cannot hold a location.
    pub fn of(marker: u8, body: &[u8]) -> Option<Self> {
        let header = |header: &[u8]| body.starts_with(header);
        match marker {
            0xe1..=0xef if header(b"Exif\0") => Some(Content::Exif(6)),
            0xe1 if header(flir::HEADER) => Some(Content::Flir),
            0xe5 if header(rmeta::HEADER) => Some(Content::Rmeta),
            0xe6 if header(gopro::HEADER) => Some(Content::GoPro),
            0xe9 if header(media_jukebox::HEADER) => memchr::memchr(b'<', body).map(Content::MediaJukebox),
            0xe1 if header(XMP_HEADER) => Some(Content::Xmp),
            0xe1 if header(xmp_extended::HEADER) => Some(Content::ExtendedXmp),
            0xe1 if misplaced_exif(body).is_some() => misplaced_exif(body).map(Content::Exif),
            0xe1 if header(b"http") || memmem::find(body, b"<rdf:RDF").is_some() || memmem::find(body, b"<exif:").is_some() => {
                memchr::memchr(b'<', body).map(Content::BareXmp)
            }
            0xed if header(PHOTOSHOP_HEADER) => Some(Content::Photoshop(PHOTOSHOP_HEADER.len())),
            0xed if header(PHOTOSHOP_2_HEADER) => Some(Content::Photoshop(PHOTOSHOP_2_HEADER.len())),
            0xeb if header(b"JP") => Some(Content::Jumbf),
            0xea if header(b"UNICODE\0") => Some(Content::WideComment),
            0xec if header(ducky::HEADER) => Some(Content::Ducky),
            // Lines of names and values, written by old cameras.
            0xec if memmem::find(body, b"[picture info]").is_some() || memmem::find(body, b"Type=").is_some() => {
                Some(Content::Comment)
            }
            0xfe => Some(Content::Comment),
            _ => None,
        }
    }

    /// Returns whether the content is identified by a header that does not occur by chance.
    fn has_header(self) -> bool {
        !matches!(self, Content::BareXmp(_) | Content::Jumbf | Content::Comment)
    }
}

/// Returns where the TIFF starts after a lower-case header, or a header with up to four bytes before it. ExifTool reads both.
fn misplaced_exif(body: &[u8]) -> Option<usize> {
    let start = (0..=4).find(|&at| body.get(at..at + 5).is_some_and(|header| header.eq_ignore_ascii_case(b"Exif\0")))?;
    Some(start + 6)
}

/// Collects the segments of one JPEG.
pub(super) struct Segments {
    policy: Policy,
    changed: bool,
    xmp: Vec<Range<usize>>,
    extended: Extended,
    /// EXIF longer than one segment continues in the next one, as ExifTool writes it.
    exif: Vec<SegmentPart>,
    /// Photoshop splits its resources wherever a segment is full.
    photoshop: Vec<SegmentPart>,
    flir: Vec<Range<usize>>,
    gopro: Vec<SegmentPart>,
    jumbf: Vec<Range<usize>>,
}

impl Segments {
    pub fn new(policy: Policy) -> Self {
        Segments {
            policy,
            changed: false,
            xmp: Vec::new(),
            extended: Extended::default(),
            exif: Vec::new(),
            photoshop: Vec::new(),
            flir: Vec::new(),
            gopro: Vec::new(),
            jumbf: Vec::new(),
        }
    }

    /// Cleans content that lies in one segment. Content that may span several is kept until [`Segments::finish`].
    pub fn add(&mut self, file: &mut [u8], content: Content, body: Range<usize>) {
        let from = |skip: usize| (body.start + skip).min(body.end)..body.end;
        match content {
            Content::Exif(skip) => {
                let data = from(skip);
                let starts = file.get(data.clone()).is_some_and(|tiff| tiff.starts_with(b"II*\0") || tiff.starts_with(b"MM\0*"));
                self.exif.push(SegmentPart { body_start: body.start, data, starts });
            }
            Content::Xmp => {
                self.clean(Kind::Xmp, file, from(XMP_HEADER.len()));
                self.xmp.push(body);
            }
            Content::BareXmp(skip) => self.clean(Kind::Xmp, file, from(skip)),
            Content::ExtendedXmp => self.extended.add(file, body),
            Content::Photoshop(skip) => {
                self.photoshop.push(SegmentPart { body_start: body.start, data: from(skip), starts: false });
            }
            Content::Flir => self.flir.push(body),
            Content::GoPro => {
                let data = from(gopro::HEADER.len());
                let starts = file.get(data.clone()).is_some_and(|data| data.starts_with(b"DEVC"));
                self.gopro.push(SegmentPart { body_start: body.start, data, starts });
            }
            Content::MediaJukebox(skip) => {
                self.changed |= file.get_mut(from(skip)).is_some_and(|xml| media_jukebox::clean(xml, self.policy));
            }
            Content::Rmeta => self.changed |= file.get_mut(body).is_some_and(rmeta::clean),
            Content::Jumbf => self.jumbf.push(body),
            Content::Ducky => self.changed |= file.get_mut(body).is_some_and(|texts| ducky::clean(texts, self.policy)),
            Content::WideComment => {
                self.changed |=
                    file.get_mut(body).is_some_and(|comment| text::clean_with_character_code(comment, true, self.policy));
            }
            Content::Comment => {
                self.changed |= file.get_mut(body).is_some_and(|comment| text::clean_any(comment, self.policy));
            }
        }
    }

    pub fn finish(mut self, file: &mut [u8]) -> bool {
        for run in runs(std::mem::take(&mut self.exif)) {
            self.changed |= clean_run(Kind::Exif, file, &run, self.policy);
        }
        for run in runs(std::mem::take(&mut self.photoshop)) {
            self.photoshop(file, &run);
        }
        self.changed |= flir::clean(file, &self.flir, self.policy);
        for run in runs(std::mem::take(&mut self.gopro)) {
            let mut gathered = run.gather(file);
            if gopro::clean(&mut gathered) {
                run.scatter(file, &gathered);
                self.changed = true;
            }
        }
        self.changed |= std::mem::take(&mut self.extended).finish(file, &self.xmp, self.policy);
        self.jumbf(file);
        self.changed
    }

    fn clean(&mut self, kind: Kind, file: &mut [u8], range: Range<usize>) {
        let outcome = file.get_mut(range).map(|bytes| clean_block(kind, bytes, self.policy));
        self.changed |= outcome.is_some_and(Outcome::changed);
    }

    /// Cleans both as one block and segment by segment: some programs split resources, others write several whole blocks.
    fn photoshop(&mut self, file: &mut [u8], run: &Pieces) {
        let policy = self.policy;
        self.changed |= clean_run(Kind::Photoshop, file, run, policy);
        if run.0.len() > 1 {
            self.changed |=
                run.each(file, |piece| photoshop::clean_resources(piece, Truncated::Skip, policy) != Outcome::Unchanged);
        }
    }

    /// Removes C2PA manifest stores and other JUMBF with a location.
    ///
    /// A manifest is signed, so it is removed as a whole or kept. Other JUMBF boxes can refer to each other, so if one has a
    /// location, all are removed. The emptied segments stay until [`c2pa::compact`] cuts them out.
    fn jumbf(&mut self, file: &mut [u8]) {
        let (stores, others): (Vec<_>, Vec<_>) =
            c2pa::join(file, &self.jumbf).into_iter().partition(|found| found.is_manifest_store);
        for store in stores {
            if !store.is_in_order || c2pa::must_remove_split(file, &store.pieces, self.policy) {
                self.blank(file, &store);
            }
        }
        if others.iter().any(|other| c2pa::split_box_has_location(file, &other.pieces, self.policy)) {
            others.iter().for_each(|other| self.blank(file, other));
        }
    }

    fn blank(&mut self, file: &mut [u8], found: &c2pa::SplitBox) {
        for body in &found.bodies {
            // Keep the two letters of the header, so that [`c2pa::compact`] recognises the emptied segment.
            self.changed |= file.get_mut(body.start + 2..body.end).is_some_and(|record| fill(record, 0));
        }
    }
}

/// Cleans a block that may be split over several segments.
fn clean_run(kind: Kind, file: &mut [u8], run: &Pieces, policy: Policy) -> bool {
    if run.0.len() == 1 || run.bytes() > MAX_BLOCK_BYTES {
        let policy = Policy { wipe: policy.wipe || run.0.len() > 1, ..policy };
        return run.each(file, |piece| clean_block(kind, piece, policy).changed());
    }
    let mut gathered = run.gather(file);
    let changed = clean_block(kind, &mut gathered, policy).changed();
    if changed {
        run.scatter(file, &gathered);
    }
    changed
}

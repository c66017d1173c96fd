//! Decodes a file at a reduced size: walks its markers and scans, and ends with planes.
//!
//! It accepts what libjpeg decodes without running out of data: bytes that no coefficient needs are skipped, missing
//! coefficients and invalid codes are damage. It is stricter where libjpeg overlooks coefficients beyond the end of a block,
//! and components without data.

use super::bits::Bits;
use super::coverage::Coverage;
use super::fault::Fault;
use super::frame::{Frame, Scan, Tables};
use super::planes::Plane;
use super::segments::{EOI, SOI, SOS, Segment, Segments, next_marker};
use super::{progressive, sequential};

/// Decodes every bit of the file into planes at `eighths` of the size: 1, 2 or 4.
pub(super) fn decode(file: &[u8], size: (u32, u32), eighths: usize, max_scans: u32) -> Result<Vec<Plane>, Fault> {
    decode_all(&mut Decoder::new(file, max_scans), size, eighths)
}

/// Reads every bit of the file and keeps nothing. Tells whether the file is tidy: whether all bytes up to the end of the image
/// belong to it.
pub(super) fn prove(file: &[u8], size: (u32, u32), max_scans: u32) -> Result<bool, Fault> {
    let mut decoder = Decoder::new(file, max_scans);
    decode_all(&mut decoder, size, 1)?;
    Ok(decoder.is_tidy())
}

fn decode_all(decoder: &mut Decoder, size: (u32, u32), eighths: usize) -> Result<Vec<Plane>, Fault> {
    let frame = decoder.read_to_frame()?;
    // Before anything is allocated for the picture.
    if (frame.width, frame.height) != size {
        return Err(Fault::Invalid("two different sizes"));
    }
    if frame.progressive { progressive::decode(decoder, &frame, eighths) } else { sequential::decode(decoder, &frame, eighths) }
}

pub(super) struct Decoder<'a> {
    pub segments: Segments<'a>,
    pub tables: Tables,
    pub bits: Bits<'a>,
    scans: u32,
    max_scans: u32,
}

/// What the reading of markers stops at.
enum Stop<'a> {
    Frame(u8, &'a [u8]),
    Scan(&'a [u8]),
    /// The end of the image.
    End,
    /// The end of the file.
    Nothing,
}

impl<'a> Decoder<'a> {
    pub fn new(file: &'a [u8], max_scans: u32) -> Self {
        Decoder { segments: Segments::new(file), tables: Tables::default(), bits: Bits::new(file), scans: 0, max_scans }
    }

    /// Whether nothing was left out of what was read, and the image ends here.
    pub fn is_tidy(&self) -> bool {
        let Segments { file, at, skipped, .. } = &self.segments;
        let ends = |end: Option<&[u8]>| end == Some(&[0xff, EOI]);
        // Behind the end of the image, or before it when nothing was to follow anyway.
        !skipped && (ends(at.checked_sub(2).and_then(|start| file.get(start..*at))) || ends(file.get(*at..*at + 2)))
    }

    pub fn read_to_frame(&mut self) -> Result<Frame, Fault> {
        match self.read_markers()? {
            Stop::Frame(marker, body) => Frame::parse(marker, body),
            Stop::Scan(_) => Err(Fault::Invalid("picture data before its frame header")),
            Stop::End => Err(Fault::Invalid("no picture data")),
            Stop::Nothing => Err(Fault::Truncated),
        }
    }

    /// The next scan; `None` at the end of the picture. What stands behind a whole picture cannot damage it, unless it is one
    /// more scan, which viewers decode.
    pub fn next_scan(&mut self, frame: &Frame, coverage: &mut Coverage) -> Result<Option<Scan>, Fault> {
        if coverage.is_finished() {
            return Ok(None);
        }
        match self.read_scan_header(frame) {
            Ok(Some(scan)) => {
                self.scans += 1;
                if self.scans > self.max_scans {
                    return Err(Fault::TooManyScans(self.max_scans));
                }
                coverage.follow(&scan)?;
                Ok(Some(scan))
            }
            Ok(None) if coverage.has_all_components() => Ok(None),
            Ok(None) => Err(Fault::Incomplete),
            Err(_) if coverage.is_whole() => {
                self.segments.skipped = true;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// `None` at the end of the image.
    fn read_scan_header(&mut self, frame: &Frame) -> Result<Option<Scan>, Fault> {
        match self.read_markers()? {
            Stop::Frame(..) => Err(Fault::Invalid("two frame headers")),
            Stop::Scan(body) => Scan::parse(body, frame, &self.tables).map(Some),
            Stop::End => Ok(None),
            Stop::Nothing => Err(Fault::Truncated),
        }
    }

    fn read_markers(&mut self) -> Result<Stop<'a>, Fault> {
        while let Some(Segment { marker, body }) = self.segments.next()? {
            let body = &self.segments.file[body];
            match marker {
                0xc4 => self.tables.define_huffman(body)?,
                0xdb => self.tables.define_quantization(body)?,
                0xdd => self.tables.define_restart_interval(body)?,
                SOS => return Ok(Stop::Scan(body)),
                EOI => return Ok(Stop::End),
                0xc0..=0xc2 => return Ok(Stop::Frame(marker, body)),
                SOI => return Err(SECOND_START),
                // Comments, applications' data, and what is of no use for Huffman coding.
                0xcc | 0xdc | 0xe0..=0xef | 0xfe => {}
                _ => return Err(Fault::Invalid("a marker of another kind of JPEG")),
            }
        }
        Ok(Stop::Nothing)
    }

    /// Runs `unit` for each of a scan's units, given as column and row, in order; sees to restart markers, at which it calls
    /// `restart`.
    #[inline(always)]
    pub fn for_each_unit<S>(
        &mut self,
        (across, down): (usize, usize),
        state: &mut S,
        mut restart: impl FnMut(&mut S),
        mut unit: impl FnMut(&mut S, &mut Bits<'a>, usize, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let interval = match self.tables.restart_interval {
            0 => usize::MAX,
            interval => interval,
        };
        let mut until_restart = interval;
        let mut restarts = 0u8;
        self.bits.start_segment(self.segments.at);
        restart(state);
        for row in 0..down {
            for column in 0..across {
                if until_restart == 0 {
                    self.segments.at = self.bits.finish_segment()?;
                    self.pass_restart_marker(restarts)?;
                    restarts = (restarts + 1) & 7;
                    until_restart = interval;
                    self.bits.start_segment(self.segments.at);
                    restart(state);
                }
                self.bits.start_unit()?;
                unit(state, &mut self.bits, column, row)?;
                until_restart -= 1;
            }
        }
        self.segments.at = self.bits.finish_segment()?;
        Ok(())
    }

    fn pass_restart_marker(&mut self, number: u8) -> Result<(), Fault> {
        let Segments { file, at, .. } = &mut self.segments;
        let (_, code) = next_marker(file, *at).ok_or(Fault::Truncated)?;
        if file[code] != 0xd0 + number {
            return Err(Fault::MisplacedRestart);
        }
        *at = code + 1;
        Ok(())
    }
}

pub(super) const SECOND_START: Fault = Fault::Invalid("a second picture within its first one");

//! Reads the markers, tables and scan headers of a file, and runs a decoder over the MCUs of each scan.

use super::bits::Bits;
use super::coverage::Coverage;
use super::decode_error::DecodeError;
use super::frame::{Frame, Scan, Tables};
use super::segments::{EOI, SOI, SOS, Segment, Segments, next_marker};

/// The position in a file, and the tables that apply there.
pub(super) struct ScanReader<'a> {
    pub segments: Segments<'a>,
    pub tables: Tables,
    pub bits: Bits<'a>,
    scans: u32,
    max_scans: u32,
}

/// Where reading the markers stops.
enum Stop<'a> {
    Frame(u8, &'a [u8]),
    Scan(&'a [u8]),
    /// End of image (EOI).
    End,
    /// End of the file.
    Nothing,
}

impl<'a> ScanReader<'a> {
    pub fn new(file: &'a [u8], max_scans: u32) -> Self {
        ScanReader { segments: Segments::new(file), tables: Tables::default(), bits: Bits::new(file), scans: 0, max_scans }
    }

    /// Returns whether no bytes were skipped and the image ends here.
    pub fn has_no_stray_bytes(&self) -> bool {
        let Segments { file, at, skipped, .. } = &self.segments;
        let ends = |end: Option<&[u8]>| end == Some(&[0xff, EOI]);
        // Either EOI was just read, or it is next and was not read because no scan could follow.
        !skipped && (ends(at.checked_sub(2).and_then(|start| file.get(start..*at))) || ends(file.get(*at..*at + 2)))
    }

    /// Reads the markers up to the frame header.
    pub fn read_to_frame(&mut self) -> Result<Frame, DecodeError> {
        match self.read_markers()? {
            Stop::Frame(marker, body) => Frame::parse(marker, body),
            Stop::Scan(_) => Err(DecodeError::Invalid("image data before its frame header")),
            Stop::End => Err(DecodeError::Invalid("no image data")),
            Stop::Nothing => Err(DecodeError::Truncated),
        }
    }

    /// Returns the next scan; `None` at the end of the image. Bytes after a complete image cannot damage it, except a further
    /// scan, which viewers decode.
    pub fn next_scan(&mut self, frame: &Frame, coverage: &mut Coverage) -> Result<Option<Scan>, DecodeError> {
        if coverage.is_finished() {
            return Ok(None);
        }
        match self.read_scan_header(frame) {
            Ok(Some(scan)) => {
                self.scans += 1;
                if self.scans > self.max_scans {
                    return Err(DecodeError::TooManyScans(self.max_scans));
                }
                coverage.add_scan(&scan)?;
                Ok(Some(scan))
            }
            Ok(None) if coverage.has_all_components() => Ok(None),
            Ok(None) => Err(DecodeError::MissingComponent),
            Err(_) if coverage.is_whole() => {
                self.segments.skipped = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns `None` at the end of the image.
    fn read_scan_header(&mut self, frame: &Frame) -> Result<Option<Scan>, DecodeError> {
        match self.read_markers()? {
            Stop::Frame(..) => Err(DecodeError::Invalid("two frame headers")),
            Stop::Scan(body) => Scan::parse(body, frame, &self.tables).map(Some),
            Stop::End => Ok(None),
            Stop::Nothing => Err(DecodeError::Truncated),
        }
    }

    fn read_markers(&mut self) -> Result<Stop<'a>, DecodeError> {
        while let Some(Segment { marker, body }) = self.segments.next()? {
            let body = &self.segments.file[body];
            match marker {
                0xc4 => self.tables.define_huffman(body)?,
                0xdb => self.tables.define_quantization(body)?,
                0xdd => self.tables.define_restart_interval(body)?,
                SOS => return Ok(Stop::Scan(body)),
                EOI => return Ok(Stop::End),
                0xc0..=0xc2 => return Ok(Stop::Frame(marker, body)),
                SOI => return Err(SECOND_SOI),
                // Comments, application data, and segments that Huffman coding does not use.
                0xcc | 0xdc | 0xe0..=0xef | 0xfe => {}
                _ => return Err(DecodeError::Invalid("a marker of a different kind of JPEG")),
            }
        }
        Ok(Stop::Nothing)
    }

    /// Runs `unit` for each MCU of a scan in order, with its column and row. Checks the restart markers, and calls `restart` at
    /// each.
    #[inline(always)]
    pub fn for_each_mcu<S>(
        &mut self,
        (across, down): (usize, usize),
        state: &mut S,
        mut restart: impl FnMut(&mut S),
        mut unit: impl FnMut(&mut S, &mut Bits<'a>, usize, usize) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
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
                    self.read_restart_marker(restarts)?;
                    restarts = (restarts + 1) & 7;
                    until_restart = interval;
                    self.bits.start_segment(self.segments.at);
                    restart(state);
                }
                self.bits.start_mcu()?;
                unit(state, &mut self.bits, column, row)?;
                until_restart -= 1;
            }
        }
        self.segments.at = self.bits.finish_segment()?;
        Ok(())
    }

    fn read_restart_marker(&mut self, number: u8) -> Result<(), DecodeError> {
        let Segments { file, at, .. } = &mut self.segments;
        let (_, code) = next_marker(file, *at).ok_or(DecodeError::Truncated)?;
        if file[code] != 0xd0 + number {
            return Err(DecodeError::MisplacedRestart);
        }
        *at = code + 1;
        Ok(())
    }
}

/// The error for a second SOI, which both header readers report.
pub(super) const SECOND_SOI: DecodeError = DecodeError::Invalid("a second image inside the first one");

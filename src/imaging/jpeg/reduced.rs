//! Decodes a file at a reduced size: walks its markers and scans, and ends with planes. As strict as libjpeg with every
//! warning an error, and stricter where libjpeg overlooks coefficients beyond the end of a block.

use super::bits::Bits;
use super::fault::Fault;
use super::frame::{Frame, Scan, Tables};
use super::planes::Plane;
use super::{progressive, sequential};

/// Decodes every bit of the file into planes at `eighths` of the size: 1, 2 or 4.
pub(super) fn decode(file: &[u8], size: (u32, u32), eighths: usize, max_scans: u32) -> Result<Vec<Plane>, Fault> {
    let mut decoder = Decoder { file, at: 2, tables: Tables::default(), bits: Bits::new(file), scans: 0, max_scans };
    let frame = decoder.read_to_frame()?;
    // Before anything is allocated for the picture.
    if (frame.width, frame.height) != size {
        return Err(Fault::Invalid("two different sizes"));
    }
    if frame.progressive {
        progressive::decode(&mut decoder, &frame, eighths)
    } else {
        sequential::decode(&mut decoder, &frame, eighths)
    }
}

pub(super) struct Decoder<'a> {
    file: &'a [u8],
    at: usize,
    pub tables: Tables,
    pub bits: Bits<'a>,
    scans: u32,
    max_scans: u32,
}

/// What the reading of markers stops at.
enum Stop<'a> {
    Frame(u8, &'a [u8]),
    Scan(&'a [u8]),
    End,
}

impl<'a> Decoder<'a> {
    fn read_to_frame(&mut self) -> Result<Frame, Fault> {
        match self.read_markers()? {
            Stop::Frame(marker, body) => Frame::parse(marker, body),
            Stop::Scan(_) => Err(Fault::Invalid("picture data before its frame header")),
            Stop::End => Err(Fault::Invalid("no picture data")),
        }
    }

    /// The next scan; `None` at the end of the picture.
    pub fn next_scan(&mut self, frame: &Frame) -> Result<Option<Scan>, Fault> {
        match self.read_markers()? {
            Stop::Frame(..) => Err(Fault::Invalid("two frame headers")),
            Stop::Scan(body) => {
                self.scans += 1;
                if self.scans > self.max_scans {
                    return Err(Fault::TooManyScans(self.max_scans));
                }
                Scan::parse(body, frame, &self.tables).map(Some)
            }
            Stop::End => Ok(None),
        }
    }

    fn read_markers(&mut self) -> Result<Stop<'a>, Fault> {
        loop {
            let (marker, body) = self.next_marker()?;
            match marker {
                0xc4 => self.tables.define_huffman(body)?,
                0xdb => self.tables.define_quantization(body)?,
                0xdd => self.tables.define_restart_interval(body)?,
                0xda => return Ok(Stop::Scan(body)),
                0xd9 => return Ok(Stop::End),
                0xc0..=0xc2 => return Ok(Stop::Frame(marker, body)),
                // Comments, applications' data, and what is of no use for Huffman coding.
                0xcc | 0xdc | 0xe0..=0xef | 0xfe => {}
                _ => return Err(Fault::Invalid("a marker of no known meaning")),
            }
        }
    }

    /// The next marker and its segment's body.
    fn next_marker(&mut self) -> Result<(u8, &'a [u8]), Fault> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        let &marker = rest.get(fill).ok_or(Fault::Truncated)?;
        if fill == 0 {
            return Err(Fault::StrayBytes);
        }
        self.at += fill + 1;
        match marker {
            0xd9 => return Ok((marker, &[])),
            0x00 | 0x01 | 0xd0..=0xd8 => return Err(Fault::Invalid("a marker where it does not belong")),
            _ => {}
        }
        let rest = self.file.get(self.at..).unwrap_or_default();
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or(Fault::Truncated)?));
        if length < 2 {
            return Err(Fault::Invalid("a segment of impossible length"));
        }
        let body = rest.get(2..length).ok_or(Fault::Truncated)?;
        self.at += length;
        Ok((marker, body))
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
        self.bits.start_segment(self.at);
        restart(state);
        for row in 0..down {
            for column in 0..across {
                if until_restart == 0 {
                    self.at = self.bits.finish_segment()?;
                    self.pass_restart_marker(restarts)?;
                    restarts = (restarts + 1) & 7;
                    until_restart = interval;
                    self.bits.start_segment(self.at);
                    restart(state);
                }
                self.bits.start_unit()?;
                unit(state, &mut self.bits, column, row)?;
                until_restart -= 1;
            }
        }
        self.at = self.bits.finish_segment()?;
        Ok(())
    }

    fn pass_restart_marker(&mut self, number: u8) -> Result<(), Fault> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(fill) {
            Some(&marker) if fill > 0 && marker == 0xd0 + number => self.at += fill + 1,
            Some(_) => return Err(Fault::MisplacedRestart),
            None => return Err(Fault::Truncated),
        }
        Ok(())
    }
}

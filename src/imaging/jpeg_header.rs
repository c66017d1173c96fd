//! A JPEG's header: its markers up to the first scan (ITU-T T.81, annex B). Reads size, kind, orientation's whereabouts
//! and what the decoding will cost; follows libjpeg in what it accepts.

use super::Kind;
use super::error::Error;
use super::picture::LARGEST_THUMBNAIL;
use super::sniff::Found;
use std::ops::Range;

/// More segments before the picture than any file has (an ICC profile takes up to 255, extended XMP hundreds).
const MAX_SEGMENTS: usize = 4096;

#[derive(Debug, Clone)]
pub(super) struct JpegHeader {
    /// Adobe stores CMYK inverted and says so by this marker.
    pub adobe: bool,
    /// Eighths to decode at.
    pub scale: u8,
}

pub(super) fn read(bytes: &[u8]) -> Result<Found, Error> {
    let mut segments = Segments { bytes, at: 2 };
    let mut frame: Option<Frame> = None;
    let mut adobe = false;
    let mut exif = None;
    for _ in 0..MAX_SEGMENTS {
        let (marker, range) = segments.next()?;
        let body = &bytes[range.clone()];
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => {
                if frame.is_some() {
                    return Err(Error::corrupt("the JPEG has two frame headers"));
                }
                frame = Some(Frame::parse(marker, body)?);
            }
            0xe1 if exif.is_none() && body.starts_with(b"Exif\0\0") => {
                exif = Some(range.start + 6..range.end);
            }
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => adobe = true,
            0xd9 => return Err(Error::corrupt("the JPEG has no picture data")),
            0xda => {
                let frame = frame.ok_or_else(|| Error::corrupt("the JPEG has picture data before its frame header"))?;
                let in_scan = body.first().copied().unwrap_or(0);
                return Ok(frame.found(adobe, exif, in_scan));
            }
            _ => {}
        }
    }
    Err(Error::corrupt("the JPEG has too many segments before its picture"))
}

/// The eighths that libjpeg decodes at: the smallest that still covers the largest thumbnail. Only these four have SIMD
/// kernels.
fn scale(width: u32, height: u32) -> u8 {
    let longer = u64::from(width.max(height));
    let covers = |eighths: u64| (longer * eighths) / 8 >= u64::from(LARGEST_THUMBNAIL);
    [1u8, 2, 4].into_iter().find(|&eighths| covers(u64::from(eighths))).unwrap_or(8)
}

/// Walks markers and their bodies.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Segments<'_> {
    /// The next marker that has a body (or ends the file), and the body without its length.
    fn next(&mut self) -> Result<(u8, Range<usize>), Error> {
        let ends = || Error::truncated("the JPEG header");
        if *self.bytes.get(self.at).ok_or_else(ends)? != 0xff {
            return Err(Error::corrupt("the JPEG has stray bytes between its segments"));
        }
        // Any number of fill bytes may stand before a marker.
        let fill = self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xff).count();
        self.at += fill;
        let marker = *self.bytes.get(self.at).ok_or_else(ends)?;
        self.at += 1;
        match marker {
            0xd9 => return Ok((marker, self.at..self.at)),
            0x00 | 0x01 | 0xd0..=0xd8 => {
                return Err(Error::corrupt("the JPEG has a marker where it does not belong"));
            }
            _ => {}
        }
        let length = self.bytes.get(self.at..self.at + 2).ok_or_else(ends)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let range = self.at + 2..self.at + length;
        if length < 2 {
            return Err(Error::corrupt("the JPEG has a segment of impossible length"));
        }
        if range.end > self.bytes.len() {
            return Err(ends());
        }
        self.at = range.end;
        Ok((marker, range))
    }
}

/// A frame header (SOF).
struct Frame {
    width: u32,
    height: u32,
    progressive: bool,
    /// Horizontal and vertical sampling of each component.
    sampling: Vec<(u64, u64)>,
}

impl Frame {
    fn parse(marker: u8, body: &[u8]) -> Result<Self, Error> {
        match marker {
            0xc0..=0xc2 => {}
            0xc9..=0xcb => return Err(Error::unsupported("JPEG with arithmetic coding")),
            0xc3 => return Err(Error::unsupported("lossless JPEG")),
            _ => return Err(Error::unsupported("hierarchical JPEG")),
        }
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = body else {
            return Err(Error::truncated("the JPEG frame header"));
        };
        if precision != 8 {
            return Err(Error::unsupported(format!("JPEG with {precision} bits a sample")));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::unsupported(format!("JPEG with {count} colour components")));
        }
        if components.len() != usize::from(count) * 3 {
            return Err(Error::corrupt("the JPEG frame header has the wrong length"));
        }
        let height = u32::from(u16::from_be_bytes([h1, h0]));
        if height == 0 {
            return Err(Error::unsupported("JPEG that states its height after the picture"));
        }
        let sampling: Vec<(u64, u64)> =
            components.chunks_exact(3).map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15))).collect();
        if sampling.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(Error::corrupt("the JPEG has an impossible sampling factor"));
        }
        Ok(Frame { width: u32::from(u16::from_be_bytes([w1, w0])), height, progressive: marker == 0xc2, sampling })
    }

    fn found(self, adobe: bool, exif: Option<Range<usize>>, in_scan: u8) -> Found {
        let scale = scale(self.width, self.height);
        let scaled = |length: u32| (u64::from(length) * u64::from(scale)).div_ceil(8);
        let picture_bytes = scaled(self.width) * scaled(self.height) * 3;
        // libjpeg keeps the coefficients of the whole picture when they come in more than one scan.
        let several_scans = self.progressive || usize::from(in_scan) < self.sampling.len();
        let coefficients = if several_scans { self.coefficient_bytes() } else { 0 };
        // Rows of blocks, of samples and for upsampling: a few dozen of each component's, at full width.
        let rows = u64::from(self.width) * self.sampling.len() as u64 * 64;
        Found {
            kind: Kind::Jpeg(JpegHeader { adobe, scale }),
            width: self.width,
            height: self.height,
            exif,
            decoder_bytes: picture_bytes + coefficients + rows,
            picture_bytes,
        }
    }

    /// Two bytes a coefficient, every component padded to whole blocks of the interleaved units.
    fn coefficient_bytes(&self) -> u64 {
        let across = self.sampling.iter().map(|s| s.0).max().unwrap_or(1);
        let down = self.sampling.iter().map(|s| s.1).max().unwrap_or(1);
        let units_across = u64::from(self.width).div_ceil(8 * across);
        let units_down = u64::from(self.height).div_ceil(8 * down);
        let blocks: u64 = self.sampling.iter().map(|&(h, v)| units_across * h * units_down * v).sum();
        blocks * 64 * 2
    }
}

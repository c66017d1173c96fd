//! The segments of a JPEG (ITU-T T.81, annex B). The header reader and both decoders share this parser. Bytes that belong to no
//! segment are skipped up to the next marker that may occur outside a scan. Cameras pad, editors write wrong lengths, encoders
//! leave restart markers behind; no coefficient needs any of that.

use super::decode_error::DecodeError;
use std::ops::Range;

pub(super) const SOI: u8 = 0xd8;
pub(in crate::imaging) const EOI: u8 = 0xd9;
pub(in crate::imaging) const SOS: u8 = 0xda;

/// A marker, and the body of its segment without the length field.
pub(in crate::imaging) struct Segment {
    pub marker: u8,
    pub body: Range<usize>,
}

pub(in crate::imaging) struct Segments<'a> {
    pub file: &'a [u8],
    /// Position of the next byte to read.
    pub at: usize,
    /// Whether bytes were skipped.
    pub skipped: bool,
    /// A copy of everything that was read, without the skipped bytes, if it is needed.
    pub copy: Option<Vec<u8>>,
}

impl<'a> Segments<'a> {
    /// Starts after SOI.
    pub fn new(file: &'a [u8]) -> Self {
        Segments { file, at: 2.min(file.len()), skipped: false, copy: None }
    }

    /// Returns the next segment; `None` at the end of the file. A second SOI is returned as a segment without a body: a
    /// thumbnail may follow, which must not be taken for the image.
    pub fn next(&mut self) -> Result<Option<Segment>, DecodeError> {
        while let Some((start, code)) = next_marker(self.file, self.at) {
            self.skipped |= start != self.at;
            self.at = code + 1;
            let marker = self.file[code];
            match marker {
                SOI | EOI => {
                    self.keep(start..self.at);
                    return Ok(Some(Segment { marker, body: self.at..self.at }));
                }
                0xc0..=0xc7 | 0xc9..=0xcf | 0xda..=0xef | 0xfe => {}
                // Stuffed bytes, restart markers, and undefined codes.
                _ => {
                    self.skipped = true;
                    continue;
                }
            }
            let rest = &self.file[self.at..];
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or(DecodeError::Truncated)?));
            if length < 2 {
                // Comments and application data are not needed.
                if matches!(marker, 0xe0..=0xef | 0xfe) {
                    self.skipped = true;
                    continue;
                }
                return Err(DecodeError::Invalid("a segment of invalid length"));
            }
            if length > rest.len() {
                return Err(DecodeError::Truncated);
            }
            let body = self.at + 2..self.at + length;
            self.at = body.end;
            // Segments that do not affect Huffman decoding are dropped.
            if matches!(marker, 0xcc | 0xdc) {
                self.skipped = true;
            } else {
                self.keep(start..body.end);
            }
            return Ok(Some(Segment { marker, body }));
        }
        self.skipped = true;
        self.at = self.file.len();
        Ok(None)
    }

    /// Skips the data of a scan without decoding it, to the first marker other than a restart marker.
    pub fn skip_scan(&mut self) {
        let mut end = self.at;
        loop {
            match next_marker(self.file, end) {
                Some((_, code)) if matches!(self.file[code], 0x00 | 0xd0..=0xd7) => end = code + 1,
                Some((start, _)) => break self.keep_to(start),
                None => break self.keep_to(self.file.len()),
            }
        }
    }

    fn keep_to(&mut self, end: usize) {
        self.keep(self.at..end);
        self.at = end;
    }

    fn keep(&mut self, range: Range<usize>) {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(&self.file[range]);
        }
    }
}

/// Finds the next marker from `at` on. Returns where it starts (at its first fill byte 0xff) and where its code is.
pub(super) fn next_marker(file: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + memchr::memchr(0xff, file.get(at..)?)?;
    let fill = file[start..].iter().take_while(|&&byte| byte == 0xff).count();
    (start + fill < file.len()).then_some((start, start + fill))
}

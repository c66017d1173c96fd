//! The chunks of a PNG, and the selection that its decoder sees.
//!
//! The decoder sees no ancillary chunk that does not affect the pixels, so such a chunk can neither fail the image nor cost
//! memory. libpng ignores damaged ones as well. `png_header.rs` reads those that the rest of the code needs, and checks their
//! CRCs itself.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

/// Length of the signature before the first chunk.
pub(super) const SIGNATURE_BYTES: usize = 8;

/// The complete last chunk. Its content never varies.
pub(super) const IEND: &[u8; 12] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// For a palette, tRNS has one entry per colour.
const MAX_TRNS_BYTES: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Chunk<'a> {
    pub name: &'a [u8],
    /// Position of the data, which the end of the file may cut off.
    pub body: Range<usize>,
}

impl<'a> Chunk<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = at + 8..at.checked_add(8)?.checked_add(length)?;
        Some(Chunk { name: &head[4..8], body })
    }

    /// Returns where the next chunk starts: after the CRC.
    fn end(&self) -> usize {
        self.body.end.saturating_add(4)
    }

    /// Returns the data, if it is complete and its CRC is correct.
    pub fn checked_body<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let stated = bytes.get(self.body.end..self.end())?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[self.body.start - 4..self.body.end]);
        (crc.sum().to_be_bytes() == stated).then(|| &bytes[self.body.clone()])
    }

    /// Returns the chunk with its length, type and CRC, if it is complete.
    pub fn whole<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        bytes.get(self.body.start - 8..self.end())
    }

    /// Returns whether a decoder must not ignore the chunk, by bit 5 of the first byte of its type (PNG 3rd edition, 5.4).
    fn is_critical(&self) -> bool {
        self.name[0] & 0x20 == 0
    }
}

/// Iterates over the chunks up to IEND or the end of the file.
pub(super) fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = SIGNATURE_BYTES;
    let next = move || {
        let chunk = Chunk::at(bytes, at)?;
        at = chunk.end();
        Some(chunk)
    };
    std::iter::from_fn(next).take_while(|chunk| chunk.name != b"IEND")
}

/// Returns whether the file ends where IEND belongs, possibly with a part of it. The image is complete then, because IEND is
/// empty.
pub(super) fn lacks_iend(bytes: &[u8]) -> bool {
    let end = chunks(bytes).last().map_or(SIGNATURE_BYTES, |chunk| chunk.end());
    bytes.get(end..).is_some_and(is_part_of_end)
}

fn is_part_of_end(rest: &[u8]) -> bool {
    rest.len() < IEND.len() && IEND.starts_with(rest)
}

/// Reads the chunks that the decoder needs, in runs as long as possible and without copying. The exception is a tRNS with more
/// entries than the palette, which is cut. IEND is always complete, whatever the file has of it.
pub(super) struct RequiredChunks<'a> {
    bytes: &'a [u8],
    /// The current run.
    run: Cow<'a, [u8]>,
    /// How many bytes of the run were read.
    read: usize,
    /// Where the next chunk starts; `None` after the last run.
    next: Option<usize>,
    has_palette: bool,
    /// Number of colours in the palette, after PLTE.
    colors: Option<usize>,
    frame: FirstFrame,
    data_seen: bool,
}

/// How much the decoder has seen of a first frame that is not the default image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstFrame {
    /// There is no such frame, or it was read completely.
    Unneeded,
    Announced,
    Begun,
}

impl<'a> RequiredChunks<'a> {
    /// Selects the chunks. With `first_frame`, includes those of the first frame after the default image.
    pub fn of(bytes: &'a [u8], first_frame: bool) -> Self {
        // Colour type 3 in IHDR needs a palette. For other types, PLTE is only a suggestion.
        let has_palette = bytes.get(25) == Some(&3);
        let frame = if first_frame { FirstFrame::Announced } else { FirstFrame::Unneeded };
        let run = Cow::Borrowed(bytes.get(..SIGNATURE_BYTES).unwrap_or(bytes));
        let next = Some(SIGNATURE_BYTES);
        RequiredChunks { bytes, run, read: 0, next, has_palette, colors: None, frame, data_seen: false }
    }

    fn needs(&mut self, chunk: &Chunk<'_>) -> bool {
        match chunk.name {
            b"PLTE" => {
                if self.has_palette {
                    self.colors = self.colors.or(Some(chunk.body.len() / 3));
                }
                self.has_palette
            }
            b"IDAT" => {
                self.data_seen = true;
                true
            }
            b"tRNS" => !self.data_seen && chunk.body.len() <= MAX_TRNS_BYTES && chunk.checked_body(self.bytes).is_some(),
            b"acTL" => self.frame == FirstFrame::Announced && !self.data_seen && chunk.checked_body(self.bytes).is_some(),
            b"fcTL" => {
                let first = self.frame == FirstFrame::Announced;
                self.frame = if first { FirstFrame::Begun } else { FirstFrame::Unneeded };
                first
            }
            b"fdAT" => self.frame == FirstFrame::Begun,
            _ => chunk.is_critical(),
        }
    }

    /// Returns a required tRNS without the entries that exceed the palette; `None` if it has none.
    fn cut(&self, chunk: &Chunk<'_>) -> Option<Vec<u8>> {
        let colors = self.colors.filter(|&colors| chunk.name == b"tRNS" && colors < chunk.body.len())?;
        let entries = self.bytes.get(chunk.body.start..chunk.body.start + colors)?;
        let mut crc = flate2::Crc::new();
        crc.update(b"tRNS");
        crc.update(entries);
        Some([&(colors as u32).to_be_bytes(), &b"tRNS"[..], entries, &crc.sum().to_be_bytes()].concat())
    }

    /// Returns the next adjacent chunks that are required; empty at the end.
    fn next_run(&mut self) -> Cow<'a, [u8]> {
        let Some(mut at) = self.next.take() else { return Cow::default() };
        let mut start = None;
        loop {
            let chunk = Chunk::at(self.bytes, at).filter(|chunk| chunk.name != b"IEND");
            let ends = chunk.is_none();
            let needed = chunk.as_ref().is_some_and(|chunk| self.needs(chunk));
            let cut = chunk.as_ref().filter(|_| needed).and_then(|chunk| self.cut(chunk));
            match (start, cut) {
                // First return the run before it.
                (Some(start), Some(_)) => return self.run(start, at),
                (None, Some(cut)) => {
                    self.next = chunk.map(|chunk| chunk.end());
                    return Cow::Owned(cut);
                }
                _ => {}
            }
            match (start, needed) {
                (None, true) => start = Some(at),
                (Some(start), false) => return self.run(start, at),
                (None, false) if ends => return Cow::Borrowed(self.end(at)),
                _ => {}
            }
            at = chunk.map_or(at, |chunk| chunk.end());
        }
    }

    /// Returns the chunks from `start` to `end`, where the next run starts.
    fn run(&mut self, start: usize, end: usize) -> Cow<'a, [u8]> {
        self.next = Some(end);
        Cow::Borrowed(self.bytes.get(start..end).unwrap_or(&self.bytes[start..]))
    }

    /// Returns what the decoder sees where no further chunk starts.
    fn end(&self, at: usize) -> &'a [u8] {
        match self.bytes.get(at..) {
            Some(rest) if rest.get(4..8) == Some(b"IEND") || is_part_of_end(rest) => IEND,
            // Truncated: the decoder reports it.
            Some(rest) => rest,
            None => &[],
        }
    }
}

impl Read for RequiredChunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for RequiredChunks<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.read == self.run.len() {
            self.run = self.next_run();
            self.read = 0;
        }
        Ok(self.run.get(self.read..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.read = (self.read + count).min(self.run.len());
    }
}

/// The decoder requires `Seek` but never seeks.
impl Seek for RequiredChunks<'_> {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }
}

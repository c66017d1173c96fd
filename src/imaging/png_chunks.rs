//! A PNG's chunks, and the part of them that its decoder is shown.
//!
//! The decoder never sees an ancillary chunk that does not change the pixels: whatever such a chunk holds, it cannot refuse
//! an image or cost memory. libpng ignores a damaged one as well. What the rest of the code needs of them is read by
//! `png_header.rs`, which checks their CRCs itself.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

/// The signature, before the first chunk.
pub(super) const SIGNATURE_BYTES: usize = 8;

/// The last chunk, whole. Its contents never vary.
pub(super) const IEND: &[u8; 12] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// tRNS of a palette has an entry for each colour.
const MAX_TRNS_BYTES: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Chunk<'a> {
    pub name: &'a [u8],
    /// Where the data lie. They may be cut off by the end of the file.
    pub body: Range<usize>,
}

impl<'a> Chunk<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = at + 8..at.checked_add(8)?.checked_add(length)?;
        Some(Chunk { name: &head[4..8], body })
    }

    /// Where the next chunk begins: behind the CRC.
    fn end(&self) -> usize {
        self.body.end.saturating_add(4)
    }

    /// The data, if all of them are there and the CRC is theirs.
    pub fn checked_body<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let stated = bytes.get(self.body.end..self.end())?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[self.body.start - 4..self.body.end]);
        (crc.sum().to_be_bytes() == stated).then(|| &bytes[self.body.clone()])
    }

    /// With its head and its CRC, if all of it is there.
    pub fn whole<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        bytes.get(self.body.start - 8..self.end())
    }

    /// A decoder may not ignore it. The third bit of the name's first letter tells (PNG 3rd edition, 5.4).
    fn is_critical(&self) -> bool {
        self.name[0] & 0x20 == 0
    }
}

/// The chunks before IEND, or before the end of the file.
pub(super) fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = SIGNATURE_BYTES;
    let next = move || {
        let chunk = Chunk::at(bytes, at)?;
        at = chunk.end();
        Some(chunk)
    };
    std::iter::from_fn(next).take_while(|chunk| chunk.name != b"IEND")
}

/// Whether the file ends where IEND belongs, perhaps with a part of it. Nothing of the image is missing then: IEND holds
/// nothing.
pub(super) fn lacks_iend(bytes: &[u8]) -> bool {
    let end = chunks(bytes).last().map_or(SIGNATURE_BYTES, |chunk| chunk.end());
    bytes.get(end..).is_some_and(is_part_of_end)
}

fn is_part_of_end(rest: &[u8]) -> bool {
    rest.len() < IEND.len() && IEND.starts_with(rest)
}

/// The chunks that a decoder needs, in runs as long as the file has them, so that nothing is copied, except a tRNS with more
/// entries than the palette: it is cut to those that have a colour. IEND is always whole: what a file has of it does not matter.
pub(super) struct RequiredChunks<'a> {
    bytes: &'a [u8],
    /// What was found and is not read yet.
    run: Cow<'a, [u8]>,
    /// How much of that was read.
    read: usize,
    /// Where the next chunk begins; `None` when the last run was found.
    next: Option<usize>,
    has_palette: bool,
    /// How many the palette has, once it was found.
    colors: Option<usize>,
    frame: FirstFrame,
    data_seen: bool,
}

/// How much the decoder has been shown of a first frame that is not the default image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstFrame {
    /// There is none, or all of it was shown.
    Unneeded,
    Announced,
    Begun,
}

impl<'a> RequiredChunks<'a> {
    /// With `first_frame` those of the first frame behind the default image as well.
    pub fn of(bytes: &'a [u8], first_frame: bool) -> Self {
        // IHDR's type of colour: 3 needs a palette. In others PLTE is only a suggestion.
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

    /// A tRNS that is needed and has more entries than the palette has colours, without those.
    fn cut(&self, chunk: &Chunk<'_>) -> Option<Vec<u8>> {
        let colors = self.colors.filter(|&colors| chunk.name == b"tRNS" && colors < chunk.body.len())?;
        let entries = self.bytes.get(chunk.body.start..chunk.body.start + colors)?;
        let mut crc = flate2::Crc::new();
        crc.update(b"tRNS");
        crc.update(entries);
        Some([&(colors as u32).to_be_bytes(), &b"tRNS"[..], entries, &crc.sum().to_be_bytes()].concat())
    }

    /// The next chunks that are needed and stand side by side; empty at the end.
    fn next_run(&mut self) -> Cow<'a, [u8]> {
        let Some(mut at) = self.next.take() else { return Cow::default() };
        let mut start = None;
        loop {
            let chunk = Chunk::at(self.bytes, at).filter(|chunk| chunk.name != b"IEND");
            let ends = chunk.is_none();
            let needed = chunk.as_ref().is_some_and(|chunk| self.needs(chunk));
            let cut = chunk.as_ref().filter(|_| needed).and_then(|chunk| self.cut(chunk));
            match (start, cut) {
                // Behind the run before it.
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

    /// The chunks from `start` on. The next run begins at `end`.
    fn run(&mut self, start: usize, end: usize) -> Cow<'a, [u8]> {
        self.next = Some(end);
        Cow::Borrowed(self.bytes.get(start..end).unwrap_or(&self.bytes[start..]))
    }

    /// What is shown where no further chunk begins.
    fn end(&self, at: usize) -> &'a [u8] {
        match self.bytes.get(at..) {
            Some(rest) if rest.get(4..8) == Some(b"IEND") || is_part_of_end(rest) => IEND,
            // Cut off: the decoder finds its end too early.
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

/// The decoder's signature asks for it; it never seeks.
impl Seek for RequiredChunks<'_> {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }
}

//! A GIF's blocks, as far as they matter before the first pixel is decoded: how large the canvas is, whether there is a
//! palette for all frames, and where the file ends (GIF89a, chapters 15 to 27).
//!
//! The decoder never sees what it would only keep: however long XMP or a colour profile is, it costs no memory. Nor does it see
//! what it would refuse and viewers pass over: extensions with unknown labels, and zeros between blocks.

use super::decoder_errors;
use super::error::Error;
use std::io::Read;

/// The signature and the logical screen descriptor.
const HEADER_BYTES: usize = 13;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

/// Labels of extensions: how the next frame is visible, and one of the two kinds of frames.
const GRAPHIC_CONTROL: u8 = 0xf9;
const PLAIN_TEXT: u8 = 0x01;

/// The labels that GIF89a defines; a decoder passes over all others (GIF89a, 24).
const DEFINED_LABELS: [u8; 4] = [PLAIN_TEXT, GRAPHIC_CONTROL, 0xfe, 0xff];

/// How application extensions begin that the decoder would keep: label, length, name.
const BUFFERED_EXTENSIONS: [&[u8]; 2] = [b"\xff\x0bXMP DataXMP", b"\xff\x0bICCRGBG1012"];

/// Marks a palette in a descriptor's flags, whose three lowest bits are its size.
const HAS_PALETTE: u8 = 0x80;

/// What a decoder wants to know of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GifHeader {
    /// The logical screen, or more of it where the first frame reaches beyond: that frame is visible whole by Chromium,
    /// Pillow and libvips.
    pub canvas: (u32, u32),
    /// Whether the frames that have no palette of their own have one.
    pub has_palette: bool,
}

pub(super) fn read(bytes: &[u8]) -> Result<GifHeader, Error> {
    let ends = || Error::truncated("the GIF header");
    let screen = bytes.get(6..HEADER_BYTES).ok_or_else(ends)?;
    let (mut width, mut height) = (number(screen, 0), number(screen, 2));
    let mut blocks = Blocks::of(bytes);
    while let Some(block) = blocks.next() {
        if block.kind == IMAGE {
            let frame = bytes.get(block.at + 1..block.at + 9).ok_or_else(ends)?;
            width = width.max(number(frame, 0) + number(frame, 4));
            height = height.max(number(frame, 2) + number(frame, 6));
            break;
        }
    }
    Ok(GifHeader { canvas: (width, height), has_palette: screen[4] & HAS_PALETTE != 0 })
}

/// The file in repaired that make one GIF, which need not be in the file as it is: with a black palette where there is none,
/// and with a trailer where it ends without one. All decoders show both kinds.
pub(super) struct RepairedGif<'a> {
    head: Vec<u8>,
    /// The file up to its last block.
    blocks: &'a [u8],
    tail: &'static [u8],
}

impl<'a> RepairedGif<'a> {
    pub fn of(bytes: &'a [u8], header: &GifHeader) -> Result<Self, Error> {
        let head = bytes.get(..HEADER_BYTES).ok_or_else(|| decoder_errors::gif(gif::DecodingError::UnexpectedEof))?;
        let mut head = head.to_vec();
        if !header.has_palette {
            // Two colours are the fewest. Whatever is beyond them is black as well.
            head[10] = HAS_PALETTE;
            head.extend([0; 6]);
        }
        // Where the file breaks off elsewhere, the decoder finds that out.
        let (end, tail): (_, &[u8]) = match end(bytes) {
            Some(end) => (end, &[TRAILER]),
            None => (bytes.len(), &[]),
        };
        Ok(RepairedGif { head, blocks: bytes.get(..end).unwrap_or(bytes), tail })
    }

    pub fn reader(&self) -> impl Read {
        let visible = VisibleBlocks { blocks: Blocks::of(self.blocks), next: HEADER_BYTES, run: &[] };
        self.head.chain(visible).chain(self.tail)
    }
}

/// Everything behind the header that the decoder is visible, in runs as long as the file has them.
struct VisibleBlocks<'a> {
    blocks: Blocks<'a>,
    /// Where the next run begins.
    next: usize,
    run: &'a [u8],
}

impl<'a> VisibleBlocks<'a> {
    /// Empty at the end.
    fn next_run(&mut self) -> &'a [u8] {
        let bytes = self.blocks.bytes;
        while let Some(block) = self.blocks.next() {
            let is_hidden = block.is_hidden(bytes);
            if is_hidden || block.gap > 0 {
                let run = bytes.get(self.next..block.at - block.gap).unwrap_or_default();
                // One that breaks off is the last.
                self.next = if is_hidden { self.blocks.at.unwrap_or(bytes.len()) } else { block.at };
                if !run.is_empty() {
                    return run;
                }
            }
        }
        let rest = bytes.get(self.next..).unwrap_or_default();
        self.next = bytes.len();
        rest
    }
}

impl Read for VisibleBlocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.run.is_empty() {
            self.run = self.next_run();
        }
        self.run.read(buffer)
    }
}

/// Where the trailer is, or would be: the file may end where a block may begin, or with zeros in place of blocks. `None`
/// where it breaks off within a block or before a frame that was announced, or goes on with something that is no block.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut blocks = Blocks::of(bytes);
    let mut announced = false;
    while let Some(block) = blocks.next() {
        match (block.kind, bytes.get(block.at + 1)) {
            (EXTENSION, Some(&GRAPHIC_CONTROL)) => announced = true,
            (IMAGE, _) | (EXTENSION, Some(&PLAIN_TEXT)) => announced = false,
            _ => {}
        }
    }
    let end = blocks.at?;
    let rest = bytes.get(end..)?;
    let padding = rest.iter().take_while(|&&byte| byte == 0).count();
    match rest.get(padding) {
        Some(&TRAILER) => Some(end),
        None if !announced => Some(end),
        _ => None,
    }
}

/// Walks from block to block, up to the first byte that begins none.
struct Blocks<'a> {
    bytes: &'a [u8],
    /// Where the next block begins; `None` when the file breaks off before.
    at: Option<usize>,
}

struct Block {
    kind: u8,
    at: usize,
    /// How many zeros stand before it.
    gap: usize,
}

impl Block {
    /// Whether the decoder gets along without it.
    fn is_hidden(&self, bytes: &[u8]) -> bool {
        let label = bytes.get(self.at + 1..).unwrap_or_default();
        self.kind == EXTENSION
            && (BUFFERED_EXTENSIONS.iter().any(|start| label.starts_with(start))
                || label.first().is_some_and(|label| !DEFINED_LABELS.contains(label)))
    }
}

impl<'a> Blocks<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let palette = bytes.get(10).map_or(0, |&flags| palette_bytes(flags));
        Blocks { bytes, at: Some(HEADER_BYTES + palette).filter(|&at| at <= bytes.len()) }
    }

    fn next(&mut self) -> Option<Block> {
        let end = self.at?;
        // Some writers end a block twice.
        let gap = self.bytes.get(end..)?.iter().take_while(|&&byte| byte == 0).count();
        let at = end + gap;
        let kind = *self.bytes.get(at)?;
        let data = match kind {
            // A label.
            EXTENSION => at + 2,
            // Place and size, flags, a palette, and the size of the first codes.
            IMAGE => at + 11 + self.bytes.get(at + 9).map_or(0, |&flags| palette_bytes(flags)),
            _ => return None,
        };
        self.at = self.behind_sub_blocks(data);
        Some(Block { kind, at, gap })
    }

    /// Each begins with its length; one of no length is the last.
    fn behind_sub_blocks(&self, mut at: usize) -> Option<usize> {
        loop {
            match *self.bytes.get(at)? {
                0 => return Some(at + 1),
                length => at += 1 + usize::from(length),
            }
        }
    }
}

fn palette_bytes(flags: u8) -> usize {
    if flags & HAS_PALETTE == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

//! Parses the blocks of a GIF before any pixel is decoded: the size of the canvas, the global palette, and the end of the file
//! (GIF89a, chapters 15 to 27).
//!
//! The decoder does not see blocks that it would only buffer, so XMP or a colour profile of any length costs no memory. Nor
//! does it see what it would reject although viewers skip it: extensions with unknown labels, and zeros between blocks.

use super::decoder_errors;
use super::error::Error;
use std::io::Read;

/// The signature and the logical screen descriptor.
const HEADER_BYTES: usize = 13;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

/// Labels of extensions: the graphic control of the next frame, and the plain text, which counts as a frame.
const GRAPHIC_CONTROL: u8 = 0xf9;
const PLAIN_TEXT: u8 = 0x01;

/// The labels that GIF89a defines. Decoders skip all others (GIF89a, 24).
const DEFINED_LABELS: [u8; 4] = [PLAIN_TEXT, GRAPHIC_CONTROL, 0xfe, 0xff];

/// The start of application extensions that the decoder would buffer: label, length, name.
const BUFFERED_EXTENSIONS: [&[u8]; 2] = [b"\xff\x0bXMP DataXMP", b"\xff\x0bICCRGBG1012"];

/// The flag of a palette in a descriptor. The three lowest bits of the flags are its size.
const HAS_PALETTE: u8 = 0x80;

/// The part of the header that the decoder needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GifHeader {
    /// The logical screen, enlarged to the first frame if that reaches beyond it. Chromium, Pillow and libvips show that frame
    /// completely.
    pub canvas: (u32, u32),
    /// Whether there is a global palette for frames without one of their own.
    pub has_palette: bool,
}

pub(super) fn read(bytes: &[u8]) -> Result<GifHeader, Error> {
    let truncated = || Error::truncated("the GIF header");
    let screen = bytes.get(6..HEADER_BYTES).ok_or_else(truncated)?;
    let (mut width, mut height) = (number(screen, 0), number(screen, 2));
    let mut blocks = Blocks::of(bytes);
    while let Some(block) = blocks.next() {
        if block.kind == IMAGE {
            let frame = bytes.get(block.at + 1..block.at + 9).ok_or_else(truncated)?;
            width = width.max(number(frame, 0) + number(frame, 4));
            height = height.max(number(frame, 2) + number(frame, 6));
            break;
        }
    }
    Ok(GifHeader { canvas: (width, height), has_palette: screen[4] & HAS_PALETTE != 0 })
}

/// The parts of a valid GIF, which the file itself need not be: a missing palette is replaced by a black one, and a missing
/// trailer is added. All decoders display such files.
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
            // A palette has at least two colours. Indices beyond it are black as well.
            head[10] = HAS_PALETTE;
            head.extend([0; 6]);
        }
        // If the file breaks off elsewhere, the decoder reports it.
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

/// Reads all blocks after the header that the decoder needs, in runs as long as possible.
struct VisibleBlocks<'a> {
    blocks: Blocks<'a>,
    /// Where the next run starts.
    next: usize,
    run: &'a [u8],
}

impl<'a> VisibleBlocks<'a> {
    /// Returns the next run; empty at the end.
    fn next_run(&mut self) -> &'a [u8] {
        let bytes = self.blocks.bytes;
        while let Some(block) = self.blocks.next() {
            let is_hidden = block.is_hidden(bytes);
            if is_hidden || block.gap > 0 {
                let run = bytes.get(self.next..block.at - block.gap).unwrap_or_default();
                // A block that is cut off is the last one.
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

/// Returns where the trailer is or belongs: the file may end at a block boundary, or with zeros in place of blocks. `None` if
/// it breaks off within a block or before an announced frame, or continues with an invalid block.
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

/// An image block of the file.
pub(super) struct ImageBlock<'a> {
    /// Left, top, width and height of the frame.
    pub frame: [u32; 4],
    pub min_code_bits: u8,
    data: &'a [u8],
}

impl<'a> ImageBlock<'a> {
    /// Iterates over the contents of the sub-blocks, up to the terminator or the first one that is cut off.
    pub fn sub_blocks(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.data;
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first().filter(|(length, _)| **length > 0)?;
            let (block, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some(block)
        })
    }
}

/// Iterates over the image blocks.
pub(super) fn images(bytes: &[u8]) -> impl Iterator<Item = ImageBlock<'_>> {
    let mut blocks = Blocks::of(bytes);
    std::iter::from_fn(move || blocks.next()).filter(|block| block.kind == IMAGE).map_while(|block| {
        let descriptor = bytes.get(block.at + 1..block.at + 10)?;
        let (&min_code_bits, data) = bytes.get(block.at + 10 + palette_bytes(descriptor[8])..)?.split_first()?;
        Some(ImageBlock { frame: [0, 2, 4, 6].map(|at| number(descriptor, at)), min_code_bits, data })
    })
}

/// Iterates over the blocks, up to the first byte that starts none.
struct Blocks<'a> {
    bytes: &'a [u8],
    /// Where the next block starts; `None` if the file breaks off before.
    at: Option<usize>,
}

struct Block {
    kind: u8,
    at: usize,
    /// Number of zeros before the block.
    gap: usize,
}

impl Block {
    /// Returns whether the block is hidden from the decoder.
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
        // Some writers terminate a block twice.
        let gap = self.bytes.get(end..)?.iter().take_while(|&&byte| byte == 0).count();
        let at = end + gap;
        let kind = *self.bytes.get(at)?;
        let data = match kind {
            // A label.
            EXTENSION => at + 2,
            // Position and size, flags, palette, and the LZW minimum code size.
            IMAGE => at + 11 + self.bytes.get(at + 9).map_or(0, |&flags| palette_bytes(flags)),
            _ => return None,
        };
        self.at = self.skip_sub_blocks(data);
        Some(Block { kind, at, gap })
    }

    /// Skips sub-blocks. Each starts with its length; one of length zero is the terminator.
    fn skip_sub_blocks(&self, mut at: usize) -> Option<usize> {
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

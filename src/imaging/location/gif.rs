//! GIF: the extensions that hold metadata (GIF89a, 26; XMP part 3, 1.1.2). They are edited in place, so the chain of sub-blocks
//! that a decoder follows ends at the same byte.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::pieces::Pieces;
use super::text::{self, Encoding};
use super::{Policy, c2pa, clean_block, fill, trailer, xmp};
use std::ops::Range;

/// Twice the sub-blocks of a block of the maximum size. A block with more, shorter ones is wiped.
const MAX_SUB_BLOCKS: usize = 2 * MAX_BLOCK_BYTES / 255;

/// Removes the location in place and returns whether there was one.
pub(super) fn clean(file: &mut [u8], policy: Policy) -> bool {
    let mut gif = Gif { file, policy, changed: false };
    let end = gif.walk().unwrap_or(gif.file.len());
    let Gif { file, changed, .. } = gif;
    changed | trailer::clean(file.get_mut(end..).unwrap_or_default(), policy)
}

struct Gif<'a> {
    file: &'a mut [u8],
    policy: Policy,
    changed: bool,
}

impl Gif<'_> {
    /// Returns where the image ends, or `None` if the file is truncated.
    fn walk(&mut self) -> Option<usize> {
        let mut at = 13 + self.palette_bytes(10)?;
        loop {
            match self.byte(at)? {
                0x21 => at = self.extension(at)?,
                0x2c => {
                    let data = at + 10 + self.palette_bytes(at + 9)? + 1;
                    at = self.sub_blocks_end(data)?;
                }
                0x3b => return Some(at + 1),
                // Stray bytes: some decoders skip them, so whatever follows must be clean.
                _ => at += 1,
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.file.get(at).copied()
    }

    fn palette_bytes(&self, flags_at: usize) -> Option<usize> {
        let flags = self.byte(flags_at)?;
        Some(if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) })
    }

    fn sub_blocks_end(&self, mut at: usize) -> Option<usize> {
        loop {
            match self.byte(at)? {
                0 => return Some(at + 1),
                length => at += 1 + usize::from(length),
            }
        }
    }

    /// Returns the sub-blocks, or `None` if there are more than [`MAX_SUB_BLOCKS`].
    fn sub_blocks(&self, mut at: usize) -> Option<Pieces> {
        let mut pieces = Pieces::default();
        while let Some(length) = self.byte(at).filter(|&length| length != 0) {
            if pieces.0.len() == MAX_SUB_BLOCKS {
                return None;
            }
            pieces.0.push(at + 1..at + 1 + usize::from(length));
            at += 1 + usize::from(length);
        }
        Some(pieces)
    }

    /// Cleans an extension and returns where it ends.
    fn extension(&mut self, at: usize) -> Option<usize> {
        let start = at + 2;
        let end = self.sub_blocks_end(start)?;
        match self.byte(at + 1)? {
            0xff if self.byte(start) == Some(11) => {
                let name: [u8; 11] = *self.file.get(start + 1..)?.first_chunk()?;
                self.application(&name, start + 12, end);
            }
            0xfe => self.comment(start),
            // A Plain Text extension: the text follows a block with its grid and colours.
            0x01 => self.comment(start + 1 + usize::from(self.byte(start)?)),
            _ => {}
        }
        Some(end)
    }

    /// Cleans an application extension. `end` is after the terminator of the sub-blocks that start at `data`.
    fn application(&mut self, name: &[u8; 11], data: usize, end: usize) {
        let kind = match name {
            _ if name.starts_with(c2pa::GIF_NAME) => return self.manifest_store(data),
            b"XMP DataXMP" => Kind::Xmp,
            // ImageMagick's extensions, split into sub-blocks.
            b"MGKIPTC0000" | b"MGK8BIM0000" => Kind::Iptc,
            _ if name.eq_ignore_ascii_case(b"MGKEXIF0000") => Kind::Exif,
            _ if name.eq_ignore_ascii_case(b"MGKXMP0000\0") => Kind::Xmp,
            _ => return,
        };
        match self.packet(data, end).filter(|_| kind == Kind::Xmp) {
            Some(packet) => self.clean_packet(packet),
            None => self.clean_sub_blocks(kind, data),
        }
    }

    fn clean_packet(&mut self, packet: Range<usize>) {
        let Some(packet) = self.file.get_mut(packet) else { return };
        if clean_block(Kind::Xmp, packet, self.policy).changed() {
            self.changed = true;
            // The edit changed which bytes decoders read as lengths, and a zero among them would end the sub-blocks too early.
            packet.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        }
    }

    /// Returns the packet before a magic trailer.
    fn packet(&self, data: usize, end: usize) -> Option<Range<usize>> {
        let start = end.checked_sub(xmp::GIF_MAGIC_TRAILER_BYTES).filter(|&start| start >= data)?;
        let found = self.file.get(start..end)?;
        let magic = std::iter::once(1).chain((0..=255).rev()).chain([0]);
        found.iter().copied().eq(magic).then_some(data..start)
    }

    fn clean_sub_blocks(&mut self, kind: Kind, data: usize) {
        let Some(pieces) = self.sub_blocks(data) else { return self.wipe(data) };
        let mut whole = pieces.gather(self.file);
        if clean_block(kind, &mut whole, self.policy).changed() {
            pieces.scatter(self.file, &whole);
            self.changed = true;
        }
    }

    /// Removes C2PA's manifest store if required. Its name is blanked too, so that readers do not find an empty store.
    fn manifest_store(&mut self, data: usize) {
        let pieces = self.sub_blocks(data);
        if pieces.as_ref().is_some_and(|pieces| !c2pa::must_remove_split(self.file, pieces, self.policy)) {
            return;
        }
        self.wipe(data);
        if let Some(name) = self.file.get_mut(data - c2pa::GIF_BLANK_NAME.len()..data) {
            name.copy_from_slice(&c2pa::GIF_BLANK_NAME);
            self.changed = true;
        }
    }

    fn comment(&mut self, data: usize) {
        let Some(pieces) = self.sub_blocks(data) else { return self.wipe(data) };
        let mut comment = pieces.gather(self.file);
        if text::clean(&mut comment, Encoding::Bytes, self.policy) {
            pieces.scatter(self.file, &comment);
            self.changed = true;
        }
    }

    fn wipe(&mut self, mut at: usize) {
        while let Some(length) = self.byte(at).map(usize::from).filter(|&length| length != 0) {
            self.changed |= self.file.get_mut(at + 1..at + 1 + length).is_some_and(|data| fill(data, b' '));
            at += 1 + length;
        }
    }
}

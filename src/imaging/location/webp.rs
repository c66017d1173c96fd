//! WebP: the metadata chunks of the RIFF container (RFC 9649, chapter 2.7). They are edited in place. An empty chunk is dropped,
//! and so is its flag in the header.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::rebuild::Rebuild;
use super::{Outcome, Policy, c2pa, clean_block, fill, trailer};
use std::ops::Range;

const HEADER_BYTES: usize = 12;

/// Flags of VP8X.
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

/// Returns the cleaned file, or `None` if it has no location.
pub(super) fn clean(file: &[u8], policy: Policy) -> Option<Vec<u8>> {
    let size = u32::from_le_bytes(*file.get(4..)?.first_chunk()?);
    let end = (size as usize).saturating_add(8).min(file.len());
    let mut walk = Walk { rebuild: Rebuild::of(file), flags_at: None, kept: 0, dropped: 0, dropped_bytes: 0 };
    let at = walk.chunks(file.get(..end)?, policy);
    // Data after the last whole chunk is arbitrary, or chunks that a program appended without updating the RIFF size.
    if let Some(after) = file.get(at..).filter(|after| !after.is_empty()) {
        let mut after = after.to_vec();
        if uncounted_chunks(&mut after, at % 2, policy) | trailer::clean(&mut after, policy) {
            walk.rebuild.replace(at..file.len(), after);
        }
    }
    walk.finish(size)
}

/// Cleans chunks after the stated end of RIFF in place, which ExifTool and Pillow read, and returns whether there was a location.
/// The first may follow the padding of the previous chunk.
fn uncounted_chunks(after: &mut [u8], padding: usize, policy: Policy) -> bool {
    let mut changed = false;
    let mut at = padding;
    while let Some([name @ .., a, b, c, d]) = after.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied() {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let start = at + 8;
        // A truncated chunk is read up to the end of the file.
        let end = start.saturating_add(length).min(after.len());
        let Some(body) = after.get_mut(start..end) else { break };
        changed |= match &name {
            b"EXIF" => clean_block(Kind::Exif, body, policy).changed(),
            b"XMP " | b"XMP\0" => clean_block(Kind::Xmp, body, policy).changed(),
            b"C2PA" if c2pa::must_remove(body, policy) => fill(body, 0),
            _ => false,
        };
        at = end.saturating_add(length % 2);
    }
    changed
}

struct Walk<'a> {
    rebuild: Rebuild<'a>,
    /// The position of the VP8X flags.
    flags_at: Option<usize>,
    /// Flags of the chunks that stay.
    kept: u8,
    dropped: u8,
    dropped_bytes: usize,
}

impl Walk<'_> {
    /// Cleans the chunks and returns where the last whole one ends.
    fn chunks(&mut self, file: &[u8], policy: Policy) -> usize {
        let mut at = HEADER_BYTES.min(file.len());
        while let Some([name @ .., a, b, c, d]) = file.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied() {
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            let start = at + 8;
            let Some(body) = start.checked_add(length).and_then(|end| file.get(start..end)) else { break };
            // Chunks are padded to an even length; the padding of the last one may be missing.
            let end = (start + length + length % 2).min(file.len());
            self.chunk(name, body, at..end, policy);
            at = end;
        }
        at
    }

    fn chunk(&mut self, name: [u8; 4], body: &[u8], whole: Range<usize>, policy: Policy) {
        let (kind, flag) = match &name {
            b"VP8X" => {
                self.flags_at = self.flags_at.or(Some(whole.start + 8));
                return;
            }
            b"EXIF" => (Kind::Exif, HAS_EXIF),
            // Some writers use the second name by mistake.
            b"XMP " | b"XMP\0" => (Kind::Xmp, HAS_XMP),
            b"C2PA" if c2pa::must_remove(body, policy) => return self.drop(whole, 0),
            _ => return,
        };
        if body.len() > MAX_BLOCK_BYTES {
            return self.drop(whole, flag);
        }
        let mut block = body.to_vec();
        match clean_block(kind, &mut block, policy) {
            Outcome::Emptied => return self.drop(whole, flag),
            Outcome::Edited => self.rebuild.replace(whole.start + 8..whole.start + 8 + block.len(), block),
            Outcome::Unchanged => {}
        }
        self.kept |= flag;
    }

    fn drop(&mut self, whole: Range<usize>, flag: u8) {
        self.dropped |= flag;
        self.dropped_bytes += whole.len();
        self.rebuild.drop(whole);
    }

    fn finish(self, size: u32) -> Option<Vec<u8>> {
        let mut rebuilt = self.rebuild.finish()?;
        let gone = self.dropped & !self.kept;
        // VP8X is the first chunk, so nothing before it moved. Readers ignore it anywhere else.
        let flags = self.flags_at.filter(|&at| at == HEADER_BYTES + 8).and_then(|at| rebuilt.get_mut(at));
        if let Some(flags) = flags {
            *flags &= !gone;
        }
        // A size larger than the file stays larger.
        let left = u32::try_from(self.dropped_bytes).map_or(0, |dropped| size.saturating_sub(dropped));
        if let Some(field) = rebuilt.get_mut(4..).and_then(|rest| rest.first_chunk_mut()) {
            *field = left.to_le_bytes();
        }
        Some(rebuilt)
    }
}

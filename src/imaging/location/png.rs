//! PNG: walks the chunks (PNG 3rd edition, chapter 5), animated or not, and rewrites those with a location. The order of chunks
//! stays, and changed chunks get a new CRC.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::inflate::Inflater;
use super::png_text::{self, Change};
use super::rebuild::Rebuild;
use super::{Outcome, Policy, c2pa, clean_block, trailer, xmp};
use std::ops::Range;

const SIGNATURE_BYTES: usize = 8;

/// Returns the cleaned file, or `None` if it has no location.
pub(super) fn clean(file: &[u8], policy: Policy) -> Option<Vec<u8>> {
    let mut rebuild = Rebuild::of(file);
    let mut inflater = Inflater::new();
    let end = clean_chunks(file, SIGNATURE_BYTES, &mut rebuild, &mut inflater, policy);
    if let Some(after) = file.get(end..).filter(|after| !after.is_empty()) {
        // ExifTool reads chunks after the end as well.
        let mut rebuild_after = Rebuild::of(after);
        clean_chunks(after, 0, &mut rebuild_after, &mut inflater, policy);
        let rebuilt = rebuild_after.finish();
        let changed = rebuilt.is_some();
        let mut after = rebuilt.unwrap_or_else(|| after.to_vec());
        if trailer::clean(&mut after, policy) || changed {
            rebuild.replace(end..file.len(), after);
        }
    }
    rebuild.finish()
}

/// Cleans the chunks from `at` on, up to IEND or the first bytes that are not a chunk. Returns where they end.
fn clean_chunks<'a>(file: &'a [u8], mut at: usize, rebuild: &mut Rebuild<'a>, inflater: &mut Inflater, policy: Policy) -> usize {
    while let Some(chunk) = Chunk::at(file, at) {
        match chunk.clean(inflater, policy) {
            Change::Keep => {}
            Change::Drop => rebuild.drop(chunk.whole.clone()),
            Change::Replace(body) => match write(chunk.name, &body) {
                Some(written) => rebuild.replace(chunk.whole.clone(), written),
                None => rebuild.drop(chunk.whole.clone()),
            },
        }
        at = chunk.whole.end;
        if chunk.name == *b"IEND" {
            break;
        }
    }
    at
}

struct Chunk<'a> {
    name: [u8; 4],
    body: &'a [u8],
    /// Including length, type and CRC.
    whole: Range<usize>,
}

impl<'a> Chunk<'a> {
    fn at(file: &'a [u8], at: usize) -> Option<Self> {
        let [a, b, c, d, name @ ..] = *file.get(at..)?.first_chunk::<8>()?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let body = file.get(at + 8..(at + 8).checked_add(length)?)?;
        let end = at + 8 + length + 4;
        (end <= file.len()).then_some(Chunk { name, body, whole: at..end })
    }

    fn clean(&self, inflater: &mut Inflater, policy: Policy) -> Change {
        match &self.name {
            // Readers ignore the case of the type.
            name if name.eq_ignore_ascii_case(b"eXIf") => self.exif(policy),
            name if name.eq_ignore_ascii_case(b"zxIf") => self.compressed_exif(inflater, policy),
            b"tEXt" | b"zTXt" | b"iTXt" => png_text::clean(&self.name, self.body, inflater, policy),
            b"meTa" => self.xml(policy),
            b"caBX" if c2pa::must_remove(self.body, policy) => Change::Drop,
            _ => Change::Keep,
        }
    }

    fn exif(&self, policy: Policy) -> Change {
        if self.body.len() > MAX_BLOCK_BYTES {
            return Change::Drop;
        }
        let mut block = self.body.to_vec();
        match clean_block(Kind::Exif, &mut block, policy) {
            Outcome::Unchanged => Change::Keep,
            Outcome::Edited => Change::Replace(block),
            Outcome::Emptied => Change::Drop,
        }
    }

    /// Cleans metadata in XML without namespaces, usually in UTF-16.
    fn xml(&self, policy: Policy) -> Change {
        if self.body.len() > MAX_BLOCK_BYTES {
            return Change::Drop;
        }
        let mut block = self.body.to_vec();
        match xmp::clean_plain(&mut block, policy) {
            Outcome::Unchanged => Change::Keep,
            Outcome::Edited => Change::Replace(block),
            Outcome::Emptied => Change::Drop,
        }
    }

    /// Cleans a chunk of a withdrawn proposal: a zero, the length, zlib. It is too rare to be compressed again, so it is dropped.
    fn compressed_exif(&self, inflater: &mut Inflater, policy: Policy) -> Change {
        let inflated = self.body.get(5..).and_then(|zlib| inflater.inflate(zlib));
        match inflated.map(|mut exif| clean_block(Kind::Exif, &mut exif, policy)) {
            Some(Outcome::Unchanged) => Change::Keep,
            _ => Change::Drop,
        }
    }
}

/// Returns the chunk, or `None` if the body is too long for one.
fn write(name: [u8; 4], body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok()?;
    let mut checksum = flate2::Crc::new();
    checksum.update(&name);
    checksum.update(body);
    Some([&length.to_be_bytes()[..], &name, body, &checksum.sum().to_be_bytes()].concat())
}

//! Photoshop image resources (Adobe Photoshop File Formats Specification, "Image Resource Blocks"). Cleans IPTC, EXIF, XMP and
//! the metadata of thumbnails in place; paths, slices and all other resources stay. Sizes never change, and so neither do
//! offsets.

use super::block::Kind;
use super::{Outcome, Policy, clean_block, clean_embedded_jpegs, text};
use md5::{Digest, Md5};
use std::ops::Range;

/// Signatures of a resource. The first is Photoshop's, the others came from other Adobe products of its time.
const SIGNATURES: [&[u8; 4]; 5] = [b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"];

const IPTC: u16 = 0x0404;
const EXIF: u16 = 0x0422;
const EXIF_3: u16 = 0x0423;
const XMP: u16 = 0x0424;
const IPTC_DIGEST: u16 = 0x0425;

/// The old caption (a Pascal string) and the URL.
const CAPTION: u16 = 0x03f0;
const URL: u16 = 0x040b;

/// Thumbnails: a JPEG after a header. The first ID is Photoshop 4.0's.
const THUMBNAILS: [u16; 2] = [0x0409, 0x040c];

pub(super) fn recognises(block: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| block.starts_with(*signature))
}

pub(super) fn clean(block: &mut [u8], policy: Policy) -> Outcome {
    clean_resources(block, Truncated::Clean, policy)
}

/// How to treat a resource that is longer than the block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Truncated {
    /// Clean it as if it ended with the block.
    Clean,
    /// Skip it: the rest is in the next segment, and the joined block was cleaned already.
    Skip,
}

pub(super) fn clean_resources(block: &mut [u8], truncated: Truncated, policy: Policy) -> Outcome {
    let resources = find(block, truncated);
    let digest = IptcDigest::of(block, &resources);
    let mut outcome = Outcome::Unchanged;
    let mut iptc_changed = false;
    for (id, range) in &resources {
        let Some(data) = block.get_mut(range.clone()) else { continue };
        let kind = match *id {
            IPTC => Kind::Iptc,
            EXIF | EXIF_3 => Kind::Exif,
            XMP => Kind::Xmp,
            CAPTION | URL => {
                let skip = usize::from(*id == CAPTION).min(data.len());
                if data.get_mut(skip..).is_some_and(|words| text::clean_any(words, policy)) {
                    outcome = Outcome::Edited;
                }
                continue;
            }
            id if THUMBNAILS.contains(&id) => {
                if policy.levels > 1 && clean_embedded_jpegs(data, policy.nested()) {
                    outcome = Outcome::Edited;
                }
                continue;
            }
            _ => continue,
        };
        if clean_block(kind, data, policy.nested()).changed() {
            outcome = Outcome::Edited;
            iptc_changed |= *id == IPTC;
        }
    }
    if iptc_changed {
        digest.update(block, &resources);
    }
    outcome
}

/// Returns the IDs and data ranges of the resources that can hold a location.
fn find(block: &[u8], truncated: Truncated) -> Vec<(u16, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = block.get(at..).filter(|rest| rest.len() >= 12) {
        if !recognises(rest) {
            // Padding, or the boundary of two segments.
            match memchr::memmem::find(rest, SIGNATURES[0]) {
                Some(skip) => at += skip,
                None => break,
            }
            continue;
        }
        let Some((id, mut range)) = resource(block, at) else { break };
        let next = range.end + range.len() % 2;
        if range.end > block.len() {
            if truncated == Truncated::Skip {
                // A later resource may still be whole.
                at += 4;
                continue;
            }
            range.end = block.len();
        }
        if matches!(id, IPTC | EXIF | EXIF_3 | XMP | IPTC_DIGEST | CAPTION | URL) || THUMBNAILS.contains(&id) {
            found.push((id, range));
        }
        at = next;
    }
    found
}

/// Returns the ID and the data range of the resource at `at`. The range may exceed the block.
fn resource(block: &[u8], at: usize) -> Option<(u16, Range<usize>)> {
    let id = u16::from_be_bytes(*block.get(at + 4..)?.first_chunk()?);
    let name = usize::from(*block.get(at + 6)?);
    // The name is a Pascal string, padded to an even length including its length byte.
    let size_at = at + 6 + (name + 2) / 2 * 2;
    let size = u32::from_be_bytes(*block.get(size_at..)?.first_chunk()?) as usize;
    let start = size_at + 4;
    Some((id, start..start.checked_add(size)?))
}

/// The MD5 that Photoshop stores of its IPTC block, to detect later that another program changed it and XMP is outdated.
struct IptcDigest {
    /// Whether the stored digest matched the block.
    was_valid: bool,
}

impl IptcDigest {
    fn of(block: &[u8], resources: &[(u16, Range<usize>)]) -> Self {
        let noted = data(block, resources, IPTC_DIGEST).filter(|noted| noted.len() == 16);
        let was_valid = noted.is_some_and(|noted| digest_of_iptc(block, resources).is_some_and(|digest| noted == digest));
        IptcDigest { was_valid }
    }

    /// Recomputes a digest that matched. One that did not match is zeroed: it is the digest of an earlier block with its
    /// location.
    fn update(&self, block: &mut [u8], resources: &[(u16, Range<usize>)]) {
        let digest = digest_of_iptc(block, resources).filter(|_| self.was_valid).unwrap_or_default();
        for (_, range) in resources.iter().filter(|(id, _)| *id == IPTC_DIGEST) {
            let Some(noted) = block.get_mut(range.clone()) else { continue };
            noted.fill(0);
            for (byte, new) in noted.iter_mut().zip(digest) {
                *byte = new;
            }
        }
    }
}

fn digest_of_iptc(block: &[u8], resources: &[(u16, Range<usize>)]) -> Option<[u8; 16]> {
    Some(Md5::digest(data(block, resources, IPTC)?).into())
}

fn data<'a>(block: &'a [u8], resources: &[(u16, Range<usize>)], wanted: u16) -> Option<&'a [u8]> {
    let (_, range) = resources.iter().find(|(id, _)| *id == wanted)?;
    block.get(range.clone())
}

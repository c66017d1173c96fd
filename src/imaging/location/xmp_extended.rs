//! Extended XMP (XMP part 3, 1.1.3.1): a second packet, split over many JPEG segments. Each segment and the main packet identify
//! it by a GUID, the MD5 of the whole packet, so an edit has to replace the GUID everywhere.

use super::block::{Kind, MAX_BLOCK_BYTES};
use super::pieces::Pieces;
use super::{Policy, clean_block, fill, is_blank};
use md5::{Digest, Md5};
use std::collections::HashMap;
use std::ops::Range;

pub(super) const HEADER: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

const GUID_BYTES: usize = 32;
type Guid = [u8; GUID_BYTES];

/// The extended packets of one JPEG, by GUID.
#[derive(Default)]
pub(super) struct Extended(HashMap<Guid, Vec<Part>>);

/// One segment.
struct Part {
    /// The range of its GUID in the file; two numbers and the data follow.
    guid: Range<usize>,
    /// The length of the whole packet in bytes.
    whole: u32,
    /// The offset of its data in the packet.
    offset: u32,
    data: Range<usize>,
}

impl Extended {
    /// Adds the segment with this `body`, which starts with [`HEADER`].
    pub fn add(&mut self, file: &[u8], body: Range<usize>) {
        let start = body.start + HEADER.len();
        let Some(head) = file.get(start..body.end).and_then(|rest| rest.first_chunk::<{ GUID_BYTES + 8 }>()) else { return };
        let Some((guid, numbers)) = head.split_first_chunk::<GUID_BYTES>() else { return };
        let Some((whole, offset)) = numbers.split_first_chunk::<4>() else { return };
        let Some(offset) = offset.first_chunk::<4>() else { return };
        let part = Part {
            guid: start..start + GUID_BYTES,
            whole: u32::from_be_bytes(*whole),
            offset: u32::from_be_bytes(*offset),
            data: start + GUID_BYTES + 8..body.end,
        };
        self.0.entry(*guid).or_default().push(part);
    }

    /// Cleans all packets and replaces their GUIDs in the `main` packets. Returns whether anything changed.
    pub fn finish(self, file: &mut [u8], main: &[Range<usize>], policy: Policy) -> bool {
        let mut renamed = HashMap::new();
        for (guid, parts) in self.0 {
            if let Some(new) = clean(file, parts, policy) {
                renamed.insert(guid, new);
            }
        }
        if renamed.is_empty() {
            return false;
        }
        for packet in main {
            if let Some(packet) = file.get_mut(packet.clone()) {
                rename(packet, &renamed);
            }
        }
        true
    }
}

/// Returns the new GUID of the packet if it changed.
fn clean(file: &mut [u8], mut parts: Vec<Part>, policy: Policy) -> Option<Guid> {
    parts.sort_by_key(|part| part.offset);
    let is_whole = is_whole(&parts);
    let (guids, data): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.guid, part.data)).unzip();
    let (guids, data) = (Pieces(guids), Pieces(data));
    if !is_whole || data.bytes() > MAX_BLOCK_BYTES {
        // The old GUID is removed with its packet, since it is a digest of it.
        let wiped = data.each(file, |data| !is_blank(data) && fill(data, b' '));
        return wiped.then(|| write_guid(file, &guids, [b'0'; GUID_BYTES]));
    }
    let mut packet = data.gather(file);
    if !clean_block(Kind::Xmp, &mut packet, policy).changed() {
        return None;
    }
    data.scatter(file, &packet);
    let digest: [u8; 16] = Md5::digest(&packet).into();
    Some(write_guid(file, &guids, hex(digest)))
}

fn is_whole(parts: &[Part]) -> bool {
    let mut at = 0;
    for part in parts {
        if u64::from(part.offset) != at {
            return false;
        }
        at += part.data.len() as u64;
    }
    parts.iter().all(|part| u64::from(part.whole) == at)
}

fn write_guid(file: &mut [u8], guids: &Pieces, guid: Guid) -> Guid {
    guids.each(file, |old| {
        for (byte, new) in old.iter_mut().zip(guid) {
            *byte = new;
        }
        true
    });
    guid
}

/// Returns the digest in upper case, as the specification requires.
fn hex(digest: [u8; 16]) -> Guid {
    let mut text = [0; GUID_BYTES];
    for (place, digit) in text.iter_mut().zip(digest.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
        *place = char::from_digit(u32::from(digit), 16).map_or(b'0', |digit| digit.to_ascii_uppercase() as u8);
    }
    text
}

/// Replaces GUIDs in `xmpNote:HasExtendedXMP`: every run of 32 hexadecimal digits that is a changed GUID.
fn rename(packet: &mut [u8], renamed: &HashMap<Guid, Guid>) {
    let mut run = 0;
    for at in 0..packet.len() {
        let digit = packet.get(at).is_some_and(u8::is_ascii_hexdigit);
        run = if digit { run + 1 } else { 0 };
        if run < GUID_BYTES {
            continue;
        }
        let Some(guid) = packet.get_mut(at + 1 - GUID_BYTES..).and_then(|rest| rest.first_chunk_mut::<GUID_BYTES>()) else {
            continue;
        };
        if let Some(new) = renamed.get(&guid.to_ascii_uppercase()[..]).or_else(|| renamed.get(&guid[..])) {
            *guid = *new;
            run = 0;
        }
    }
}

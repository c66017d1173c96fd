//! The video of a motion photo: MP4 and QuickTime boxes (ISO 14496-12, QuickTime File Format). A box with a location becomes a
//! `free` box of the same size. Tracks are not entered, so timed positions in them stay.

use super::block::Kind;
use super::{Outcome, Policy, clean_block, fill, gopro};
use memchr::memmem;
use std::ops::Range;

/// moov, udta, meta, ilst, an item, its data.
const MAX_DEPTH: u8 = 8;

/// The UUID of a box with an XMP packet (XMP part 3, 2.1.3.2).
const XMP_UUID: [u8; 16] = [0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac];

/// Cleans every video in `bytes`, which may be arbitrary data.
pub(super) fn clean(bytes: &mut [u8], policy: Policy) -> bool {
    let mut video = Video { bytes, policy, changed: false };
    let mut at = 0;
    while let Some(skip) = video.bytes.get(at..).and_then(|rest| memmem::find(rest, b"ftyp")) {
        let name = at + skip;
        // The size precedes the name. Boxes that were walked are not searched again.
        at = name.checked_sub(4).map_or(name, |start| video.walk(start..video.bytes.len(), 0)).max(name + 4);
    }
    video.changed
}

struct Video<'a> {
    bytes: &'a mut [u8],
    policy: Policy,
    changed: bool,
}

#[derive(Clone)]
struct Box {
    name: [u8; 4],
    body: Range<usize>,
}

impl Video<'_> {
    /// Visits the boxes of a range and returns where they end.
    fn walk(&mut self, range: Range<usize>, depth: u8) -> usize {
        let mut at = range.start;
        while let Some(found) = self.at(at, range.end) {
            at = found.body.end;
            self.enter(found, depth);
        }
        at
    }

    fn at(&self, at: usize, limit: usize) -> Option<Box> {
        let head: [u8; 8] = *self.bytes.get(at..limit)?.first_chunk()?;
        let [a, b, c, d, name @ ..] = head;
        let (skip, size) = match u32::from_be_bytes([a, b, c, d]) {
            // The box extends to the end of the file.
            0 => (8, limit - at),
            1 => (16, usize::try_from(u64::from_be_bytes(*self.bytes.get(at + 8..limit)?.first_chunk()?)).ok()?),
            size => (8, size as usize),
        };
        let end = at.checked_add(size)?;
        (size >= skip && end <= limit).then_some(Box { name, body: at + skip..end })
    }

    fn enter(&mut self, found: Box, depth: u8) {
        if depth == MAX_DEPTH {
            return;
        }
        match &found.name {
            b"\xa9xyz" | b"@xyz" | b"loci" | b"gps " => self.free(&found),
            b"moov" | b"udta" | b"trak" | b"mdia" | b"minf" => {
                self.walk(found.body, depth + 1);
            }
            b"meta" => self.meta(found.body, depth + 1),
            b"XMP_" => self.xmp(found.body),
            b"GPMF" => self.changed |= self.bytes.get_mut(found.body).is_some_and(gopro::clean),
            b"uuid" if self.bytes.get(found.body.clone()).is_some_and(|body| body.starts_with(&XMP_UUID)) => {
                self.xmp(found.body.start + XMP_UUID.len()..found.body.end);
            }
            _ => {}
        }
    }

    fn free(&mut self, found: &Box) {
        let name = found.body.start.checked_sub(4).and_then(|start| self.bytes.get_mut(start..found.body.start));
        if let Some(name) = name.filter(|name| **name == found.name) {
            name.copy_from_slice(b"free");
            self.changed = true;
        }
        self.changed |= self.bytes.get_mut(found.body.clone()).is_some_and(|body| fill(body, 0));
    }

    fn xmp(&mut self, range: Range<usize>) {
        let outcome = self.bytes.get_mut(range).map(|packet| clean_block(Kind::Xmp, packet, self.policy));
        self.changed |= outcome.is_some_and(Outcome::changed);
    }

    /// Cleans Apple's and Android's metadata: a list of names (`keys`) and values (`ilst`). The type of each value box is the
    /// index of its name in that list.
    fn meta(&mut self, body: Range<usize>, depth: u8) {
        // ISO's `meta` box starts with version and flags, QuickTime's does not.
        let versioned = self.bytes.get(body.clone()).is_some_and(|body| body.starts_with(&[0; 4]));
        let boxes = if versioned { body.start + 4..body.end } else { body };
        let mut location_keys = Vec::new();
        let mut at = boxes.start;
        while let Some(found) = self.at(at, boxes.end) {
            at = found.body.end;
            match &found.name {
                b"keys" => location_keys = self.location_keys(found.body),
                b"ilst" => self.items(found.body, &location_keys),
                _ => self.enter(found, depth),
            }
        }
    }

    /// Returns the indexes, from 1, of the keys that name a location, in ascending order.
    fn location_keys(&self, keys: Range<usize>) -> Vec<u32> {
        let mut location_keys = Vec::new();
        let mut at = keys.start + 8;
        let mut number = 1;
        while let Some(key) = self.at(at, keys.end) {
            at = key.body.end;
            let name = self.bytes.get(key.body).unwrap_or_default();
            if memmem::find(name, b".location").is_some() || super::keywords::is_location_name(name) {
                location_keys.push(number);
            }
            number += 1;
        }
        location_keys
    }

    fn items(&mut self, range: Range<usize>, location_keys: &[u32]) {
        let mut at = range.start;
        while let Some(item) = self.at(at, range.end) {
            at = item.body.end;
            let is_location = location_keys.binary_search(&u32::from_be_bytes(item.name)).is_ok();
            if is_location || item.name == *b"\xa9xyz" {
                self.free(&item);
            }
        }
    }
}

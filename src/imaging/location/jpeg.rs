//! JPEG: walks the markers (ITU-T T.81, annex B) through all scans to the end of the picture, and hands each metadata segment
//! on. Picture data is never written. What follows the picture belongs to [`super::trailer`].

use super::segments::{Content, Segments};
use super::{Policy, trailer};
use std::ops::Range;

/// Removes the location in place, whether there was one.
pub(super) fn clean(file: &mut [u8], policy: Policy) -> bool {
    let mut segments = Segments::new(policy);
    let end = walk(file, &mut segments);
    let changed = segments.finish(file);
    changed | trailer::clean(file.get_mut(end..).unwrap_or_default(), policy)
}

/// A packet whose writer noted too small a length goes on in the bytes before the next marker, which every reader passes over.
fn with_stray_bytes(file: &[u8], body: Range<usize>) -> Range<usize> {
    let stray = file.get(body.end..).and_then(|rest| memchr::memchr(0xff, rest)).unwrap_or(0);
    body.start..body.end + stray
}

/// Where the picture ends. Stray bytes are passed over, as libjpeg does.
fn walk(file: &mut [u8], segments: &mut Segments) -> usize {
    let mut at = 2;
    while let Some(skip) = file.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += skip + 1;
        // Any number of fill bytes may stand before a marker.
        at += file.get(at..).unwrap_or_default().iter().take_while(|&&byte| byte == 0xff).count();
        let Some(&marker) = file.get(at) else { break };
        at += 1;
        match marker {
            0xd9 => return at,
            // Stuffed bytes and restarts inside of a scan, and codes that begin no segment for the decoders either.
            0x00..=0xbf | 0xc8 | 0xd0..=0xd8 | 0xf0..=0xfd => continue,
            _ => {}
        }
        let Some(&length) = file.get(at..).and_then(|rest| rest.first_chunk()) else { break };
        let length = usize::from(u16::from_be_bytes(length));
        // A segment that is cut off is cleaned as far as it goes.
        let body = (at + 2).min(file.len())..(at + length.max(2)).min(file.len());
        at = body.end;
        let content = file.get(body.clone()).and_then(|bytes| Content::of(marker, bytes));
        if let Some(content) = content {
            let body = if content == Content::Xmp { with_stray_bytes(file, body) } else { body };
            segments.add(file, content, body);
        }
    }
    file.len()
}

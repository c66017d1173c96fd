//! JPEG: walks the markers (ITU-T T.81, annex B) through all scans to the end of the image, and passes each metadata segment on.
//! Image data is never written. [`super::trailer`] cleans the data after the image.

use super::segments::{Content, Segments};
use super::{Policy, trailer};
use std::ops::Range;

/// Removes the location in place and returns whether there was one.
pub(super) fn clean(file: &mut [u8], policy: Policy) -> bool {
    let mut segments = Segments::new(policy);
    let end = walk(file, &mut segments);
    let changed = segments.finish(file);
    changed | trailer::clean(file.get_mut(end..).unwrap_or_default(), policy)
}

/// Extends an XMP packet whose stated length is too small: it continues in the bytes before the next marker, which every reader
/// skips.
fn with_stray_bytes(file: &[u8], body: Range<usize>) -> Range<usize> {
    let stray = file.get(body.end..).and_then(|rest| memchr::memchr(0xff, rest)).unwrap_or(0);
    body.start..body.end + stray
}

/// Adds all metadata segments and returns where the image ends. Stray bytes are skipped, as libjpeg does.
fn walk(file: &mut [u8], segments: &mut Segments) -> usize {
    let mut at = 2;
    while let Some(skip) = file.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += skip + 1;
        // Any number of fill bytes may precede a marker.
        at += file.get(at..).unwrap_or_default().iter().take_while(|&&byte| byte == 0xff).count();
        let Some(&marker) = file.get(at) else { break };
        at += 1;
        match marker {
            0xd9 => return at,
            // Stuffed bytes and restart markers within a scan, and codes that do not begin a segment for decoders either.
            0x00..=0xbf | 0xc8 | 0xd0..=0xd8 | 0xf0..=0xfd => continue,
            _ => {}
        }
        let Some(&length) = file.get(at..).and_then(|rest| rest.first_chunk()) else { break };
        let length = usize::from(u16::from_be_bytes(length));
        // A truncated segment is cleaned up to the end of the file.
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

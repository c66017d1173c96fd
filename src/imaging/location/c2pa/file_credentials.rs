//! Finds the Content Credentials of a file: the manifest store, or a reference to one in its XMP. Searches only where the
//! specification puts them (C2PA 2.2, annex A), before the image data, so the cost is negligible.

use super::super::pieces::Pieces;
use super::super::xmp::GIF_MAGIC_TRAILER_BYTES;
use super::{app11, reference, store};
use crate::model::image::Format;
use std::ops::Range;

/// The Content Credentials of a file.
#[derive(Debug, Default)]
pub(in super::super) struct FileCredentials {
    store: Option<Store>,
    has_reference: bool,
}

#[derive(Debug)]
struct Store {
    /// The bytes of the store.
    pieces: Pieces,
    /// Including everything that the container puts around them.
    whole: Vec<Range<usize>>,
}

const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const PNG_XMP_HEADER: &[u8] = b"XML:com.adobe.xmp\0\0\0";

impl FileCredentials {
    pub fn find_in(file: &[u8], format: Format) -> Self {
        let mut found = FileCredentials::default();
        // For a truncated file, whatever was found before the cut counts.
        match format {
            Format::Jpeg => found.jpeg(file),
            Format::Png => found.png(file),
            Format::Webp => found.webp(file),
            Format::Gif => found.gif(file),
        };
        found
    }

    pub fn is_present(&self) -> bool {
        self.store.is_some() || self.has_reference
    }

    /// Returns whether the manifest is the same in `before` and `after`, and its hash excludes every byte that differs between
    /// them.
    ///
    /// A referenced manifest is not available, so a reference alone is never valid.
    pub fn stays_valid(&self, before: &[u8], after: &[u8]) -> bool {
        let Some(found) = self.store.as_ref().filter(|_| before.len() == after.len()) else { return false };
        let is_same = |range: &Range<usize>| before.get(range.clone()) == after.get(range.clone());
        if !found.whole.iter().all(is_same) || found.pieces.bytes() > store::MAX_STORE_BYTES {
            return false;
        }
        let Some(mut exclusions) = store::exclusions(&found.pieces.gather(before)) else { return false };
        exclusions.sort_unstable();
        let mut at = 0;
        for (start, length) in exclusions {
            let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else { return false };
            let Some(end) = start.checked_add(length).filter(|&end| end <= before.len()) else { return false };
            if start > at && !is_same(&(at..start)) {
                return false;
            }
            at = at.max(end);
        }
        is_same(&(at..before.len()))
    }

    fn jpeg(&mut self, file: &[u8]) -> Option<()> {
        let mut bodies = Vec::new();
        let mut at = 2;
        let store = |bodies: &[Range<usize>]| {
            let found = app11::join(file, bodies).into_iter().find(|found| found.is_manifest_store)?;
            // Including marker and length.
            let whole = found.bodies.iter().map(|body| body.start - 4..body.end).collect();
            Some(Store { pieces: found.pieces, whole })
        };
        while let Some(&[0xff, marker, high, low]) = file.get(at..).and_then(|rest| rest.first_chunk()) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
            let Some(body) = file.get(at + 4..end).filter(|_| marker != 0xda) else { break };
            match marker {
                0xeb if body.starts_with(b"JP") => bodies.push(at + 4..end),
                0xe1 => self.xmp(body.strip_prefix(XMP_HEADER)),
                _ => {}
            }
            at = end;
        }
        self.store = store(&bodies);
        Some(())
    }

    fn png(&mut self, file: &[u8]) -> Option<()> {
        let mut at = 8;
        loop {
            let [a, b, c, d, name @ ..] = *file.get(at..)?.first_chunk::<8>()?;
            let body = at + 8..(at + 8).checked_add(u32::from_be_bytes([a, b, c, d]) as usize)?;
            let bytes = file.get(body.clone())?;
            match &name {
                b"caBX" => self.chunk(body.clone(), at..body.end + 4),
                b"iTXt" => self.xmp(bytes.strip_prefix(PNG_XMP_HEADER)),
                b"IEND" => return Some(()),
                _ => {}
            }
            at = body.end + 4;
        }
    }

    fn webp(&mut self, file: &[u8]) -> Option<()> {
        let mut at = 12;
        loop {
            let [name @ .., a, b, c, d] = *file.get(at..)?.first_chunk::<8>()?;
            let body = at + 8..(at + 8).checked_add(u32::from_le_bytes([a, b, c, d]) as usize)?;
            let bytes = file.get(body.clone())?;
            match &name {
                b"C2PA" => self.chunk(body.clone(), at..body.end),
                b"XMP " => self.xmp(Some(bytes)),
                _ => {}
            }
            at = body.end + body.len() % 2;
        }
    }

    fn gif(&mut self, file: &[u8]) -> Option<()> {
        let flags = *file.get(10)?;
        let mut at = 13 + if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
        // Extensions, up to the first image.
        while file.get(at)? == &0x21 {
            let start = at;
            let name = file.get(at + 3..at + 14).filter(|_| file.get(at + 1..at + 3) == Some(&[0xff, 11])).unwrap_or_default();
            at += 2;
            let mut pieces = Pieces::default();
            while let Some(length) = file.get(at).map(|&length| usize::from(length)).filter(|&length| length > 0) {
                pieces.0.push(at + 1..at + 1 + length);
                at += 1 + length;
            }
            at += 1;
            if name.starts_with(super::GIF_NAME) {
                pieces.0.remove(0);
                let whole = start..at;
                self.store.get_or_insert(Store { pieces, whole: vec![whole] });
            } else if name == b"XMP DataXMP" {
                // The magic trailer after every packet is not XML.
                self.xmp(file.get(start + 14..at.saturating_sub(GIF_MAGIC_TRAILER_BYTES)));
            }
        }
        Some(())
    }

    fn chunk(&mut self, body: Range<usize>, whole: Range<usize>) {
        self.store.get_or_insert(Store { pieces: Pieces(vec![body]), whole: vec![whole] });
    }

    fn xmp(&mut self, packet: Option<&[u8]>) {
        self.has_reference |= packet.is_some_and(reference::is_in);
    }
}

//! Normalises a file for libjpeg: keeps exactly the segments and scans that our own decoder reads. Both decoders then see the
//! same image, whatever stray bytes the file contains.

use super::coverage::Coverage;
use super::decode_error::DecodeError;
use super::scan_reader::ScanReader;
use super::segments::{EOI, SOI};
use std::borrow::Cow;

/// Returns the file itself if it has no stray bytes, as nearly all do, and a normalised copy otherwise. An unreadable file is
/// returned unchanged.
pub(super) fn normalized(file: &[u8], max_scans: u32) -> Cow<'_, [u8]> {
    let mut reader = ScanReader::new(file, max_scans);
    match read_scans(&mut reader) {
        Ok(()) if !reader.has_no_stray_bytes() => copy(file, max_scans),
        _ => Cow::Borrowed(file),
    }
}

/// Returns a normalised copy, or the file itself if it is unreadable.
pub(super) fn copy(file: &[u8], max_scans: u32) -> Cow<'_, [u8]> {
    let mut reader = ScanReader::new(file, max_scans);
    reader.segments.copy = Some(vec![0xff, SOI]);
    match (read_scans(&mut reader), reader.segments.copy) {
        (Ok(()), Some(mut copy)) => {
            copy.extend([0xff, EOI]);
            Cow::Owned(copy)
        }
        _ => Cow::Borrowed(file),
    }
}

/// Reads all headers and skips the data of the scans. Truncates the copy at the end of the last scan.
fn read_scans(reader: &mut ScanReader) -> Result<(), DecodeError> {
    let frame = reader.read_to_frame()?;
    let mut coverage = Coverage::new(&frame);
    let mut copied = 0;
    while reader.next_scan(&frame, &mut coverage)?.is_some() {
        reader.segments.skip_scan();
        copied = reader.segments.copy.as_ref().map_or(0, Vec::len);
    }
    if let Some(copy) = &mut reader.segments.copy {
        copy.truncate(copied);
    }
    Ok(())
}

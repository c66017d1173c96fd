//! A file as libjpeg is to see it: the segments and scans that the decoder of our own reads, and no other byte. So both
//! decoders see the same image, however untidy its file is.

use super::coverage::Coverage;
use super::decode_error::DecodeError;
use super::scan_reader::ScanReader;
use super::segments::{EOI, SOI};
use std::borrow::Cow;

/// The file itself when it is tidy, which nearly all are; otherwise a copy of what counts. A file that cannot be followed is
/// left as it is.
pub(super) fn normalized(file: &[u8], max_scans: u32) -> Cow<'_, [u8]> {
    let mut reader = ScanReader::new(file, max_scans);
    match read_scans(&mut reader) {
        Ok(()) if !reader.has_no_stray_bytes() => copy(file, max_scans),
        _ => Cow::Borrowed(file),
    }
}

/// A copy of what counts.
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

/// Reads all headers and passes over the scans. Copies as far as to the end of the last one.
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

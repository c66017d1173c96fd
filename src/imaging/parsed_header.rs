//! What the header reader of each format returns.

use super::decode_target::DecodeTarget;
use super::{Kind, profile};
use std::ops::Range;

/// The parsed header of a file.
pub(super) struct ParsedHeader {
    pub kind: Kind,
    /// As stored.
    pub width: u32,
    /// As stored.
    pub height: u32,
    /// Where the EXIF block (its TIFF header) is in the file.
    pub exif: Option<Range<usize>>,
    pub profile: Option<profile::ColorSource>,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    pub target: DecodeTarget,
    /// Peak memory of the decoder, including the image that it outputs.
    pub decoder_bytes: u64,
    /// Bytes of the image that the decoder outputs.
    pub image_bytes: u64,
}

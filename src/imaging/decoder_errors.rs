//! What the decoders of PNG, GIF and WebP say of a damaged file, as sentences for the person who sent it.
//!
//! Two of the libraries keep the kind of their errors to themselves and only print it, for developers. So their texts are
//! recognised by how they begin. A text that is not known here, of a newer version perhaps, becomes a general sentence: no
//! library's words ever reach a client.

use super::error::Error;
use libwebp_sys::VP8StatusCode;
use std::io::ErrorKind;

pub(super) fn png(error: png::DecodingError) -> Error {
    use png::DecodingError::{Format, IoError, LimitsExceeded, Parameter};
    match error {
        IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Error::truncated("the PNG data"),
        IoError(error) if error.kind() == ErrorKind::InvalidData => Error::corrupt(PNG_STRUCTURE),
        Format(error) => Error::corrupt(reason(&error.to_string(), PNG_REASONS, PNG_STRUCTURE)),
        LimitsExceeded => Error::corrupt("the PNG has chunks of an impossible size"),
        IoError(error) => Error::internal(format!("reading a PNG: {error}")),
        Parameter(error) => Error::internal(format!("reading a PNG: {error}")),
    }
}

const PNG_STRUCTURE: &str = "the PNG is not put together as the format demands";

const PNG_REASONS: &[(&str, &str)] = &[
    ("CRC error", "a checksum of the PNG does not match its data"),
    ("Corrupt deflate stream", "the compressed image data of the PNG is invalid"),
    ("IDAT or fDAT chunk does not have enough data", "the PNG has fewer rows than its header says"),
    ("IDAT or fdAT chunk is missing", "the PNG has no image data"),
    ("Missing palette", "the PNG has no palette although its pixels need one"),
    ("Invalid color/depth combination", "the PNG header has a colour type and a bit depth that do not go together"),
    ("Invalid bit depth", "the PNG header has a bit depth that does not exist"),
    ("Invalid color type", "the PNG header has a colour type that does not exist"),
    ("Unknown compression method", "the PNG header has a compression method that does not exist"),
    ("Unknown interlace method", "the PNG header has an interlace method that does not exist"),
    // Of the header, or of a row.
    ("Unknown filter method", "the PNG uses a filter that does not exist"),
    ("Unrecognized critical chunk", "the PNG needs a chunk of an unknown type"),
    ("Chunk length wrong", "a chunk of the PNG has the wrong length"),
    ("Sequence is not in order", "the frames of the animated PNG are out of order"),
    ("Unexpected restart", "the PNG has image data in two places"),
];

pub(super) fn gif(error: gif::DecodingError) -> Error {
    use gif::DecodingError::{EndCodeNotFound, Format, Io, LzwError, MemoryLimit, OutOfMemory, UnexpectedEof};
    match error {
        UnexpectedEof => Error::truncated("the GIF data"),
        LzwError(_) | EndCodeNotFound => Error::corrupt(GIF_DATA),
        Format(error) => Error::corrupt(reason(&error.to_string(), GIF_REASONS, GIF_STRUCTURE)),
        MemoryLimit => Error::corrupt("the GIF has blocks of an impossible size"),
        OutOfMemory => Error::internal("the GIF decoder got no memory"),
        Io(error) => Error::internal(format!("reading a GIF: {error}")),
        _ => Error::corrupt(GIF_STRUCTURE),
    }
}

const GIF_DATA: &str = "the compressed image data of the GIF is invalid";

const GIF_STRUCTURE: &str = "the GIF is not put together as the format demands";

const GIF_REASONS: &[(&str, &str)] = &[
    ("invalid minimal code size", GIF_DATA),
    ("image truncated", "a frame of the GIF has fewer pixels than it says"),
    ("file does not contain any image data", "the GIF has no image"),
    ("unknown block type", "the GIF has a block of an unknown type"),
    ("control extension has wrong length", "a control block of the GIF has the wrong length"),
];

/// For every status but success.
pub(super) fn webp(status: VP8StatusCode) -> Error {
    match status {
        VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA | VP8StatusCode::VP8_STATUS_SUSPENDED => Error::truncated("the WebP data"),
        // VP8_STATUS_OUT_OF_MEMORY too: libwebp 1.6 says so of a damaged plane of alpha (`ALPHInit` fails in
        // alpha_dec.c). What `webp_memory.rs` refuses never gets here.
        _ => Error::corrupt("the WebP image data is invalid"),
    }
}

fn reason(text: &str, reasons: &[(&str, &'static str)], otherwise: &'static str) -> &'static str {
    reasons.iter().find(|(start, _)| text.starts_with(start)).map_or(otherwise, |(_, reason)| reason)
}

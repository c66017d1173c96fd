//! Converts errors of the PNG, GIF and WebP decoders to messages for the person who uploaded the file.
//!
//! Two of the libraries do not expose the kind of an error, only a text for developers, so the texts are recognised by their
//! start. An unknown text, for example of a newer version, becomes a general message: the texts of a library never reach a
//! client.

use super::error::Error;
use libwebp_sys::VP8StatusCode;
use std::io::ErrorKind;

pub(super) fn png(error: png::DecodingError) -> Error {
    use png::DecodingError::{Format, IoError, LimitsExceeded, Parameter};
    match error {
        IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Error::truncated("the PNG data"),
        IoError(error) if error.kind() == ErrorKind::InvalidData => Error::corrupt(PNG_STRUCTURE),
        Format(error) => Error::corrupt(reason(&error.to_string(), PNG_REASONS, PNG_STRUCTURE)),
        LimitsExceeded => Error::corrupt("the PNG has chunks with an invalid size"),
        IoError(error) => Error::internal(format!("reading a PNG: {error}")),
        Parameter(error) => Error::internal(format!("reading a PNG: {error}")),
    }
}

const PNG_STRUCTURE: &str = "the structure of the PNG is invalid";

const PNG_REASONS: &[(&str, &str)] = &[
    ("CRC error", "a checksum of the PNG does not match its data"),
    ("Corrupt deflate stream", "the compressed image data of the PNG is invalid"),
    ("IDAT or fDAT chunk does not have enough data", "the PNG has fewer rows than its header states"),
    ("IDAT or fdAT chunk is missing", "the PNG has no image data"),
    ("Missing palette", "the PNG has no palette although its pixels need one"),
    ("Invalid color/depth combination", "the PNG header has a bit depth that its colour type does not allow"),
    ("Invalid bit depth", "the PNG header has an invalid bit depth"),
    ("Invalid color type", "the PNG header has an invalid colour type"),
    ("Unknown compression method", "the PNG header has an unknown compression method"),
    ("Unknown interlace method", "the PNG header has an unknown interlace method"),
    // In the header, or in a row.
    ("Unknown filter method", "the PNG uses an unknown filter method"),
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
        MemoryLimit => Error::corrupt("the GIF has blocks with an invalid size"),
        OutOfMemory => Error::internal("the GIF decoder is out of memory"),
        Io(error) => Error::internal(format!("reading a GIF: {error}")),
        _ => Error::corrupt(GIF_STRUCTURE),
    }
}

const GIF_DATA: &str = "the compressed image data of the GIF is invalid";

const GIF_STRUCTURE: &str = "the structure of the GIF is invalid";

const GIF_REASONS: &[(&str, &str)] = &[
    ("invalid minimal code size", GIF_DATA),
    ("image truncated", "a frame of the GIF has fewer pixels than its size requires"),
    ("file does not contain any image data", "the GIF has no image"),
    ("unknown block type", "the GIF has a block of an unknown type"),
    ("control extension has wrong length", "a control block of the GIF has the wrong length"),
];

/// Converts a status other than success.
pub(super) fn webp(status: VP8StatusCode) -> Error {
    match status {
        VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA | VP8StatusCode::VP8_STATUS_SUSPENDED => Error::truncated("the WebP data"),
        // Includes VP8_STATUS_OUT_OF_MEMORY, which libwebp 1.6 returns for a damaged alpha plane (`ALPHInit` fails in
        // alpha_dec.c). Allocations that `webp_memory.rs` rejects are handled before.
        _ => Error::corrupt("the WebP image data is invalid"),
    }
}

fn reason(text: &str, reasons: &[(&str, &'static str)], otherwise: &'static str) -> &'static str {
    reasons.iter().find(|(start, _)| text.starts_with(start)).map_or(otherwise, |(_, reason)| reason)
}

//! Damage in JPEG data, and its description for clients. The message is the same for both decoders.

use crate::imaging::error::Error;

/// Damage, in a form that is cheap enough for hot loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum DecodeError {
    /// The file ends within the image data.
    Truncated,
    /// A marker interrupts the image data.
    UnexpectedMarker,
    /// The code has no symbol, or its symbol is not allowed here.
    InvalidCode,
    /// A code stands for coefficients beyond the end of its block. libjpeg overlooks this.
    BlockOverrun,
    /// The file ends in zeros that were read as MCUs. libjpeg overlooks this.
    ZeroFilled,
    MisplacedRestart,
    /// A component has no data. libjpeg outputs grey for it.
    MissingComponent,
    /// A table is invalid or missing, or headers contradict each other.
    Invalid(&'static str),
    TooManyScans(u32),
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Error::corrupt(match error {
            DecodeError::Truncated => "the JPEG data ends too early",
            DecodeError::ZeroFilled => "the JPEG data stops early and is followed only by zeros",
            DecodeError::UnexpectedMarker => "the JPEG data stops within a scan",
            DecodeError::InvalidCode | DecodeError::BlockOverrun => "the JPEG data contains an invalid code",
            DecodeError::MissingComponent => "the JPEG has a colour component without data",
            DecodeError::MisplacedRestart => "a restart marker of the JPEG is missing or misplaced",
            DecodeError::Invalid(what) => return Error::corrupt(format!("the JPEG has {what}")),
            DecodeError::TooManyScans(limit) => return Error::TooManyScans { limit },
        })
    }
}

//! What can be wrong with a JPEG's data, and how it is told. The words are the same whichever decoder found it.

use crate::imaging::error::Error;

/// Damage, as a hot loop can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum DecodeError {
    /// The file ends within the image.
    Truncated,
    /// A marker stands where image data should go on.
    UnexpectedMarker,
    /// No symbol has this code, or it cannot stand here.
    InvalidCode,
    /// A code stands for coefficients beyond the end of its block; libjpeg overlooks that.
    BlockOverrun,
    /// The file ends in zeros that were read as units; libjpeg overlooks that.
    ZeroFilled,
    MisplacedRestart,
    /// A component has no data; libjpeg shows it grey.
    MissingComponent,
    /// A table is wrong or missing, a header contradicts another.
    Invalid(&'static str),
    TooManyScans(u32),
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Error::corrupt(match error {
            DecodeError::Truncated => "the JPEG data ends too early",
            DecodeError::ZeroFilled => "the JPEG data breaks off, and zeros are in its place",
            DecodeError::UnexpectedMarker => "the JPEG data breaks off within a scan",
            DecodeError::InvalidCode | DecodeError::BlockOverrun => "the JPEG data holds an invalid code",
            DecodeError::MissingComponent => "the JPEG has a colour component without data",
            DecodeError::MisplacedRestart => "a restart marker of the JPEG is missing or misplaced",
            DecodeError::Invalid(what) => return Error::corrupt(format!("the JPEG has {what}")),
            DecodeError::TooManyScans(limit) => return Error::TooManyScans { limit },
        })
    }
}

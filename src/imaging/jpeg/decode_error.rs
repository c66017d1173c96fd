//! What can be wrong with a JPEG's data, and how it is told. The words are the same whichever decoder found it.

use crate::imaging::error::Error;

/// Damage, as a hot loop can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum DecodeError {
    /// The file ends within the picture.
    Truncated,
    /// A marker stands where picture data should go on.
    BreaksOff,
    /// No symbol has this code, or it cannot stand here.
    InvalidCode,
    /// A code stands for coefficients beyond the end of its block; libjpeg overlooks that.
    BeyondBlock,
    /// The file ends in zeros that were read as units; libjpeg overlooks that.
    ZeroFilled,
    MisplacedRestart,
    /// A component has no data; libjpeg shows it grey.
    Incomplete,
    /// A table is wrong or missing, a header contradicts another.
    Invalid(&'static str),
    TooManyScans(u32),
}

impl From<DecodeError> for Error {
    fn from(fault: DecodeError) -> Self {
        Error::corrupt(match fault {
            DecodeError::Truncated => "the JPEG data ends too early",
            DecodeError::ZeroFilled => "the JPEG data breaks off, and zeros are in its place",
            DecodeError::BreaksOff => "the JPEG data breaks off within a scan",
            DecodeError::InvalidCode | DecodeError::BeyondBlock => "the JPEG data holds an invalid code",
            DecodeError::Incomplete => "the JPEG has a colour component without data",
            DecodeError::MisplacedRestart => "a restart marker of the JPEG is missing or misplaced",
            DecodeError::Invalid(what) => return Error::corrupt(format!("the JPEG has {what}")),
            DecodeError::TooManyScans(limit) => return Error::TooManyScans { limit },
        })
    }
}

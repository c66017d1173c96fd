//! What can be wrong with a JPEG's data, and how it is told. The words are the same whichever decoder found it.

use crate::imaging::error::Error;

/// Damage, as a hot loop can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Fault {
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

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::corrupt(match fault {
            Fault::Truncated => "the JPEG data ends too early",
            Fault::ZeroFilled => "the JPEG data breaks off, and zeros are in its place",
            Fault::BreaksOff => "the JPEG data breaks off within a scan",
            Fault::InvalidCode | Fault::BeyondBlock => "the JPEG data holds an invalid code",
            Fault::Incomplete => "the JPEG has a colour component without data",
            Fault::MisplacedRestart => "a restart marker of the JPEG is missing or misplaced",
            Fault::Invalid(what) => return Error::corrupt(format!("the JPEG has {what}")),
            Fault::TooManyScans(limit) => return Error::TooManyScans { limit },
        })
    }
}

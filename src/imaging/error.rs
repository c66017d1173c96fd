//! Why an image was refused: the room's one vocabulary of failures. Every text but [`Error::Internal`]'s is safe to show to
//! a client; it names the numbers and the limits, never a library, a path or a pointer.

/// Everything but [`Error::Internal`] is the file's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are of none of the accepted formats.
    #[error("the file is not a JPEG, PNG, GIF or WebP image")]
    UnsupportedFormat {
        /// What else it is, if that is told: a format of images that this service does not read.
        found: Option<&'static str>,
    },
    #[error("the image has {width}×{height} pixels, and each side needs at least {limit}; the operator can lower MIN_IMAGE_SIDE")]
    TooSmall { width: u32, height: u32, limit: u32 },
    #[error(
        "the image has {width}×{height} pixels, and each side may have at most {limit}; the operator can raise MAX_IMAGE_SIDE"
    )]
    TooLarge { width: u32, height: u32, limit: u32 },
    #[error(
        "the image has {width}×{height} pixels, together more than the limit of {limit}; the operator can raise MAX_IMAGE_PIXELS"
    )]
    TooManyImagePixels { width: u32, height: u32, limit: u64 },
    /// Larger than the limits, where larger images are scaled down.
    #[error("the image has {width}×{height} pixels, more than are accepted: {reason}")]
    NotShrinkable { width: u32, height: u32, reason: String },
    /// Within the limits, but of a kind that takes more memory than there is for decoding.
    #[error(
        "the image has {width}×{height} pixels in a form that takes {needed_mib} MiB to decode, more than the limit of {limit_mib} MiB; the operator can raise DECODE_MEMORY_BUDGET"
    )]
    TooMuchMemory { width: u32, height: u32, needed_mib: u64, limit_mib: u64 },
    /// `frames` is the number found before reading stopped, so it may be lower than the file's own.
    #[error(
        "the animation has {frames} or more frames of {width}×{height} pixels, together more than the limit of {limit} pixels; the operator can raise MAX_ANIMATION_PIXELS"
    )]
    TooManyPixels { frames: u64, width: u32, height: u32, limit: u64 },
    #[error("the JPEG has more than {limit} scans")]
    TooManyScans { limit: u32 },
    /// Truncated or damaged; `reason` says what was found, in words for the person who sent the file.
    #[error("the file is damaged: {reason}")]
    Corrupt { reason: String },
    /// Possibly a whole file, but of a kind that the decoder cannot read.
    #[error("the file uses a feature that is not supported: {feature}")]
    Unsupported { feature: String },
    /// The fault of this service. It is for the log alone, and so may tell all.
    #[error("the image could not be processed: {reason}")]
    Internal { reason: String },
}

impl Error {
    pub(super) fn corrupt(reason: impl Into<String>) -> Self {
        Error::Corrupt { reason: reason.into() }
    }

    /// `what` as in "the JPEG data".
    pub(super) fn truncated(what: &str) -> Self {
        Error::corrupt(format!("{what} ends too early"))
    }

    pub(super) fn unsupported(feature: impl Into<String>) -> Self {
        Error::Unsupported { feature: feature.into() }
    }

    pub(super) fn internal(reason: impl Into<String>) -> Self {
        Error::Internal { reason: reason.into() }
    }
}

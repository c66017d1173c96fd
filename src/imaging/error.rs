//! Reasons for rejecting an image. Every message except that of [`Error::Internal`] is safe to show to a client: it names the
//! numbers and the limits, never a library, a path or a pointer.

/// An imaging error. Every variant except [`Error::Internal`] is caused by the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes match none of the accepted formats.
    #[error("the file is not a JPEG, PNG, GIF or WebP image")]
    UnsupportedFormat {
        /// The format of the file, if it is a known image format that this service does not read.
        found: Option<&'static str>,
    },
    #[error(
        "the image has {width}×{height} pixels, but each side must have at least {limit} pixels; the operator can lower MIN_IMAGE_SIDE"
    )]
    TooSmall { width: u32, height: u32, limit: u32 },
    #[error(
        "the image has {width}×{height} pixels, but each side may have at most {limit} pixels; the operator can raise MAX_IMAGE_SIDE"
    )]
    TooLarge { width: u32, height: u32, limit: u32 },
    #[error(
        "the image has {width}×{height} pixels, in total more than the limit of {limit}; the operator can raise MAX_IMAGE_PIXELS"
    )]
    TooManyImagePixels { width: u32, height: u32, limit: u64 },
    /// The image exceeds the limits and cannot be scaled down, although larger images are.
    #[error("the image has {width}×{height} pixels, more than the limits allow: {reason}")]
    NotShrinkable { width: u32, height: u32, reason: String },
    /// Within the limits, but decoding needs more memory than the budget.
    #[error(
        "the image has {width}×{height} pixels and needs {needed_mib} MiB of memory to decode, more than the limit of {limit_mib} MiB; the operator can raise DECODE_MEMORY_BUDGET"
    )]
    TooMuchMemory { width: u32, height: u32, needed_mib: u64, limit_mib: u64 },
    /// `frames` is the number of frames found before reading stopped, so it can be lower than the total.
    #[error(
        "the animation has {frames} or more frames of {width}×{height} pixels, in total more than the limit of {limit} pixels; the operator can raise MAX_ANIMATION_PIXELS"
    )]
    TooManyPixels { frames: u64, width: u32, height: u32, limit: u64 },
    #[error("the JPEG has more than {limit} scans")]
    TooManyScans { limit: u32 },
    /// Truncated or damaged. `reason` is written for the person who uploaded the file.
    #[error("the image is damaged: {reason}")]
    Corrupt { reason: String },
    /// The file may be intact, but the decoder does not support it.
    #[error("the image uses a feature that is not supported: {feature}")]
    Unsupported { feature: String },
    /// A fault of this service. Only for the log, so it may contain any detail.
    #[error("the image could not be processed: {reason}")]
    Internal { reason: String },
}

impl Error {
    pub(super) fn corrupt(reason: impl Into<String>) -> Self {
        Error::Corrupt { reason: reason.into() }
    }

    /// Returns a corruption error. `what` names the truncated part, such as "the JPEG data".
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

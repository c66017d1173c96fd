//! Errors of captioning and of opening a model.

use std::borrow::Cow;

/// Why a caption was not created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("captioning was stopped")]
    Stopped,
    #[error("captioning took too long")]
    TimedOut,
    /// The endpoint cannot be reached or is overloaded, independently of the image. The text is for the log only.
    #[error("the endpoint is unavailable: {0}")]
    Unavailable(String),
    /// A retry may succeed. Users see the text.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    /// A retry cannot succeed. Users see the text.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    #[error("captioning failed inside the service: {0}")]
    Internal(String),
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("this binary was built without the feature `captions`")]
    NotBuilt,
    #[cfg(feature = "captions")]
    #[error("{0}")]
    Model(#[from] super::blip::OpenError),
    #[error("the threads for captions could not be started")]
    Threads(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the HTTP client could not be created")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

//! Why there is no caption, or no model.

use std::borrow::Cow;

/// Why a caption was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it was asked to stop")]
    Stopped,
    #[error("it took longer than it may")]
    TimedOut,
    /// No picture's fault: whoever is asked cannot be reached, or has too much to do. Of the inside, and for the log alone.
    #[error("the endpoint cannot be used right now: {0}")]
    Unavailable(String),
    /// It may go better another time. Its words are told to users, as those of the next.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    /// It will not.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    #[error("captioning failed inside the service: {0}")]
    Internal(String),
}

/// Why what makes captions could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("this binary was built without the feature `captions`")]
    NotBuilt,
    #[cfg(feature = "captions")]
    #[error("{0}")]
    Model(#[from] super::blip::OpenError),
    #[error("no threads for captions could be started")]
    Threads(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no client could be made for it")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

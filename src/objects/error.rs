//! What can go wrong at the object storage.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectError;

/// A failure at the storage. The cause is the source; `Display` says what was tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage cannot be reached or failed on its side: trying again later may help.
    #[error("the storage is unavailable: {operation}")]
    Unavailable { operation: &'static str, source: BoxError },
    #[error("the storage did not answer within {timeout:?}: {operation}")]
    TimedOut { operation: &'static str, timeout: Duration },
    #[error("the storage has no such object: {operation}")]
    NotFound { operation: &'static str },
    /// The storage refused the request: wrong credentials, no such bucket.
    #[error("the storage refused: {operation}: {code}")]
    Refused { operation: &'static str, code: String, source: BoxError },
    #[error("no credentials for the storage")]
    NoCredentials(#[source] BoxError),
    #[error("{name} is not a usable URL: {reason}")]
    BadEndpoint { name: &'static str, reason: String },
    #[error("the S3 server inside the process could not start")]
    Embedded(#[from] super::embedded::Error),
}

pub type BoxError = Box<dyn StdError + Send + Sync>;

impl Error {
    /// From the SDK's error for `operation`, which may take `timeout`.
    pub(super) fn from_sdk<E, R>(operation: &'static str, timeout: Duration, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        match &error {
            SdkError::TimeoutError(_) => Self::TimedOut { operation, timeout },
            SdkError::ServiceError(service) => {
                let refused = code.as_deref().is_some_and(means_refused) || is_not_found(service.err());
                match code {
                    Some(code) if code == "NoSuchKey" || code == "NotFound" => Self::NotFound { operation },
                    Some(code) if refused => Self::Refused { operation, code, source: error.into() },
                    _ => Self::Unavailable { operation, source: error.into() },
                }
            }
            _ => Self::Unavailable { operation, source: error.into() },
        }
    }
}

fn is_not_found<E: StdError + 'static>(error: &E) -> bool {
    (error as &dyn StdError).downcast_ref::<HeadObjectError>().is_some_and(HeadObjectError::is_not_found)
}

fn means_refused(code: &str) -> bool {
    matches!(code, "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "NoSuchBucket" | "PermanentRedirect")
}

//! What can go wrong at the object storage.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

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
    #[error("the bucket {bucket:?} does not exist at {endpoint}; create it, or set S3_CREATE_BUCKET=true")]
    NoBucket { bucket: String, endpoint: String },
    /// The storage refused the request: wrong credentials, or too few rights.
    #[error("the storage refused: {operation}")]
    Refused { operation: &'static str, source: BoxError },
    /// The server does not have this operation.
    #[error("the storage cannot do this: {operation}")]
    NotImplemented { operation: &'static str, source: BoxError },
    #[error(
        "there are no credentials for the storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile that \
         has them"
    )]
    NoCredentials(#[source] Option<BoxError>),
    #[error("{name} is not a usable URL: {reason}")]
    BadEndpoint { name: &'static str, reason: String },
    #[error("AWS_CA_BUNDLE cannot be used: {reason}")]
    BadCaBundle { reason: String },
    #[error("the S3 server inside the process could not start")]
    Embedded(#[from] super::embedded::Error),
}

pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a server answered instead of doing what it was asked: the SDK's own errors print this as nested structures.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
struct Answer {
    status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl Answer {
    fn sentence(&self) -> String {
        let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let message = self.message.as_ref().map(|message| format!(": {}", message.trim())).unwrap_or_default();
        format!("it answered {}{code}{message}", self.status)
    }
}

impl Error {
    /// From the SDK's error for `operation`, which may take `timeout`.
    pub(super) fn from_sdk<E>(operation: &'static str, timeout: Duration, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match error {
            SdkError::TimeoutError(_) => Self::TimedOut { operation, timeout },
            SdkError::ServiceError(service) => {
                let (code, message) = (service.err().code(), service.err().message());
                let status = service.raw().status().as_u16();
                let answer = Answer { status, code: code.map(str::to_owned), message: message.map(str::to_owned) };
                match (status, code) {
                    // Answers to HEAD have no code of the server's; the SDK calls them `NotFound`.
                    (_, Some("NoSuchKey" | "NotFound")) => Self::NotFound { operation },
                    (501 | 405, _) | (_, Some("NotImplemented")) => Self::NotImplemented { operation, source: answer.into() },
                    (401 | 403 | 301, _) => Self::Refused { operation, source: answer.into() },
                    _ => Self::Unavailable { operation, source: answer.into() },
                }
            }
            SdkError::DispatchFailure(_) => Self::from_sending(operation, error.into(), 2),
            error => Self::from_sending(operation, error.into(), 0),
        }
    }

    /// The request did not get to the server, or no answer came back. The first `wrappers` causes only say so.
    fn from_sending(operation: &'static str, error: BoxError, wrappers: usize) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
        while let Some(found) = cause {
            if let Some(missing) = found.downcast_ref::<CredentialsError>() {
                return Self::no_credentials(missing);
            }
            cause = found.source();
        }
        let mut told: &(dyn StdError + 'static) = &*error;
        for _ in 0..wrappers {
            told = told.source().unwrap_or(told);
        }
        Self::Unavailable { operation, source: chain(told).into() }
    }

    /// That none were found is all there is to say; anything else has a cause.
    pub(super) fn no_credentials(error: &CredentialsError) -> Self {
        if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            return Self::NoCredentials(None);
        }
        Self::NoCredentials(Some(chain(error).into()))
    }
}

/// An error with all its causes, in one line.
pub(in crate::objects) fn chain(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

//! Errors of the object storage.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::error_chain::error_chain;

/// A failed storage operation. `Display` names the operation; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage cannot be reached or had an internal error. A later retry may succeed.
    #[error("the storage is unavailable: {operation}")]
    Unavailable { operation: &'static str, source: BoxError },
    #[error("the storage did not answer within {timeout:?}: {operation}")]
    TimedOut { operation: &'static str, timeout: Duration },
    #[error("the storage has no such object: {operation}")]
    NotFound { operation: &'static str },
    #[error("the bucket {bucket:?} does not exist at {endpoint}; create it, or set S3_CREATE_BUCKET=true")]
    NoBucket { bucket: String, endpoint: String },
    /// The credentials are wrong or lack permission.
    #[error("the storage refused the request: {operation}")]
    Refused { operation: &'static str, source: BoxError },
    /// The server does not implement this operation.
    #[error("the storage does not support this operation: {operation}")]
    NotImplemented { operation: &'static str, source: BoxError },
    #[error(
        "there are no credentials for the storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile \
         that has them"
    )]
    NoCredentials(#[source] Option<BoxError>),
    /// `name` is the setting.
    #[error("invalid {name}: {reason}")]
    BadEndpoint { name: &'static str, reason: String },
    #[error("invalid AWS_CA_BUNDLE: {reason}")]
    BadCaBundle { reason: String },
    #[error("the embedded S3 server could not start")]
    Embedded(#[from] super::embedded::Error),
}

pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A server's error response. The SDK's own errors print it as nested structs.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
struct ErrorResponse {
    status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl ErrorResponse {
    fn sentence(&self) -> String {
        let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let message = self.message.as_ref().map(|message| format!(": {}", message.trim())).unwrap_or_default();
        format!("the storage answered {}{code}{message}", self.status)
    }
}

impl Error {
    /// Converts the SDK's error for an `operation` at this `endpoint` with this `timeout`.
    pub(super) fn from_sdk<E>(
        operation: &'static str,
        timeout: Duration,
        endpoint: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match error {
            SdkError::TimeoutError(_) => Self::TimedOut { operation, timeout },
            SdkError::ServiceError(service) => {
                let (code, message) = (service.err().code(), service.err().message());
                let status = service.raw().status().as_u16();
                let answer = ErrorResponse { status, code: code.map(str::to_owned), message: message.map(str::to_owned) };
                match (status, code) {
                    // Responses to HEAD have no body and so no S3 code; the SDK reports `NotFound`.
                    (_, Some("NoSuchKey" | "NotFound")) => Self::NotFound { operation },
                    (501 | 405, _) | (_, Some("NotImplemented")) => Self::NotImplemented { operation, source: answer.into() },
                    (401 | 403 | 301, _) => Self::Refused { operation, source: answer.into() },
                    _ => Self::Unavailable { operation, source: answer.into() },
                }
            }
            SdkError::DispatchFailure(_) => Self::from_dispatch(operation, error.into(), Some(endpoint)),
            error => Self::from_dispatch(operation, error.into(), None),
        }
    }

    /// Converts the error of a request without a usable response. `unreachable` is the endpoint if it did not respond at all.
    fn from_dispatch(operation: &'static str, error: BoxError, unreachable: Option<&str>) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
        while let Some(found) = cause {
            if let Some(missing) = found.downcast_ref::<CredentialsError>() {
                return Self::no_credentials(missing);
            }
            cause = found.source();
        }
        let Some(endpoint) = unreachable else { return Self::Unavailable { operation, source: error_chain(&*error).into() } };
        // The first two errors only say that the request failed.
        let wrapped = error.source().and_then(StdError::source).unwrap_or(&*error);
        Self::Unavailable { operation, source: format!("cannot reach {endpoint}: {}", error_chain(wrapped)).into() }
    }

    /// Converts a credentials error. The cause is kept unless it only says that no provider had credentials.
    pub(super) fn no_credentials(error: &CredentialsError) -> Self {
        if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            return Self::NoCredentials(None);
        }
        Self::NoCredentials(Some(error_chain(error).into()))
    }
}

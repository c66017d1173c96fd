//! The mapping from the service's errors to HTTP statuses and response bodies.
//!
//! An [`ApiError`] becomes an empty response that carries the error in its extensions. `server/middleware.rs` logs the error once
//! and writes the body, because only the middleware knows the request id. So all errors have the same shape, wherever they occur.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::plural::counted;
use crate::service::error::{Error, Fields};

/// An error that becomes a response.
#[derive(Debug, Clone)]
pub struct ApiError(Arc<Failure>);

/// An error of the service, or one that occurs before the service is called.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Service(#[from] Error),
    #[error("There is no endpoint at this path.")]
    NoSuchRoute,
    #[error("This endpoint does not support this method. The Allow header lists the supported methods.")]
    MethodNotAllowed,
    #[error("The header Tus-Resumable must be 1.0.0, the only supported version of the tus protocol.")]
    TusVersion,
    #[error("The request body must be {expected}.")]
    WrongMediaType { expected: &'static str },
    #[error("The request body must have no Content-Encoding. Compressed requests are not supported.")]
    EncodedBody,
    #[error("The connection was interrupted before the end of the request body.")]
    BodyInterrupted,
    #[error("An internal error occurred. details.request_id identifies it in the service's log.")]
    Panicked { message: String },
}

/// The body of every error response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiError)]
pub struct ErrorBody {
    /// The type of the error, for programs.
    pub error: ErrorType,
    /// What is wrong, as a sentence for people. The wording can change between versions.
    #[schema(example = "limit must be a whole number from 1 to 100.")]
    pub message: String,
    /// Details of the error, by name.
    pub details: ErrorDetails,
}

/// For each invalid field, the rule that it breaks. For `QuotaExceeded`, how much of each exceeded quota is used and left:
/// `images`, `bytes`, `trash_images` or `trash_bytes`. For a 5xx error, the `request_id`. Otherwise empty.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"limit": "must be a whole number from 1 to 100"}))]
pub struct ErrorDetails(pub BTreeMap<String, String>);

/// The type of an error. Each type belongs to one status. Three statuses have two types: 400 (`BadRequest`, `InvalidFile`), 403
/// (`Forbidden`, `QuotaExceeded`) and 500 (`InternalServerError`, `FileMissing`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum ErrorType {
    BadRequest,
    InvalidFile,
    Unauthorized,
    Forbidden,
    QuotaExceeded,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    Gone,
    PreconditionFailed,
    PayloadTooLarge,
    RangeNotSatisfiable,
    UnsupportedMediaType,
    ValidationError,
    TooManyRequests,
    ChecksumMismatch,
    InternalServerError,
    FileMissing,
    ServiceUnavailable,
}

/// The status of the tus protocol for a wrong checksum.
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl ErrorType {
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::InvalidFile => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::QuotaExceeded => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::ChecksumMismatch => CHECKSUM_MISMATCH,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ValidationError => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServerError | Self::FileMissing => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Failure {
    pub fn error_type(&self) -> ErrorType {
        match self {
            Self::NoSuchRoute => ErrorType::NotFound,
            Self::MethodNotAllowed => ErrorType::MethodNotAllowed,
            Self::WrongMediaType { .. } | Self::EncodedBody => ErrorType::UnsupportedMediaType,
            Self::TusVersion => ErrorType::PreconditionFailed,
            Self::BodyInterrupted => ErrorType::BadRequest,
            Self::Panicked { .. } => ErrorType::InternalServerError,
            Self::Service(error) => match error {
                Error::Malformed { .. } => ErrorType::BadRequest,
                Error::InvalidFile { .. } => ErrorType::InvalidFile,
                Error::UnsupportedFormat { .. } => ErrorType::UnsupportedMediaType,
                Error::Invalid(_) => ErrorType::ValidationError,
                Error::Unauthenticated | Error::AccountRequired | Error::BadCredentials(_) => ErrorType::Unauthorized,
                Error::NotOwner { .. }
                | Error::OtherUser
                | Error::Forbidden { .. }
                | Error::NotInPlan { .. }
                | Error::LinkExpired
                | Error::SharePasswordRequired => ErrorType::Forbidden,
                Error::QuotaExceeded(_) => ErrorType::QuotaExceeded,
                Error::TooManyRequests { .. } | Error::TooManyPending { .. } | Error::TooManyOpenUploads { .. } => {
                    ErrorType::TooManyRequests
                }
                Error::NotFound { .. } | Error::NotInCollection => ErrorType::NotFound,
                Error::NoSuchRange { .. } => ErrorType::RangeNotSatisfiable,
                Error::Conflict { .. } | Error::StillRunning { .. } | Error::UploadInUse { .. } | Error::WrongOffset { .. } => {
                    ErrorType::Conflict
                }
                Error::WrongChecksum => ErrorType::ChecksumMismatch,
                Error::Gone { .. } => ErrorType::Gone,
                Error::TooLarge { .. } | Error::UploadTooLarge { .. } => ErrorType::PayloadTooLarge,
                Error::BodyTooSlow => ErrorType::RequestTimeout,
                Error::Overloaded { .. } | Error::ResizeInProgress | Error::Unavailable { .. } => ErrorType::ServiceUnavailable,
                Error::FileMissing => ErrorType::FileMissing,
                Error::Internal(_) => ErrorType::InternalServerError,
            },
        }
    }

    /// Returns a stable label for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Service(error) => error.name(),
            Self::NoSuchRoute => "no_such_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TusVersion => "tus_version",
            Self::WrongMediaType { .. } => "wrong_media_type",
            Self::EncodedBody => "encoded_body",
            Self::BodyInterrupted => "body_interrupted",
            Self::Panicked { .. } => "panicked",
        }
    }

    /// Returns the response body. It contains `request_id` if the service is at fault, so that the operator can search the log.
    /// `trusts_header`: `X-User-Id` is trusted from this client, so the message can suggest it.
    pub fn body(&self, request_id: &str, trusts_header: bool) -> ErrorBody {
        let error = self.error_type();
        let details = match self {
            Self::Service(
                Error::Malformed { details, .. }
                | Error::InvalidFile { details, .. }
                | Error::Invalid(details)
                | Error::QuotaExceeded(details),
            ) => details.clone(),
            Self::Service(Error::UploadTooLarge { max_file_bytes, .. }) => {
                Fields::from([("file".to_owned(), format!("must have at most {}", counted(*max_file_bytes, "byte")))])
            }
            _ if error.status().is_server_error() => Fields::from([("request_id".to_owned(), request_id.to_owned())]),
            _ => Fields::new(),
        };
        let mut message = self.to_string();
        if trusts_header && matches!(self, Self::Service(Error::Unauthenticated)) {
            message += " A gateway can send the user id in X-User-Id instead.";
        }
        ErrorBody { error, message, details: ErrorDetails(details) }
    }

    /// Returns the time after which a retry makes sense.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Service(
                Error::Overloaded { retry_after }
                | Error::StillRunning { retry_after }
                | Error::UploadInUse { retry_after }
                | Error::TooManyRequests { retry_after }
                | Error::TooManyPending { retry_after, .. },
            ) => Some(*retry_after),
            Self::Service(Error::TooManyOpenUploads { .. }) => Some(Duration::from_secs(60)),
            Self::Service(Error::ResizeInProgress) => Some(Duration::from_secs(2)),
            Self::Service(Error::Unavailable { .. }) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl ApiError {
    pub fn no_such_route() -> Self {
        Self(Arc::new(Failure::NoSuchRoute))
    }

    pub fn method_not_allowed() -> Self {
        Self(Arc::new(Failure::MethodNotAllowed))
    }

    pub fn tus_version() -> Self {
        Self(Arc::new(Failure::TusVersion))
    }

    pub fn wrong_media_type(expected: &'static str) -> Self {
        Self(Arc::new(Failure::WrongMediaType { expected }))
    }

    pub fn body_interrupted() -> Self {
        Self(Arc::new(Failure::BodyInterrupted))
    }

    pub fn encoded_body() -> Self {
        Self(Arc::new(Failure::EncodedBody))
    }

    /// Converts a handler's panic into a response. The panic message goes to the log only.
    pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
        let message =
            panic.downcast::<String>().map(|text| *text).or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()));
        let message = message.unwrap_or_else(|_| "a panic without a message".to_owned());
        Self(Arc::new(Failure::Panicked { message })).into_response()
    }

    pub fn failure(&self) -> &Failure {
        &self.0
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error.into()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.error_type().status().into_response();
        let headers = response.headers_mut();
        if self.0.error_type() == ErrorType::Unauthorized {
            // Basic authentication works too. `server/middleware.rs` adds its challenge unless a browser would open a password
            // dialog for it.
            let challenge = match *self.0 {
                Failure::Service(Error::BadCredentials(_)) => r#"Bearer realm="images", error="invalid_token""#,
                _ => r#"Bearer realm="images""#,
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(*self.0, Failure::EncodedBody) {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(wait) = self.0.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Failure::Service(Error::WrongOffset { offset }) = *self.0 {
            headers.insert(HeaderName::from_static("upload-offset"), HeaderValue::from(offset));
        }
        if let Failure::Service(Error::NoSuchRange { length }) = *self.0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{length}"))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response.extensions_mut().insert(self);
        response
    }
}

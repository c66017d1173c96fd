//! Errors of Resumable Uploads for HTTP, some of which have problem types (RFC 9457) instead of the body of other errors.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::upload_headers::{UPLOAD_COMPLETE, UPLOAD_OFFSET, boolean};
use crate::http::error::{ApiError, Failure};
use crate::service::error::Error;

/// Why a request was refused.
#[derive(Debug)]
pub enum Refusal {
    Api(ApiError),
    Problem(Problem),
    /// A piece differs from its `Content-Digest`.
    WrongDigest,
}

/// The problem types of the draft.
#[derive(Debug)]
pub enum Problem {
    WrongOffset { expected: u64, provided: u64 },
    Completed,
    InconsistentLength,
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

impl Refusal {
    /// Returns whether the client can ask for the offset and continue.
    pub fn is_temporary(&self) -> bool {
        let failure = match self {
            Self::Problem(problem) => return matches!(problem, Problem::WrongOffset { .. }),
            Self::WrongDigest => return true,
            Self::Api(error) => error.failure(),
        };
        matches!(
            failure,
            Failure::BodyInterrupted | Failure::Service(Error::BodyTooSlow | Error::UploadInUse { .. } | Error::NotFound { .. })
        ) || failure.error_type().status().is_server_error()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = match self {
            Self::WrongOffset { .. } => {
                (StatusCode::CONFLICT, "mismatching-upload-offset", "The upload does not continue at this offset.")
            }
            Self::Completed => (StatusCode::GONE, "completed-upload", "The upload is complete."),
            Self::InconsistentLength => {
                (StatusCode::BAD_REQUEST, "inconsistent-upload-length", "The length of the upload contradicts an earlier one.")
            }
        };
        let kind = format!("https://iana.org/assignments/http-problem-types#{name}");
        let mut body = serde_json::json!({"type": kind, "title": title, "status": status.as_u16()});
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))]);
        if let Self::WrongOffset { expected, provided } = self {
            body["expected-offset"] = expected.into();
            body["provided-offset"] = provided.into();
            headers.insert(UPLOAD_OFFSET, HeaderValue::from(expected));
            headers.insert(UPLOAD_COMPLETE, boolean(false));
        }
        (status, headers, body.to_string()).into_response()
    }
}

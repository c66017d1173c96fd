//! A response with its whole body, and the checks that apply to every response.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// Reads a response of the service, which must have a request id whatever its status.
    pub async fn read(response: reqwest::Response) -> Self {
        let answer = Self::read_foreign(response).await;
        assert!(!answer.header("x-request-id").is_empty(), "a response without X-Request-Id: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        answer
    }

    /// Reads a response of another server, such as the storage.
    pub async fn read_foreign(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("the body is complete") }
    }

    /// The header's value, or an empty string if the header is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of plain text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    /// Parses the body, which must be JSON with the matching `Content-Type`.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Returns the body of a 200 response.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Returns the image of a successful upload.
    #[track_caller]
    pub fn image(&self) -> Value {
        self.ok()["image"].clone()
    }

    /// Returns the image id of a successful upload.
    #[track_caller]
    pub fn image_id(&self) -> String {
        self.ok()["image_id"].as_str().expect("an id").to_owned()
    }
}

/// The error types that the OpenAPI document lists.
const ERROR_TYPES: [&str; 20] = [
    "BadRequest",
    "InvalidFile",
    "Unauthorized",
    "Forbidden",
    "QuotaExceeded",
    "NotFound",
    "MethodNotAllowed",
    "RequestTimeout",
    "Conflict",
    "Gone",
    "PreconditionFailed",
    "PayloadTooLarge",
    "RangeNotSatisfiable",
    "UnsupportedMediaType",
    "ValidationError",
    "TooManyRequests",
    "ChecksumMismatch",
    "InternalServerError",
    "FileMissing",
    "ServiceUnavailable",
];

/// Checks that an error has the shape common to all errors. Returns its `details`.
#[track_caller]
pub fn assert_error(answer: &Answer, status: u16, error_type: &str) -> Value {
    let shown = String::from_utf8_lossy(&answer.body);
    assert!(ERROR_TYPES.contains(&error_type), "{error_type} is not in the list of error types");
    assert_eq!(answer.status, status, "{shown}");
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["details", "error", "message"], "{shown}");
    assert_eq!(body["error"], error_type, "{shown}");
    let message = body["message"].as_str().expect("a message");
    assert!(message.len() > 10 && message.ends_with('.') && !message.contains('\n'), "not a sentence: {message:?}");
    let details = body["details"].as_object().expect("details");
    assert!(details.values().all(|rule| rule.as_str().is_some_and(|rule| !rule.is_empty())), "{shown}");
    match status {
        401 => assert!(!answer.header("www-authenticate").is_empty(), "401 without WWW-Authenticate"),
        405 => assert!(!answer.header("allow").is_empty(), "405 without Allow"),
        429 | 503 => assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0)),
        _ => {}
    }
    if status >= 500 {
        assert_eq!(body["details"], serde_json::json!({"request_id": answer.header("x-request-id")}));
    }
    body["details"].clone()
}

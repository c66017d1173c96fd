//! An answer, read to its end, and what must hold for every one of them.

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
    /// Reads the answer. Whatever it is, it has a request id.
    pub async fn read(response: reqwest::Response) -> Self {
        let answer = Self::read_foreign(response).await;
        assert!(!answer.header("x-request-id").is_empty(), "an answer without X-Request-Id: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        answer
    }

    /// Reads an answer of another server than ours, such as the storage.
    pub async fn read_foreign(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("the body ends as it should") }
    }

    /// The header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of plain text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    /// The body, which must be JSON and say so.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The image of a successful upload.
    #[track_caller]
    pub fn image(&self) -> Value {
        self.ok()["image"].clone()
    }

    /// The id of the image of a successful upload.
    #[track_caller]
    pub fn image_id(&self) -> String {
        self.ok()["image_id"].as_str().expect("an id").to_owned()
    }
}

/// The types that the contract's document lists.
const ERROR_TYPES: [&str; 18] = [
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
    "PayloadTooLarge",
    "RangeNotSatisfiable",
    "UnsupportedMediaType",
    "ValidationError",
    "TooManyRequests",
    "InternalServerError",
    "FileMissing",
    "ServiceUnavailable",
];

/// Holds an error against the one shape that all of them have; returns its `details`.
#[track_caller]
pub fn assert_error(answer: &Answer, status: u16, error_type: &str) -> Value {
    let shown = String::from_utf8_lossy(&answer.body);
    assert!(ERROR_TYPES.contains(&error_type), "{error_type} is not in the closed list");
    assert_eq!(answer.status, status, "{shown}");
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["details", "error", "message"], "{shown}");
    assert_eq!(body["error"], error_type, "{shown}");
    let message = body["message"].as_str().expect("a message");
    assert!(message.len() > 10 && message.ends_with('.') && !message.contains('\n'), "no sentence: {message:?}");
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

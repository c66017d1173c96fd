//! What happens around S3 itself: preflights are answered, some ways in are closed, some headers are added.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse, S3Error, S3Result, s3_error};
use tokio::sync::oneshot;

use super::body::{BoundedBody, Unread};

/// The longest that S3 lets a presigned URL live: a week, in seconds.
const PRESIGNED_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What a page may do with another origin's presigned URL.
const CORS_METHODS: &str = "GET, HEAD";
/// How long a browser may remember a preflight's answer, in seconds.
const CORS_SECONDS: &str = "3600";
/// What a page's script may see of an answer, beside what CORS always shows.
const CORS_EXPOSED: &str =
    "ETag, Content-Length, Content-Range, Content-Disposition, Content-Encoding, Accept-Ranges, Last-Modified";

/// The S3 service behind its door.
pub(super) struct Door {
    pub(super) s3: S3Service,
    pub(super) cors: bool,
    /// Of a request's body, chunk signatures included.
    pub(super) body_bytes_max: u64,
    pub(super) idle_timeout: Duration,
}

impl Door {
    /// Answers one request.
    ///
    /// # Errors
    /// When no answer can be written, which ends the connection.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        if request.method() == Method::OPTIONS {
            return Ok(self.preflight(request.headers()));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let waits = request.headers().contains_key(header::EXPECT);
        let (head, body) = request.into_parts();
        let (body, unread) = BoundedBody::new(body, self.body_bytes_max, self.idle_timeout);
        let mut response = match self.refuse(&head) {
            Ok(()) => self.s3.call(Request::from_parts(head, Body::http_body(body))).await?,
            Err(error) => {
                drop(body);
                error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))?
            }
        };
        if self.must_close(unread, waits).await {
            add(response.headers_mut(), header::CONNECTION, "close");
        }
        let headers = response.headers_mut();
        add(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        // Pages of any origin may show an object; opened by itself, it runs nothing.
        add(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
        add(headers, CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin");
        if reads && self.cors {
            add(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            add(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, CORS_EXPOSED);
        }
        Ok(response)
    }

    /// Reads what is left of a refused upload, within the bounds, so that the client gets to read why. Whether the
    /// connection has to end, because that was not possible or because the client waits to be asked for the body.
    async fn must_close(&self, mut unread: oneshot::Receiver<Unread>, waits: bool) -> bool {
        let mut rest = match unread.try_recv() {
            Err(_) => return false,
            Ok(Unread::Failed) => return true,
            Ok(Unread::Rest(_)) if waits => return true,
            Ok(Unread::Rest(rest)) => rest,
        };
        let read_away = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = rest.frame().await {
                bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > self.body_bytes_max {
                    break;
                }
            }
            !rest.is_end_stream()
        };
        tokio::time::timeout(self.idle_timeout, read_away).await.unwrap_or(true)
    }

    /// Closes what `s3s` would leave open.
    fn refuse(&self, request: &Parts) -> S3Result<()> {
        refuse_old_signatures(request)?;
        refuse_forms(request)?;
        refuse_long_lives(request)?;
        let declared = request.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let declared: Option<u64> = declared.and_then(|value| value.parse().ok());
        if declared.is_some_and(|bytes| bytes > self.body_bytes_max) {
            return Err(s3_error!(EntityTooLarge, "the body is larger than an object may be"));
        }
        Ok(())
    }

    /// A browser asks without credentials whether a page may, so this is answered before any signature is looked at.
    fn preflight(&self, asked: &HeaderMap) -> HttpResponse {
        let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD).map(HeaderValue::as_bytes);
        let allowed = self.cors && asked.contains_key(header::ORIGIN) && matches!(method, Some(b"GET" | b"HEAD"));
        let mut response = Response::new(Body::empty());
        if !allowed {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let headers = response.headers_mut();
        add(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        add(headers, header::ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS);
        // The star does not stand for `Authorization`: pages read through presigned URLs or not at all.
        add(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
        add(headers, header::ACCESS_CONTROL_MAX_AGE, CORS_SECONDS);
        response
    }
}

/// Version 2 of the signature, whose headers' dates `s3s` does not check: such a request could be repeated for ever.
fn refuse_old_signatures(request: &Parts) -> S3Result<()> {
    let authorization = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let in_header = authorization.is_some_and(|value| value.trim_ascii_start().starts_with(b"AWS "));
    if in_header || parameter(request, "Signature").is_some() {
        return Err(s3_error!(InvalidRequest, "the signature must be AWS4-HMAC-SHA256"));
    }
    Ok(())
}

/// Browsers' form uploads: their bodies are read before anybody has shown a signature.
fn refuse_forms(request: &Parts) -> S3Result<()> {
    let kind = request.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let form = kind.trim_ascii_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
    if request.method == Method::POST && form {
        return Err(s3_error!(NotImplemented, "uploads by form are not implemented"));
    }
    Ok(())
}

/// A presigned URL that would live longer than S3 allows, which `s3s` does not look at.
fn refuse_long_lives(request: &Parts) -> S3Result<()> {
    let Some(seconds) = parameter(request, "X-Amz-Expires") else { return Ok(()) };
    let fits = seconds.parse::<u32>().is_ok_and(|seconds| seconds <= PRESIGNED_SECONDS_MAX);
    if fits {
        return Ok(());
    }
    let mut error: S3Error =
        s3_error!(AuthorizationQueryParametersError, "X-Amz-Expires must be a number of seconds, at most a week");
    error.set_status_code(StatusCode::FORBIDDEN);
    Err(error)
}

/// The first query parameter of that name, both decoded.
fn parameter(request: &Parts, name: &str) -> Option<String> {
    let query = request.uri.query()?;
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        let matches = percent_decode_str(found).eq(name.bytes());
        matches.then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

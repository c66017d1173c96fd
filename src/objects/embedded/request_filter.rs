//! The layer around the S3 service: answers CORS preflights and form uploads, rejects requests that `s3s` should not accept, and
//! adds headers.

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

use super::body::{BoundedBody, UnreadBody};
use super::post_object::{PostObject, is_form_upload};
use super::post_signature;
use crate::model::byte_range::ByteRange;

/// S3's maximum lifetime of a presigned URL: a week, in seconds.
const PRESIGNED_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// The methods that pages of other origins may use: to read and to upload with presigned URLs and forms. Allowing them to any
/// origin is safe, because each request needs a signature, and browsers add none.
const CORS_METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::PUT, Method::POST];
/// How long browsers may cache a preflight response, in seconds.
const CORS_MAX_AGE_SECONDS: &str = "3600";
/// The response headers that scripts may read, in addition to the CORS-safelisted ones.
const CORS_EXPOSED_HEADERS: &str =
    "ETag, Content-Length, Content-Range, Content-Disposition, Content-Encoding, Accept-Ranges, Last-Modified, Location";

/// The S3 service with the checks and headers around it.
pub(super) struct RequestFilter {
    pub(super) s3: S3Service,
    pub(super) post_object: PostObject,
    pub(super) cors: bool,
    /// The largest request body, chunk signatures included.
    pub(super) body_bytes_max: u64,
    pub(super) idle_timeout: Duration,
    /// The time limit for a whole request body.
    pub(super) body_timeout: Duration,
}

impl RequestFilter {
    /// Handles one request.
    ///
    /// # Errors
    /// The response cannot be created; the connection is closed then.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        if request.method() == Method::OPTIONS {
            return Ok(self.preflight(request.headers()));
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let has_cors = self.cors && CORS_METHODS.contains(request.method());
        let expects_continue = request.headers().contains_key(header::EXPECT);
        let (mut head, body) = request.into_parts();
        if is_read && !head.headers.contains_key(header::AUTHORIZATION) {
            normalize(&mut head.headers);
        }
        let (body, unread) = BoundedBody::new(body, self.body_bytes_max, self.idle_timeout, self.body_timeout);
        let mut response = match self.check(&head) {
            Ok(()) if is_form_upload(&head) => self.post_object.handle(&head, body).await.or_else(error_response)?,
            Ok(()) => self.s3.call(Request::from_parts(head, Body::http_body(body))).await?,
            Err(error) => {
                drop(body);
                error_response(error)?
            }
        };
        if self.must_close(unread, expects_continue).await {
            add(response.headers_mut(), header::CONNECTION, "close");
        }
        let headers = response.headers_mut();
        add(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        // Pages of any origin may embed an object. When a browser opens one directly, it must not run scripts.
        add(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
        add(headers, CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin");
        if has_cors {
            add(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            add(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, CORS_EXPOSED_HEADERS);
        }
        Ok(response)
    }

    /// Reads and discards the rest of a rejected upload, within the limits, so that the client can read the response. Returns
    /// whether the connection must be closed: because the rest could not be read, or because the client waits for `100 Continue`.
    async fn must_close(&self, mut unread: oneshot::Receiver<UnreadBody>, expects_continue: bool) -> bool {
        let mut rest = match unread.try_recv() {
            Err(_) => return false,
            Ok(UnreadBody::Failed) => return true,
            Ok(UnreadBody::Rest(_)) if expects_continue => return true,
            Ok(UnreadBody::Rest(rest)) => rest,
        };
        let discard = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = rest.frame().await {
                bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > self.body_bytes_max {
                    break;
                }
            }
            !rest.is_end_stream()
        };
        tokio::time::timeout(self.idle_timeout, discard).await.unwrap_or(true)
    }

    /// Rejects requests that `s3s` would accept.
    fn check(&self, request: &Parts) -> S3Result<()> {
        reject_signature_v2(request)?;
        reject_long_expiry(request)?;
        reject_unsigned_headers(request)?;
        let declared = request.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let declared: Option<u64> = declared.and_then(|value| value.parse().ok());
        if declared.is_some_and(|bytes| bytes > self.body_bytes_max) {
            return Err(s3_error!(EntityTooLarge, "The body exceeds the maximum object size."));
        }
        Ok(())
    }

    /// Answers a CORS preflight. Browsers send it without credentials, so it is answered before any signature check.
    fn preflight(&self, request_headers: &HeaderMap) -> HttpResponse {
        let method = request_headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).map(HeaderValue::as_bytes);
        let allowed_method = CORS_METHODS.iter().any(|allowed| Some(allowed.as_str().as_bytes()) == method);
        let allowed = self.cors && request_headers.contains_key(header::ORIGIN) && allowed_method;
        let mut response = Response::new(Body::empty());
        if !allowed {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let headers = response.headers_mut();
        add(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        add(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, PUT, POST");
        // The wildcard does not include `Authorization`: pages can use only presigned URLs and forms.
        add(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
        add(headers, header::ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE_SECONDS);
        response
    }
}

/// Rewrites or removes headers of a read that HTTP allows and `s3s` rejects. Only for requests without `Authorization`, which
/// signs headers: presigned URLs usually sign `Host` alone.
fn normalize(headers: &mut HeaderMap) {
    // RFC 9110 (14.2): other units, several ranges and invalid ranges are ignored.
    rewrite(headers, &header::RANGE, |fields| ByteRange::parse(single(fields)?).map(|range| range.to_string()));
    for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        // RFC 9110 (5.6.7, 13.1.3 and 13.1.4): there are three formats, and invalid dates are ignored.
        rewrite(headers, &name, |fields| httpdate::parse_http_date(single(fields)?).ok().map(httpdate::fmt_http_date));
    }
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        rewrite(headers, &name, |fields| Some(fields.join(", ")));
    }
}

/// Replaces all fields of this name by one, or removes them.
fn rewrite(headers: &mut HeaderMap, name: &HeaderName, new: impl Fn(&[&str]) -> Option<String>) {
    if !headers.contains_key(name) {
        return;
    }
    let fields: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    match new(&fields).and_then(|value| HeaderValue::try_from(value).ok()) {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

fn single<'a>(fields: &[&'a str]) -> Option<&'a str> {
    if let [field] = fields { Some(field) } else { None }
}

/// Rejects Signature Version 2: `s3s` does not check the date of such requests, so they could be replayed indefinitely.
fn reject_signature_v2(request: &Parts) -> S3Result<()> {
    let authorization = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let in_header = authorization.is_some_and(|value| value.trim_ascii_start().starts_with(b"AWS "));
    if in_header || parameter(request, "Signature").is_some() {
        return Err(post_signature::unsupported_version());
    }
    Ok(())
}

/// Rejects presigned URLs with a longer lifetime than S3 allows, which `s3s` does not check.
fn reject_long_expiry(request: &Parts) -> S3Result<()> {
    let Some(seconds) = parameter(request, "X-Amz-Expires") else { return Ok(()) };
    let fits = seconds.parse::<u32>().is_ok_and(|seconds| seconds <= PRESIGNED_SECONDS_MAX);
    if fits {
        return Ok(());
    }
    let mut error: S3Error =
        s3_error!(AuthorizationQueryParametersError, "X-Amz-Expires must be a number of seconds, at most 604800 (a week).");
    error.set_status_code(StatusCode::FORBIDDEN);
    Err(error)
}

/// Rejects requests with a presigned URL and `x-amz-` headers that its signature does not cover, as S3 does. With
/// `x-amz-copy-source`, a URL for an upload would read every object.
fn reject_unsigned_headers(request: &Parts) -> S3Result<()> {
    if parameter(request, "X-Amz-Signature").is_none() {
        return Ok(());
    }
    let signed = parameter(request, "X-Amz-SignedHeaders").unwrap_or_default();
    let is_signed = |name: &HeaderName| signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name.as_str()));
    let is_covered = |name: &HeaderName| !name.as_str().starts_with("x-amz-") || is_signed(name);
    if request.headers.keys().all(is_covered) {
        return Ok(());
    }
    Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed."))
}

/// Returns the decoded value of the first query parameter with this name.
fn parameter(request: &Parts, name: &str) -> Option<String> {
    let query = request.uri.query()?;
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        let matches = percent_decode_str(found).eq(name.bytes());
        matches.then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

fn error_response(error: S3Error) -> Result<HttpResponse, HttpError> {
    error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

//! Cross-origin resource sharing: which pages may use the API.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use http::{HeaderName, HeaderValue, Method, header};
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Adds CORS to all requests but `OPTIONS` requests that are not preflights: `tower-http` would answer those as well.
#[derive(Debug, Clone)]
pub struct Cors(CorsLayer);

/// The service with and without CORS.
#[derive(Debug, Clone)]
pub struct WithCors<S: Clone> {
    with: tower_http::cors::Cors<S>,
    without: S,
}

impl<S: Clone> Layer<S> for Cors {
    type Service = WithCors<S>;

    fn layer(&self, service: S) -> WithCors<S> {
        WithCors { with: self.0.layer(service.clone()), without: service }
    }
}

impl<S, B> Service<Request> for WithCors<S>
where
    S: Service<Request, Response = http::Response<B>> + Clone,
    B: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = futures::future::Either<<tower_http::cors::Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        std::task::ready!(self.with.poll_ready(context))?;
        self.without.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if *request.method() == Method::OPTIONS && !is_preflight {
            return futures::future::Either::Right(self.without.call(request));
        }
        futures::future::Either::Left(self.with.call(request))
    }
}

/// Returns the layer, or `None` without origins.
pub fn layer(origins: &[String]) -> Option<Cors> {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(ALLOWED_HEADERS.map(HeaderName::from_static))
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE);
    match origins {
        [] => None,
        [any] if any == "*" => Some(Cors(layer.allow_origin(AllowOrigin::any()))),
        some => {
            let origins = some.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
            Some(Cors(layer.allow_origin(AllowOrigin::list(origins))))
        }
    }
}

/// The request headers that pages can send: the headers of the API, of conditional and range requests, and of resumable uploads, and
/// those that upload widgets and tracing libraries add by themselves.
const ALLOWED_HEADERS: [&str; 32] = [
    "accept",
    "authorization",
    "baggage",
    "cache-control",
    "content-digest",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "pragma",
    "range",
    "repr-digest",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "tus-resumable",
    "upload-checksum",
    "upload-complete",
    "upload-concat",
    "upload-defer-length",
    "upload-draft-interop-version",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-api-key",
    "x-file-name",
    "x-http-method-override",
    "x-request-id",
    "x-requested-with",
    "x-user-id",
];

/// The response headers that pages can read, in addition to the CORS-safelisted ones.
const EXPOSED_HEADERS: [&str; 26] = [
    "accept-patch",
    "accept-ranges",
    "allow",
    "content-disposition",
    "content-length",
    "content-range",
    "etag",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-complete",
    "upload-expires",
    "upload-length",
    "upload-limit",
    "upload-metadata",
    "upload-offset",
    "vary",
    "www-authenticate",
    "x-request-id",
];

/// Two hours is the maximum that Chromium accepts. Without it, a preflight precedes almost every upload.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7200);

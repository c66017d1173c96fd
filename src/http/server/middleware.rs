//! The middleware around every request: its id, its log line, its metrics, and the body of an error.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use tracing::field::{DisplayValue, display};

use super::client_address::Peer;
use crate::http::AppState;
use crate::http::error::{ApiError, ErrorBody, Failure};
use crate::http::request::body::SharedBody;
use crate::http::request::fields::FieldErrors;
use crate::metrics::Metrics;
use crate::model::account::{AccountId, KeyId};
use crate::model::plural::counted;
use crate::service::error::{self, Error};

/// The header that links a request to its lines in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route label of requests that match no route.
const NO_ROUTE: &str = "(none)";

/// Assigns the request id, counts and logs the request, writes the body of an error, and drains the request body so that the
/// client can read the response.
pub async fn observe(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let mut log = RequestLog::start(&app, &request);
    request.extensions_mut().insert(Arc::clone(&log.credentials));
    let from_browser = is_from_browser(request.headers());
    let trusts_header = app.config.gateway.trusts(Peer::of(&request));
    request.headers_mut().insert(REQUEST_ID, log.request_id.clone());
    let (request, body) = SharedBody::share(request);
    let mut response = match check_host(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    };
    let failure = response.extensions_mut().remove::<ApiError>().or_else(|| implied_error(&response));
    if let Some(error) = &failure {
        response = with_body(response, &error.failure().body(log.id_text(), trusts_header));
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, log.request_id.clone());
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if headers.contains_key(header::WWW_AUTHENTICATE) && !from_browser {
        headers.append(header::WWW_AUTHENTICATE, BASIC_CHALLENGE);
    }
    log.finish(response.status(), failure.as_ref().map(ApiError::failure));
    if let Some(body) = body {
        // The client may still be sending; it gets the response meanwhile.
        tokio::spawn(body.drain(app.config.body.drain_bytes));
    }
    response
}

/// wget, and the HTTP libraries of Python and Java, send a user name and password only after this challenge. The charset is that
/// of RFC 7617, 2.1.
const BASIC_CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="images", charset="UTF-8""#);

/// Returns whether a browser would open a password dialog, over a page or Swagger UI, for a basic challenge. Browsers send
/// `Sec-Fetch-*` only to https and loopback addresses.
fn is_from_browser(headers: &HeaderMap) -> bool {
    const SIGNS: [&str; 5] = ["sec-fetch-mode", "sec-fetch-site", "x-requested-with", "origin", "referer"];
    let begins = |name, start: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes().starts_with(start));
    let accepts_pages =
        headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("text/html")));
    accepts_pages || begins(header::USER_AGENT, b"Mozilla/") || SIGNS.iter().any(|sign| headers.contains_key(*sign))
}

/// Checks the `Host` header.
///
/// # Errors
/// An HTTP/1.1 request does not have exactly one valid `Host` (RFC 9112, 3.2). A proxy in front might read another one.
fn check_host(request: &Request) -> Result<(), Error> {
    if request.version() != Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_valid = |host: &HeaderValue| {
        host.is_empty() || host.to_str().is_ok_and(|text| !text.contains('@') && text.parse::<Authority>().is_ok())
    };
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_valid(host) => Ok(()),
        (Some(_), None) => Err(Error::malformed("Host", "must be a host name or an address, with or without a port")),
        _ => Err(Error::malformed("Host", "must be given once")),
    }
}

/// Returns the error for a bare 404, which is all that Swagger UI's routes return.
fn implied_error(response: &Response) -> Option<ApiError> {
    let bare = response.status() == StatusCode::NOT_FOUND && response.body().size_hint().exact() == Some(0);
    bare.then(ApiError::no_such_route)
}

/// Adds the error's body to a response that already has the status and headers.
fn with_body(response: Response, body: &ErrorBody) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = Json(body).into_response();
    parts.headers.extend(body.headers().clone());
    Response::from_parts(parts, body.into_body())
}

/// The log entry of a request in progress. If it is dropped before it is finished, the client has closed the connection.
struct RequestLog {
    metrics: Arc<Metrics>,
    request_id: HeaderValue,
    method: Method,
    route: String,
    started: Instant,
    finished: bool,
    /// The client's address, if it is logged.
    client: Option<IpAddr>,
    credentials: Arc<OnceLock<CredentialIds>>,
}

/// The ids of the account and the API key that authenticated a request. Ids are not personal data.
#[derive(Debug)]
pub struct CredentialIds {
    pub account: AccountId,
    pub key: Option<KeyId>,
}

impl RequestLog {
    fn start(app: &AppState, request: &Request) -> Self {
        let sent = request.headers().get(REQUEST_ID).filter(|value| is_valid_request_id(value)).cloned();
        let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
        let metrics = Arc::clone(&app.service.metrics);
        metrics.requests_in_flight.inc();
        Self {
            metrics,
            request_id: sent.unwrap_or_else(|| new_id(app)),
            method: request.method().clone(),
            route,
            started: Instant::now(),
            finished: false,
            client: app
                .config
                .log_client_address
                .then(|| app.config.gateway.proxies.client(Peer::of(request), request.headers())),
            credentials: Arc::default(),
        }
    }

    fn id_text(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    fn finish(&mut self, status: StatusCode, failure: Option<&Failure>) {
        self.finished = true;
        self.metrics.count_request(self.method_label(), &self.route, status.as_u16(), self.started.elapsed());
        self.log(status.as_u16(), failure);
    }

    /// Clients choose the method, and every label value stays in memory, so unusual methods share one label.
    fn method_label(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "OTHER",
        }
    }

    fn ids(&self) -> (Option<DisplayValue<AccountId>>, Option<DisplayValue<KeyId>>) {
        let credentials = self.credentials.get();
        (
            credentials.map(|credentials| display(credentials.account)),
            credentials.and_then(|credentials| credentials.key).map(display),
        )
    }

    /// Rounded to the microsecond; more digits mean nothing.
    fn duration_ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1_000_000.0).round() / 1000.0
    }

    /// Writes one line per request. Paths, queries and bodies are not logged: they contain names and links.
    fn log(&self, status: u16, failure: Option<&Failure>) {
        let duration_ms = self.duration_ms();
        let (request_id, method, route) = (self.id_text(), self.method_label(), self.route.as_str());
        let cause = failure.map(chain);
        let client = self.client.map(display);
        let (account_id, key_id) = self.ids();
        match failure {
            _ if status >= 500 => {
                tracing::error!(
                    request_id,
                    method,
                    route,
                    status,
                    duration_ms,
                    client,
                    account_id,
                    key_id,
                    cause,
                    "request failed"
                );
            }
            Some(_) => {
                tracing::info!(
                    request_id,
                    method,
                    route,
                    status,
                    duration_ms,
                    client,
                    account_id,
                    key_id,
                    cause,
                    "request rejected"
                );
            }
            None => tracing::info!(request_id, method, route, status, duration_ms, client, account_id, key_id, "request"),
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
        if !self.finished {
            let duration_ms = self.duration_ms();
            let (request_id, method, route) = (self.id_text(), self.method_label(), self.route.as_str());
            // nginx's status for a client that closed the connection.
            self.metrics.count_request(method, route, 499, self.started.elapsed());
            let client = self.client.map(display);
            let (account_id, key_id) = self.ids();
            tracing::info!(request_id, method, route, duration_ms, client, account_id, key_id, "request cancelled by the client");
        }
    }
}

/// Returns the error and all its causes as one line. It contains the broken rules, but no field values. Names that the client
/// invented are only counted.
fn chain(failure: &Failure) -> String {
    match failure {
        Failure::Panicked { message } => format!("panic: {message}"),
        Failure::Service(Error::Malformed { details, .. } | Error::Invalid(details)) => {
            let unknown = details.values().filter(|rule| FieldErrors::is_unknown(rule)).count();
            let known = details.iter().filter(|(_, rule)| !FieldErrors::is_unknown(rule));
            let mut rules: Vec<String> = known.map(|(name, rule)| error::broken_rule(name, rule)).collect();
            if unknown > 0 {
                rules.push(counted(unknown as u64, "unknown name"));
            }
            rules.join("; ")
        }
        other => error::chain(other),
    }
}

/// Returns whether the id has 1 to 128 characters that are safe in a header and in a log.
fn is_valid_request_id(value: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(allowed)
}

fn new_id(app: &AppState) -> HeaderValue {
    let id = crate::model::id::ImageId::new(&**app.service.clock());
    HeaderValue::from_str(&id.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_cause_of_an_internal_error_and_the_response_does_not() {
        let failure = crate::imaging::Error::Internal { reason: "encoding a thumbnail: out of ink".to_owned() };
        let failure = Failure::Service(failure.into());
        assert!(chain(&failure).contains("out of ink"), "{}", chain(&failure));
        let body = serde_json::to_string(&failure.body("the-id", false)).unwrap();
        assert!(body.contains("the-id") && !body.contains("ink"), "{body}");
    }
}

//! The HTTP client for imports: fetches files from untrusted URLs without reaching into the service's own network (SSRF).
//!
//! A URL that follows the rules (http or https to an allowed port, see [`target`]) is a [`Target`]. Its host is resolved once.
//! Every address passes through the [`address_filter`], and the connection goes to an address that passed, so DNS rebinding has
//! no effect (`connect.rs`). Each redirect is a new target with the same checks. Everything is bounded: the size of head and
//! body, the time to the response and the total time. No cookies, referrer or credentials are sent.
//!
//! [`Network`] abstracts the outside world: DNS, connections and the trusted certificates.

pub mod address_filter;
mod connect;
pub mod error;
pub mod network;
pub mod target;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use connect::Connector;
pub use error::Error;
pub use network::{Network, SystemNetwork};
pub use target::Target;

use crate::model::content_disposition::ContentDisposition;

/// Limits for fetching.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Allowed ports, explicit or implied by the scheme.
    pub ports: Vec<u16>,
    /// Whether to allow private addresses. Link-local and cloud metadata addresses are never allowed.
    pub allow_private: bool,
    /// The time limit from the start of a request to the head of its response, for each redirect; and for each pause within a
    /// body.
    pub answer_timeout: Duration,
    /// The time limit for the whole fetch, redirects and body included.
    pub total_timeout: Duration,
}

const MAX_REDIRECTS: usize = 5;

const USER_AGENT: &str = concat!("image-service/", env!("CARGO_PKG_VERSION"));

const ACCEPT: HeaderValue = HeaderValue::from_static("image/jpeg,image/png,image/gif,image/webp,image/*;q=0.5,*/*;q=0.1");

/// A client for fetching files.
#[derive(Debug)]
pub struct Fetcher {
    config: FetchConfig,
    connector: Connector,
}

/// A response whose body has not been read.
#[derive(Debug)]
pub struct Response {
    /// The target after all redirects.
    pub target: Target,
    /// The length of the body in bytes; `None` if the response's framing does not reveal it.
    pub length: Option<u64>,
    /// Whether the body is compressed with gzip.
    pub compressed: bool,
    /// The media type from `Content-Type`, without parameters; `None` if it is missing or malformed.
    pub content_type: Option<String>,
    /// The name from `Content-Disposition`.
    file_name: Option<String>,
    body: Incoming,
    time_left: Duration,
    idle_timeout: Duration,
    _connection: AbortOnDropHandle<()>,
}

impl Fetcher {
    pub fn new(config: FetchConfig, network: Arc<dyn Network>) -> Self {
        let connector = Connector::new(network, config.allow_private);
        Self { config, connector }
    }

    /// Checks a URL against the rules, without network access.
    ///
    /// # Errors
    /// The rule that the URL breaks, as text for the client.
    pub fn check(&self, url: &str) -> Result<Target, String> {
        Target::parse(url, &self.config.ports)
    }

    /// Requests a file and follows redirects. `now` is the reference for a date in `Retry-After`.
    ///
    /// # Errors
    /// The request fails, a redirect is not allowed, or the status is not 200.
    pub async fn get(&self, target: Target, now: DateTime<Utc>) -> Result<Response, Error> {
        let deadline = Instant::now() + self.config.total_timeout;
        let mut target = target;
        for _ in 0..=MAX_REDIRECTS {
            let answer_deadline = deadline.min(Instant::now() + self.config.answer_timeout);
            let request = tokio::time::timeout_at(answer_deadline, self.request(&target));
            let (head, body, connection) = request.await.map_err(|_| Error::TimedOut)??;
            if is_redirect(head.status) {
                let location = location(&head.headers).ok_or(Error::NoLocation)?;
                target = target.join(location, &self.config.ports).map_err(Error::Redirect)?;
                continue;
            }
            if head.status != StatusCode::OK {
                return Err(Error::Status { status: head.status, retry_after: retry_after(&head.headers, now) });
            }
            return Ok(Response {
                target,
                // Not `Content-Length`, which is invalid in combination with `Transfer-Encoding`.
                length: body.size_hint().exact(),
                compressed: is_compressed(&head.headers)?,
                content_type: content_type(&head.headers),
                file_name: file_name(&head.headers),
                body,
                time_left: deadline - Instant::now(),
                idle_timeout: self.config.answer_timeout,
                _connection: connection,
            });
        }
        Err(Error::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    async fn request(&self, target: &Target) -> Result<(http::response::Parts, Incoming, AbortOnDropHandle<()>), Error> {
        let (mut sender, connection) = self.connector.connect(target).await?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(target.path_and_query())
            .header(header::HOST, target.authority())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, ACCEPT)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(Error::internal)?;
        let (head, body) = sender.send_request(request).await.map_err(Error::from_hyper)?.into_parts();
        Ok((head, body, connection))
    }
}

impl Response {
    /// Returns the file's name: from `Content-Disposition`, else from the URL's path. Empty if neither has one.
    pub fn file_name(&self) -> String {
        self.file_name.clone().unwrap_or_else(|| self.target.file_name())
    }

    /// Returns the memory in bytes that [`Response::read`] needs with this `limit`.
    pub fn memory_bytes(&self, limit: u64) -> u64 {
        let length = self.length.map_or(limit, |length| length.min(limit));
        if self.compressed { length + limit } else { length }
    }

    /// Reads the body. The time since the head was received does not count: the caller may have waited for memory.
    ///
    /// # Errors
    /// The body has more than `limit` bytes, compressed or decompressed, is incomplete, or takes too long.
    pub async fn read(mut self, limit: u64) -> Result<Bytes, Error> {
        if self.length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        let body = tokio::time::timeout(self.time_left, self.collect(limit)).await.map_err(|_| Error::TimedOut)??;
        if !self.compressed {
            return Ok(body);
        }
        let decompressed = tokio::task::spawn_blocking(move || decompress(&body, limit));
        decompressed.await.map_err(Error::internal)?
    }

    async fn collect(&mut self, limit: u64) -> Result<Bytes, Error> {
        // Allocate the full capacity first: a growing buffer would take more memory than reserved while it is reallocated.
        let mut bytes = BytesMut::with_capacity(usize::try_from(self.length.unwrap_or(limit)).unwrap_or_default());
        while let Some(frame) = tokio::time::timeout(self.idle_timeout, self.body.frame()).await.map_err(|_| Error::TimedOut)? {
            // A frame without data is a trailer section.
            let Ok(chunk) = frame.map_err(Error::from_hyper)?.into_data() else { continue };
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

fn decompress(body: &[u8], limit: u64) -> Result<Bytes, Error> {
    let mut bytes = Vec::with_capacity(usize::try_from(limit + 1).unwrap_or_default());
    let decoder = flate2::read::MultiGzDecoder::new(body);
    decoder.take(limit + 1).read_to_end(&mut bytes).map_err(Error::Compression)?;
    if bytes.len() as u64 > limit { Err(Error::TooLarge { limit }) } else { Ok(bytes.into()) }
}

/// Returns whether a status is a redirect with a `Location` (RFC 9110, 15.4).
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn location(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get(header::LOCATION)?.as_bytes()).ok()
}

fn is_compressed(headers: &HeaderMap) -> Result<bool, Error> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(Error::UnknownCompression),
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.+-".contains(c);
    (media_type.len() <= 64 && media_type.contains('/') && media_type.chars().all(plain)).then(|| media_type.to_ascii_lowercase())
}

fn file_name(headers: &HeaderMap) -> Option<String> {
    ContentDisposition::parse(headers.get(header::CONTENT_DISPOSITION)?.as_bytes()).file_name(None)
}

/// Parses `Retry-After`: a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((date - now).max(TimeDelta::zero()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-01-31T12:00:00Z").unwrap().to_utc();
        let of = |text: &str| retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sat, 31 Jan 2026 12:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(of("Sat, 31 Jan 2026 11:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["", "-1", "soon", "99999999999999999999", "1.5"] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn only_well_formed_media_types_are_returned() {
        let of = |text: &str| content_type(&HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]));
        assert_eq!(of("Text/HTML; charset=utf-8").as_deref(), Some("text/html"));
        assert_eq!(of("image/svg+xml").as_deref(), Some("image/svg+xml"));
        for other in ["", "html", "<b>/</b>", &format!("a/{}", "b".repeat(80))] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn decompression_is_bounded() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 2000);
        assert_eq!(decompress(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(decompress(&bomb, (1 << 20) - 1), Err(Error::TooLarge { .. })));
        assert!(matches!(decompress(&bomb[..bomb.len() / 2], 1 << 20), Err(Error::Compression(_))));
    }
}

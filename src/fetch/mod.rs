//! Floor 2: pictures from strangers' URLs, fetched so that no URL leads into the network that the service is in.
//!
//! A URL is a [`Target`] when it is plain http or https to an allowed port ([`target`]). Its host is resolved once; every
//! address is held against [`guard`], and the connection goes to one that passed, so that a name which answers differently
//! the next time has no next time (`connect.rs`). A redirect is a new target, with all of that again. Whatever comes is bounded:
//! the head's bytes, the body's, the time to the answer and in all. No cookies, no referrer, no credentials are sent.
//!
//! [`Network`] is the outside world: names, connections, and whom TLS trusts.

mod connect;
pub mod error;
pub mod guard;
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

/// What fetching is bounded by.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Ports that URLs may name or imply.
    pub ports: Vec<u16>,
    /// Whether addresses that are not public may be connected to; those that clouds and links keep for themselves never.
    pub allow_private: bool,
    /// From the start of a fetch, or of a redirect, to the head of its answer; and for each pause within a body.
    pub answer_timeout: Duration,
    /// For all of it, redirects and body included.
    pub total_timeout: Duration,
}

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

const USER_AGENT: &str = concat!("image-service/", env!("CARGO_PKG_VERSION"));

const ACCEPT: HeaderValue = HeaderValue::from_static("image/jpeg,image/png,image/gif,image/webp,image/*;q=0.5,*/*;q=0.1");

/// Fetches files.
#[derive(Debug)]
pub struct Fetcher {
    config: FetchConfig,
    connector: Connector,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub struct Answer {
    /// Where the last redirect led.
    pub target: Target,
    /// Bytes that the body has at most, where the answer's framing tells.
    pub length: Option<u64>,
    /// Whether the body is compressed with gzip.
    pub compressed: bool,
    /// What the answer says its body is, where that is a plain media type.
    pub content_type: Option<String>,
    /// What the answer calls its file.
    file_name: Option<String>,
    body: Incoming,
    time_left: Duration,
    longest_pause: Duration,
    _connection: AbortOnDropHandle<()>,
}

impl Fetcher {
    pub fn new(config: FetchConfig, network: Arc<dyn Network>) -> Self {
        let connector = Connector::new(network, config.allow_private);
        Self { config, connector }
    }

    /// The rules of a URL, without asking the network anything.
    ///
    /// # Errors
    /// The rule that it breaks, in words for the client.
    pub fn check(&self, url: &str) -> Result<Target, String> {
        Target::parse(url, &self.config.ports)
    }

    /// Asks for a file, and follows redirects to it.
    ///
    /// # Errors
    /// Everything but an answer of 200; `now` is what a `Retry-After` date is held against.
    pub async fn get(&self, target: Target, now: DateTime<Utc>) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.config.total_timeout;
        let mut target = target;
        for _ in 0..=MAX_REDIRECTS {
            let answer_deadline = deadline.min(Instant::now() + self.config.answer_timeout);
            let asking = tokio::time::timeout_at(answer_deadline, self.ask(&target));
            let (head, body, connection) = asking.await.map_err(|_| Error::TimedOut)??;
            if let Some(location) = redirection(&head) {
                target = location.and_then(|location| target.join(location, &self.config.ports)).map_err(Error::Redirect)?;
                continue;
            }
            if head.status != StatusCode::OK {
                return Err(Error::Status { status: head.status, retry_after: retry_after(&head.headers, now) });
            }
            return Ok(Answer {
                target,
                // Not what Content-Length says, which means nothing beside Transfer-Encoding.
                length: body.size_hint().exact(),
                compressed: is_compressed(&head.headers)?,
                content_type: content_type(&head.headers),
                file_name: file_name(&head.headers),
                body,
                time_left: deadline - Instant::now(),
                longest_pause: self.config.answer_timeout,
                _connection: connection,
            });
        }
        Err(Error::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    async fn ask(&self, target: &Target) -> Result<(http::response::Parts, Incoming, AbortOnDropHandle<()>), Error> {
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
        let (head, body) = sender.send_request(request).await.map_err(Error::of_http)?.into_parts();
        Ok((head, body, connection))
    }
}

impl Answer {
    /// What the file is called: by its host, or else by the URL's path. Empty if neither says.
    pub fn file_name(&self) -> String {
        self.file_name.clone().unwrap_or_else(|| self.target.file_name())
    }

    /// Bytes of memory that [`Answer::read`] takes, which reads up to `limit`.
    pub fn memory(&self, limit: u64) -> u64 {
        let length = self.length.map_or(limit, |length| length.min(limit));
        if self.compressed { length + limit } else { length }
    }

    /// Reads the body. The time between its head and now, in which memory may have been waited for, is not its host's.
    ///
    /// # Errors
    /// It has more than `limit` bytes, as sent or as decompressed, ends early, or takes too long.
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
        // All of it at once: a buffer that grows takes more than was reserved while it moves.
        let mut bytes = BytesMut::with_capacity(usize::try_from(self.length.unwrap_or(limit)).unwrap_or_default());
        while let Some(frame) = tokio::time::timeout(self.longest_pause, self.body.frame()).await.map_err(|_| Error::TimedOut)? {
            // What is no data is a trailer.
            let Ok(piece) = frame.map_err(Error::of_http)?.into_data() else { continue };
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            bytes.extend_from_slice(&piece);
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

/// Where the answer leads on to, if it is one that does (RFC 9110, 15.4).
fn redirection(head: &http::response::Parts) -> Option<Result<&str, String>> {
    let leads_on = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = || head.headers.get(header::LOCATION).and_then(|location| std::str::from_utf8(location.as_bytes()).ok());
    leads_on.then(|| location().ok_or_else(|| "does not say where to".to_owned()))
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

/// Seconds, or a date (RFC 9110, 10.2.3).
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
    fn a_retry_is_put_off_by_seconds_or_to_a_date() {
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
    fn only_what_is_plainly_a_media_type_is_told_on() {
        let of = |text: &str| content_type(&HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]));
        assert_eq!(of("Text/HTML; charset=utf-8").as_deref(), Some("text/html"));
        assert_eq!(of("image/svg+xml").as_deref(), Some("image/svg+xml"));
        for other in ["", "html", "<b>/</b>", &format!("a/{}", "b".repeat(80))] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_compressed_is_bounded_as_it_grows() {
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

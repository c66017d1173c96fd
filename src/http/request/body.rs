//! Request bodies with limits: size, pauses, and total time.
//!
//! A server that responds before it has read the body must drain some of it: closing a connection with unread data resets it, and
//! the client would see the reset instead of the response. `server/middleware.rs` does so for every request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use futures::{Stream, StreamExt};
use http::{HeaderMap, header};
use http_body::Body as _;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::http::error::ApiError;
use crate::model::multipart_framing::NoBoundary;
use crate::service::error::Error;

/// Limits for the size and the speed of request bodies.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Maximum size of an upload's fields and multipart framing, in addition to the file.
    pub fields_bytes: u64,
    /// Maximum pause between two chunks.
    pub idle_timeout: Duration,
    /// Maximum time for the whole body.
    pub total_timeout: Duration,
    /// Maximum number of bytes that are drained from a rejected body.
    pub drain_bytes: u64,
    /// Minimum average speed after [`BODY_RATE_GRACE`]; 0 means no minimum.
    pub min_bytes_per_second: u64,
}

/// Why reading a body failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the connection was interrupted")]
    Broken,
    /// Only for multipart bodies.
    #[error("the multipart boundary was not found")]
    NoBoundary,
}

impl From<NoBoundary> for BodyError {
    fn from(_: NoBoundary) -> Self {
        Self::NoBoundary
    }
}

/// A body that fails when it exceeds a limit.
#[derive(Debug)]
pub struct BoundedBody {
    stream: BodyDataStream,
    left_bytes: u64,
    limit_bytes: u64,
    idle: Pin<Box<Sleep>>,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    total_timeout: Duration,
    min_bytes_per_second: u64,
    /// When the timer started: with the first read, because the wait for admission is not the client's fault.
    started: Option<Instant>,
    server_delay: ServerDelay,
}

/// How long the service kept the client waiting since the last check. This time does not count against the client.
#[derive(Debug, Clone, Default)]
pub struct ServerDelay(Arc<Mutex<Duration>>);

impl ServerDelay {
    /// Runs work that may keep the client waiting, and measures its time.
    pub async fn measure<T>(&self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let output = work.await;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += started.elapsed();
        output
    }

    fn take(&self) -> Duration {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The minimum speed of a body applies only after this time.
pub const BODY_RATE_GRACE: Duration = Duration::from_secs(5);

impl BoundedBody {
    pub fn new(body: Body, limit_bytes: u64, limits: &BodyLimits) -> Self {
        Self {
            stream: body.into_data_stream(),
            left_bytes: limit_bytes,
            limit_bytes,
            idle: Box::pin(sleep(limits.idle_timeout)),
            idle_timeout: limits.idle_timeout,
            deadline: Box::pin(sleep(limits.total_timeout)),
            total_timeout: limits.total_timeout,
            min_bytes_per_second: limits.min_bytes_per_second,
            started: None,
            server_delay: ServerDelay::default(),
        }
    }

    /// Returns the counter for the time that the reader keeps the client waiting.
    pub fn server_delay(&self) -> ServerDelay {
        self.server_delay.clone()
    }

    /// Returns the time that the body may take, given the bytes received so far. A slow body must not occupy resources that
    /// others need.
    fn allowed_time(&self) -> Duration {
        let received_bytes = self.limit_bytes - self.left_bytes;
        match (received_bytes * 1000).checked_div(self.min_bytes_per_second) {
            Some(earned_ms) => self.total_timeout.min(BODY_RATE_GRACE + Duration::from_millis(earned_ms)),
            None => self.total_timeout,
        }
    }
}

impl Stream for BoundedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let started = *this.started.get_or_insert_with(|| {
            let now = Instant::now();
            this.idle.as_mut().reset(now + this.idle_timeout);
            now
        });
        let server_delay = this.server_delay.take();
        let started = started + server_delay;
        if !server_delay.is_zero() {
            this.started = Some(started);
            this.idle.as_mut().reset(Instant::now() + this.idle_timeout);
        }
        let deadline = started + this.allowed_time();
        if this.deadline.deadline() != deadline {
            this.deadline.as_mut().reset(deadline);
        }
        match this.stream.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                this.idle.as_mut().reset(Instant::now() + this.idle_timeout);
                let Some(left) = this.left_bytes.checked_sub(bytes.len() as u64) else {
                    return Poll::Ready(Some(Err(BodyError::TooLarge { limit_bytes: this.limit_bytes })));
                };
                this.left_bytes = left;
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(BodyError::Broken))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let late = this.idle.as_mut().poll(context).is_ready() || this.deadline.as_mut().poll(context).is_ready();
                if late { Poll::Ready(Some(Err(BodyError::TooSlow))) } else { Poll::Pending }
            }
        }
    }
}

/// A body with two owners: the handler that reads it, and the middleware that drains the rest.
#[derive(Debug, Clone)]
pub struct SharedBody(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    stream: BodyDataStream,
    /// The client waits for `100 Continue`, which hyper sends when the body is first read.
    expects_continue: bool,
    ended: bool,
}

/// Maximum time for draining, and maximum pause in it. A client that does not send can already read the response.
const DRAIN_TIME: Duration = Duration::from_secs(5);
const DRAIN_PAUSE: Duration = Duration::from_secs(2);

impl SharedBody {
    /// Shares a request's body; `None` if the request has none.
    pub fn share(request: Request) -> (Request, Option<Self>) {
        if request.body().is_end_stream() {
            return (request, None);
        }
        let (parts, body) = request.into_parts();
        let expects_continue = parts.headers.contains_key(header::EXPECT);
        let shared = Self(Arc::new(Mutex::new(Shared { stream: body.into_data_stream(), expects_continue, ended: false })));
        (Request::from_parts(parts, Body::from_stream(shared.clone())), Some(shared))
    }

    /// Reads and discards the rest, within limits, so that a client that is still sending gets the response.
    pub async fn drain(mut self, max_bytes: u64) {
        {
            let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.expects_continue || shared.ended {
                return;
            }
        }
        let draining = async {
            let mut left_bytes = max_bytes;
            // A broken connection stops the draining just as the end of the body does.
            while let Ok(Some(Ok(piece))) = timeout(DRAIN_PAUSE, self.next()).await {
                let Some(left) = left_bytes.checked_sub(piece.len() as u64) else { return };
                left_bytes = left;
            }
        };
        // A timeout is not an error: draining is best effort.
        timeout(DRAIN_TIME, draining).await.unwrap_or_default();
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.expects_continue = false;
        let polled = shared.stream.poll_next_unpin(context);
        shared.ended |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}

/// Checks that a body is not encoded. A compressed body would be parsed as garbage, with misleading errors for its fields.
///
/// # Errors
/// The body has a `Content-Encoding` (415, RFC 9110, 15.5.16).
pub fn require_unencoded(headers: &HeaderMap) -> Result<(), ApiError> {
    let fields = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let plain = codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(ApiError::encoded_body()) }
}

/// Maximum time for a small body, such as JSON.
const SMALL_BODY_TIME: Duration = Duration::from_secs(15);

/// Reads a small body with a timeout.
///
/// # Errors
/// [`Error::BodyTooSlow`].
pub async fn with_timeout<T>(reading: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(SMALL_BODY_TIME, reading).await.map_err(|_| Error::BodyTooSlow)
}

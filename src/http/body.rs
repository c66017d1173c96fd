//! Request bodies under bounds: so many bytes, so long a pause, so long in all.
//!
//! A handler that refuses a request before it has read the body must read on for a while and throw away: a connection
//! closed with unread bytes in it is reset, and the client would see that instead of the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::{Stream, StreamExt};
use http::{HeaderMap, header};
use tokio::time::{Instant, Sleep, sleep};

use crate::service::error::Error;

/// How much and how slowly a client may send.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Bytes of an upload's fields and of the multipart framing, beside the file.
    pub fields_bytes: u64,
    /// The longest pause between two pieces.
    pub idle_timeout: Duration,
    /// The longest time for the whole.
    pub total_timeout: Duration,
}

/// What ends a body early.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the connection broke")]
    Broken,
}

/// A body that two can hold: who reads it, and who drains what was left.
#[derive(Debug, Clone)]
pub struct BoundedBody(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    stream: BodyDataStream,
    left_bytes: u64,
    limit_bytes: u64,
    idle: Pin<Box<Sleep>>,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    total_timeout: Duration,
    /// Whether reading has begun, and time counts: what a request waits for admission is not its client's doing.
    started: bool,
    ended: bool,
}

impl BoundedBody {
    pub fn new(body: Body, limit_bytes: u64, limits: &BodyLimits) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream: body.into_data_stream(),
            left_bytes: limit_bytes,
            limit_bytes,
            idle: Box::pin(sleep(limits.idle_timeout)),
            idle_timeout: limits.idle_timeout,
            deadline: Box::pin(sleep(limits.total_timeout)),
            total_timeout: limits.total_timeout,
            started: false,
            ended: false,
        })))
    }

    /// Reads on and throws away, within bounds, so that the answer reaches a client that is still sending. One that
    /// waits for `100 Continue` is not sending.
    pub async fn drain(self, headers: &HeaderMap) {
        if headers.contains_key(header::EXPECT) {
            return;
        }
        {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.ended {
                return;
            }
            inner.left_bytes = inner.limit_bytes * 2;
            inner.total_timeout = DRAIN_TIME;
            inner.started = false;
        }
        // An error ends the draining as the end of the body does: there is nobody left to tell.
        self.take_while(|piece| std::future::ready(piece.is_ok())).for_each(|_| std::future::ready(())).await;
    }
}

const DRAIN_TIME: Duration = Duration::from_secs(5);

impl Stream for BoundedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.poll_next(context)
    }
}

impl Inner {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.started {
            self.started = true;
            self.idle.as_mut().reset(Instant::now() + self.idle_timeout);
            self.deadline.as_mut().reset(Instant::now() + self.total_timeout);
        }
        match self.stream.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.idle.as_mut().reset(Instant::now() + self.idle_timeout);
                let Some(left) = self.left_bytes.checked_sub(bytes.len() as u64) else {
                    return Poll::Ready(Some(Err(BodyError::TooLarge { limit_bytes: self.limit_bytes })));
                };
                self.left_bytes = left;
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.ended = true;
                Poll::Ready(Some(Err(BodyError::Broken)))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let late = self.idle.as_mut().poll(context).is_ready() || self.deadline.as_mut().poll(context).is_ready();
                if late { Poll::Ready(Some(Err(BodyError::TooSlow))) } else { Poll::Pending }
            }
        }
    }
}

/// Small bodies, such as JSON, have this long.
const SMALL_BODY_TIME: Duration = Duration::from_secs(15);

/// Waits for a small body.
///
/// # Errors
/// [`Error::BodyTooSlow`].
pub async fn in_time<T>(reading: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(SMALL_BODY_TIME, reading).await.map_err(|_| Error::BodyTooSlow)
}

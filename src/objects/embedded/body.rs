//! Request bodies with limits: their size, the time for each pause, and the time for all of it.
//!
//! Dropping a body returns its unread rest to the request filter, which discards it before it responds: closing a connection with
//! unread bytes may lose the response.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

// `s3s` wraps these errors in private types, so they are recognised by their text.
pub(super) const TOO_LARGE: &str = "the body exceeds the size limit";
pub(super) const STALLED: &str = "the client sent no data within the time limit";

/// A body that fails when it exceeds its size limit or stalls.
pub(super) struct BoundedBody {
    inner: Option<Incoming>,
    unread: Option<oneshot::Sender<UnreadBody>>,
    remaining_bytes: u64,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    /// When the whole body must have arrived.
    end: Instant,
    /// Whether the deadline applies: only while waiting for the client, not while waiting for the disk.
    waiting: bool,
    failed: bool,
}

/// The state of a body that was dropped before its end.
pub(super) enum UnreadBody {
    /// The rest can still be read.
    Rest(Incoming),
    /// Reading failed or a limit was exceeded.
    Failed,
}

impl BoundedBody {
    /// Wraps a body. The receiver gets the rest if the body is dropped before its end.
    pub(super) fn new(
        inner: Incoming,
        bytes_max: u64,
        idle_timeout: Duration,
        timeout: Duration,
    ) -> (Self, oneshot::Receiver<UnreadBody>) {
        let (unread, receiver) = oneshot::channel();
        let body = Self {
            inner: Some(inner),
            unread: Some(unread),
            remaining_bytes: bytes_max,
            idle_timeout,
            deadline: Box::pin(tokio::time::sleep(idle_timeout)),
            end: Instant::now() + timeout,
            waiting: false,
            failed: false,
        };
        (body, receiver)
    }

    fn poll_within_limits(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.waiting = false;
            if Instant::now() > self.end {
                return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, STALLED))));
            }
            return Poll::Ready(frame.map(|frame| {
                let frame = frame.map_err(io::Error::other)?;
                self.count(&frame)?;
                Ok(frame)
            }));
        }
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.idle_timeout;
            self.deadline.as_mut().reset(deadline);
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, STALLED)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> io::Result<()> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let remaining = self.remaining_bytes.checked_sub(bytes);
        self.remaining_bytes = remaining.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE))?;
        Ok(())
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.poll_within_limits(cx);
        self.failed |= matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for BoundedBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        if let (Some(inner), Some(unread)) = (self.inner.take(), self.unread.take()) {
            // If the receiver no longer exists, the connection is closed.
            unread.send(if self.failed { UnreadBody::Failed } else { UnreadBody::Rest(inner) }).ok();
        }
    }
}

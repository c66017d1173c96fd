//! A request's body under two bounds: its bytes, and how long it may stand still.
//!
//! What nobody read of it comes back when it is dropped: an answer that is sent over a client's unread bytes may
//! be lost with the connection, so the door reads them away first.

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

/// The texts by which these errors are known again behind the layers that wrap them.
pub(super) const TOO_LARGE: &str = "the body is larger than it may be";
pub(super) const STALLED: &str = "the body stood still for too long";

/// A body that ends in an error once it is too large or too slow.
pub(super) struct BoundedBody {
    inner: Option<Incoming>,
    unread: Option<oneshot::Sender<Unread>>,
    left_bytes: u64,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline counts: it does only while the body is waited for, not while the disk is.
    waiting: bool,
    failed: bool,
}

/// A body that was dropped before its end.
pub(super) enum Unread {
    /// It can be read on.
    Rest(Incoming),
    /// It broke off, or a bound was reached.
    Failed,
}

impl BoundedBody {
    /// The body, and where it comes back to if it is dropped before its end.
    pub(super) fn new(inner: Incoming, bytes_max: u64, idle_timeout: Duration) -> (Self, oneshot::Receiver<Unread>) {
        let (unread, receiver) = oneshot::channel();
        let body = Self {
            inner: Some(inner),
            unread: Some(unread),
            left_bytes: bytes_max,
            idle_timeout,
            deadline: Box::pin(tokio::time::sleep(idle_timeout)),
            waiting: false,
            failed: false,
        };
        (body, receiver)
    }

    fn poll_within_bounds(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.waiting = false;
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
        let left = self.left_bytes.checked_sub(bytes);
        self.left_bytes = left.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE))?;
        Ok(())
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.poll_within_bounds(cx);
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
            // That nobody waits for it means that the connection is gone.
            unread.send(if self.failed { Unread::Failed } else { Unread::Rest(inner) }).ok();
        }
    }
}

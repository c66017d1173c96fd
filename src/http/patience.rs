//! How long a connection waits for its client: a head must be whole soon after its first byte, while a connection on which nothing is
//! asked may stay open for longer than the load balancer in front keeps it.
//!
//! hyper has one timer for both. So the connection's stream, which sees bytes come, and the service, which sees requests begin and
//! answers end, share a [`Turn`].

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Whose turn it is on a connection.
#[derive(Debug, Clone, Default)]
pub struct Turn(Arc<State>);

#[derive(Debug, Default)]
struct State {
    turn: AtomicU8,
    /// Since when the client has taken nothing of what is to be written.
    stalled: Mutex<Option<Instant>>,
}

/// A client that has taken nothing for so long does not read.
pub const STALLED: Duration = Duration::from_secs(1);

/// The client's, to send a head: the connection is new, or a head has begun.
const HEAD: u8 = 0;
/// Nobody's: the last answer has ended, and nothing has come since.
const IDLE: u8 = 1;
/// The service's, to read a body and to answer. Bodies have bounds of their own.
const BUSY: u8 = 2;

impl Turn {
    /// A request's head has come.
    pub fn begin(&self) {
        self.0.turn.store(BUSY, Ordering::Relaxed);
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.0.turn.load(Ordering::Relaxed) == BUSY
    }

    /// The client does not take what is written.
    pub fn stall(&self) {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn flow(&self) {
        *self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For how long the client has not read, if that is long.
    pub fn stalled_for(&self) -> Option<Duration> {
        let since = (*self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(since.elapsed()).filter(|elapsed| *elapsed >= STALLED)
    }

    /// Has the turn end with the answer's body.
    pub fn end_with(&self, response: Response) -> Response {
        response.map(|body| Body::new(Watched { body, turn: self.clone() }))
    }
}

/// A body that ends its request's turn when it is dropped.
struct Watched {
    body: Body,
    turn: Turn,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.turn.0.turn.store(IDLE, Ordering::Relaxed);
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that fails to be read when its client takes too long.
#[derive(Debug)]
pub struct PatientStream<S> {
    stream: S,
    turn: Turn,
    /// What the timer was set for.
    timed: u8,
    timer: Pin<Box<Sleep>>,
    head_timeout: Duration,
    keep_alive_timeout: Duration,
}

impl<S> PatientStream<S> {
    pub fn new(stream: S, turn: Turn, head_timeout: Duration, keep_alive_timeout: Duration) -> Self {
        Self { stream, turn, timed: HEAD, timer: Box::pin(sleep(head_timeout)), head_timeout, keep_alive_timeout }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if written.is_pending() { self.turn.stall() } else { self.turn.flow() }
    }

    fn set_timer(&mut self, turn: u8) {
        self.timed = turn;
        let timeout = if turn == IDLE { self.keep_alive_timeout } else { self.head_timeout };
        self.timer.as_mut().reset(Instant::now() + timeout);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let turn = this.turn.0.turn.load(Ordering::Relaxed);
        if turn != this.timed {
            this.set_timer(turn);
        }
        let filled = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            if turn == IDLE && buffer.filled().len() > filled {
                this.turn.0.turn.store(HEAD, Ordering::Relaxed);
                this.set_timer(HEAD);
            }
            return Poll::Ready(read);
        }
        if turn != BUSY {
            ready!(this.timer.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not send a request in time")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note(&written);
        written
    }
}

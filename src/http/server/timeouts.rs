//! Timeouts of a connection. A request head must be complete soon after its first byte, while an idle connection may stay open
//! for longer than the load balancer in front keeps it.
//!
//! hyper has one timer for both. So the connection's stream, which sees bytes arrive, and the service, which sees requests begin
//! and responses end, share a [`ConnectionState`].
//!
//! Through the same state, a response body learns whether its client reads, and gives hyper no more data until it does. Otherwise
//! hyper would buffer 64 KiB and more for each client.

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

use super::interim::InterimResponses;

/// What a connection is waiting for, shared by its stream and its service.
#[derive(Debug, Clone, Default)]
pub struct ConnectionState(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    /// When the client stopped reading; `None` while it reads.
    stalled: Mutex<Option<Instant>>,
    interim: InterimResponses,
}

/// A client that has read nothing for this long is considered stalled.
pub const STALL_THRESHOLD: Duration = Duration::from_secs(1);

/// Waiting for a request head: the connection is new, or a head has begun.
const HEAD: u8 = 0;
/// Idle: the last response has ended, and no byte has arrived since.
const IDLE: u8 = 1;
/// The service reads a body or responds. Bodies have timeouts of their own.
const BUSY: u8 = 2;

impl ConnectionState {
    /// Records that a request head has arrived.
    pub fn begin_request(&self) {
        self.0.state.store(BUSY, Ordering::Relaxed);
        self.0.interim.begin_request();
    }

    /// Returns the interim responses to the request.
    pub fn interim_responses(&self) -> InterimResponses {
        self.0.interim.clone()
    }

    /// Returns whether a request is in progress.
    pub fn is_busy(&self) -> bool {
        self.now() == BUSY
    }

    /// A response has not ended until its client has read the rest of it.
    fn now(&self) -> u8 {
        match self.0.state.load(Ordering::Relaxed) {
            IDLE if self.is_stalled() => BUSY,
            state => state,
        }
    }

    /// Records that the client does not read.
    pub fn stall(&self) {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    /// Records that the client reads. Returns whether it was stalled before.
    fn resume(&self) -> bool {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn is_stalled(&self) -> bool {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns for how long the client has been stalled, if that is at least [`STALL_THRESHOLD`].
    pub fn stalled_for(&self) -> Option<Duration> {
        let since = (*self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(since.elapsed()).filter(|elapsed| *elapsed >= STALL_THRESHOLD)
    }

    /// Makes the connection idle when the response body ends.
    pub fn track_response(&self, response: Response) -> Response {
        self.0.interim.begin_response();
        response.map(|body| Body::new(TrackedBody { body, state: self.clone(), unwritten: 0 }))
    }
}

/// A body yields no more than this until hyper has written it.
const MAX_UNWRITTEN_BYTES: usize = 32 << 10;

/// A body that makes its connection idle when it is dropped, and that waits for its client.
struct TrackedBody {
    body: Body,
    state: ConnectionState,
    /// Bytes that hyper may not have written yet.
    unwritten: usize,
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.state.0.state.store(IDLE, Ordering::Relaxed);
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.state.is_stalled() {
            // The stream wakes the task when the client reads again.
            return Poll::Pending;
        }
        if self.unwritten >= MAX_UNWRITTEN_BYTES {
            // hyper writes when the body has no more data for the moment.
            self.unwritten = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.unwritten += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads fail with a timeout if its client sends no request in time.
#[derive(Debug)]
pub struct RequestTimeoutStream<S> {
    stream: S,
    state: ConnectionState,
    /// The state that the timer was set for.
    timer_state: u8,
    timer: Pin<Box<Sleep>>,
    head_timeout: Duration,
    keep_alive_timeout: Duration,
}

impl<S> RequestTimeoutStream<S> {
    pub fn new(stream: S, state: ConnectionState, head_timeout: Duration, keep_alive_timeout: Duration) -> Self {
        Self { stream, state, timer_state: HEAD, timer: Box::pin(sleep(head_timeout)), head_timeout, keep_alive_timeout }
    }

    fn record_write(&self, context: &Context<'_>, written: &Poll<io::Result<usize>>) {
        if written.is_pending() {
            self.state.stall();
        } else if self.state.resume() {
            // The body may be waiting for this.
            context.waker().wake_by_ref();
        }
    }

    fn set_timer(&mut self, state: u8) {
        self.timer_state = state;
        let timeout = if state == IDLE { self.keep_alive_timeout } else { self.head_timeout };
        self.timer.as_mut().reset(Instant::now() + timeout);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestTimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let state = this.state.now();
        if state != this.timer_state {
            this.set_timer(state);
        }
        let filled = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            if state == IDLE && buffer.filled().len() > filled {
                this.state.0.state.store(HEAD, Ordering::Relaxed);
                this.set_timer(HEAD);
            }
            return Poll::Ready(read);
        }
        if state != BUSY {
            ready!(this.timer.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not send a request in time")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.state.0.interim.poll_finish(Pin::new(&mut this.stream), context))?;
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        self.record_write(context, &written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let is_busy = this.state.0.state.load(Ordering::Relaxed) == BUSY;
        ready!(this.state.0.interim.poll_flush(Pin::new(&mut this.stream), context, !is_busy))?;
        Pin::new(&mut this.stream).poll_flush(context)
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
        let this = &mut *self;
        ready!(this.state.0.interim.poll_finish(Pin::new(&mut this.stream), context))?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, buffers);
        self.record_write(context, &written);
        written
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use futures::StreamExt;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PIECE_BYTES: usize = 16 << 10;
    const PIECES: usize = 64;
    /// Capacity of the pipe to the client.
    const PIPE_BYTES: usize = 64 << 10;

    /// Returns a client that has received a response head, and how many body pieces the server has produced.
    async fn start_response(pieces: usize, keep_alive_timeout: Duration) -> (DuplexStream, Arc<AtomicUsize>) {
        let (mut client, server) = duplex(PIPE_BYTES);
        let (produced, state) = (Arc::new(AtomicUsize::new(0)), ConnectionState::default());
        let stream = RequestTimeoutStream::new(server, state.clone(), Duration::from_secs(60), keep_alive_timeout);
        let counter = Arc::clone(&produced);
        let service = service_fn(move |_| {
            state.begin_request();
            let (counter, length) = (Arc::clone(&counter), pieces * PIECE_BYTES);
            let pieces = futures::stream::iter(0..pieces).map(move |number| {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from(vec![u8::try_from(number).unwrap(); PIECE_BYTES]))
            });
            let response = Response::builder().header("Content-Length", length).body(Body::from_stream(pieces));
            let response = state.track_response(response.unwrap());
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        (client, produced)
    }

    #[tokio::test]
    async fn a_response_continues_only_as_its_client_reads() {
        let (mut client, produced) = start_response(PIECES, Duration::from_secs(60)).await;
        let mut bytes = Vec::new();
        for taken in 0..PIECES {
            // Lets the server write all that it can.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let kept = produced.load(Ordering::Relaxed) * PIECE_BYTES - bytes.len();
            assert!(kept <= PIPE_BYTES + MAX_UNWRITTEN_BYTES + PIECE_BYTES, "{kept} bytes wait after {taken} pieces");
            let mut piece = vec![0; PIECE_BYTES];
            client.read_exact(&mut piece).await.unwrap();
            bytes.append(&mut piece);
        }
        assert!(
            bytes.chunks(PIECE_BYTES).enumerate().all(|(number, piece)| piece.iter().all(|byte| usize::from(*byte) == number))
        );
    }

    #[tokio::test]
    async fn a_client_that_pauses_before_the_end_of_a_response_gets_all_of_it() {
        let keep_alive = Duration::from_millis(20);
        // hyper has all of the body, but has not written all of it.
        let pieces = PIPE_BYTES / PIECE_BYTES + 1;
        let (mut client, produced) = start_response(pieces, keep_alive).await;
        tokio::time::sleep(10 * keep_alive).await;
        assert_eq!(produced.load(Ordering::Relaxed), pieces);
        let mut bytes = vec![0; pieces * PIECE_BYTES];
        client.read_exact(&mut bytes).await.unwrap();
        // From then on, the connection is idle.
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

//! How long a connection waits for its client: a head must be whole soon after its first byte, while a connection on which nothing is
//! asked may stay open for longer than the load balancer in front keeps it.
//!
//! hyper has one timer for both. So the connection's stream, which sees bytes come, and the service, which sees requests begin and
//! answers end, share a [`Turn`].
//!
//! By the same way the body of an answer learns whether its client reads, and gives hyper no more until it does: by itself hyper would
//! keep 64 KiB and more for each client.

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
        self.now() == BUSY
    }

    /// An answer has not ended while its client does not take the rest of it.
    fn now(&self) -> u8 {
        match self.0.turn.load(Ordering::Relaxed) {
            IDLE if self.is_stalled() => BUSY,
            turn => turn,
        }
    }

    /// The client does not take what is written.
    pub fn stall(&self) {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    /// The client takes something; returns whether it did not before.
    fn flow(&self) -> bool {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn is_stalled(&self) -> bool {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// For how long the client has not read, if that is long.
    pub fn stalled_for(&self) -> Option<Duration> {
        let since = (*self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(since.elapsed()).filter(|elapsed| *elapsed >= STALLED)
    }

    /// Has the turn end with the answer's body.
    pub fn end_with(&self, response: Response) -> Response {
        response.map(|body| Body::new(Watched { body, turn: self.clone(), unwritten: 0 }))
    }
}

/// So much of a body is written before there is more of it.
const WRITTEN_BYTES: usize = 32 << 10;

/// A body that ends its request's turn when it is dropped, and waits for its client.
struct Watched {
    body: Body,
    turn: Turn,
    /// What hyper may not have written yet.
    unwritten: usize,
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
        if self.turn.is_stalled() {
            // The stream wakes the connection when it goes on.
            return Poll::Pending;
        }
        if self.unwritten >= WRITTEN_BYTES {
            // hyper writes when there is no more for the moment.
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

    fn note(&self, context: &Context<'_>, written: &Poll<io::Result<usize>>) {
        if written.is_pending() {
            self.turn.stall();
        } else if self.turn.flow() {
            // The body may wait for this.
            context.waker().wake_by_ref();
        }
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
        let turn = this.turn.now();
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
        self.note(context, &written);
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
        self.note(context, &written);
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
    /// What the way to the client holds.
    const WAY_BYTES: usize = 64 << 10;

    /// A client that has the head of an answer of so many pieces, and how many of them have been asked for.
    async fn answered(pieces: usize, keep_alive_timeout: Duration) -> (DuplexStream, Arc<AtomicUsize>) {
        let (mut client, server) = duplex(WAY_BYTES);
        let (given, turn) = (Arc::new(AtomicUsize::new(0)), Turn::default());
        let stream = PatientStream::new(server, turn.clone(), Duration::from_secs(60), keep_alive_timeout);
        let counted = Arc::clone(&given);
        let service = service_fn(move |_| {
            turn.begin();
            let (counted, length) = (Arc::clone(&counted), pieces * PIECE_BYTES);
            let pieces = futures::stream::iter(0..pieces).map(move |number| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from(vec![u8::try_from(number).unwrap(); PIECE_BYTES]))
            });
            let answer = Response::builder().header("Content-Length", length).body(Body::from_stream(pieces));
            let answer = turn.end_with(answer.unwrap());
            async { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        (client, given)
    }

    #[tokio::test]
    async fn an_answer_goes_on_only_as_its_client_reads() {
        let (mut client, given) = answered(PIECES, Duration::from_secs(60)).await;
        let mut bytes = Vec::new();
        for taken in 0..PIECES {
            // Everything that can go on has gone on.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let kept = given.load(Ordering::Relaxed) * PIECE_BYTES - bytes.len();
            assert!(kept <= WAY_BYTES + WRITTEN_BYTES + PIECE_BYTES, "{kept} bytes wait after {taken} pieces");
            let mut piece = vec![0; PIECE_BYTES];
            client.read_exact(&mut piece).await.unwrap();
            bytes.append(&mut piece);
        }
        assert!(
            bytes.chunks(PIECE_BYTES).enumerate().all(|(number, piece)| piece.iter().all(|byte| usize::from(*byte) == number))
        );
    }

    #[tokio::test]
    async fn a_client_that_pauses_before_the_end_of_an_answer_gets_all_of_it() {
        let keep_alive = Duration::from_millis(20);
        // All of it has been given to hyper, and not all of it has been written.
        let pieces = WAY_BYTES / PIECE_BYTES + 1;
        let (mut client, given) = answered(pieces, keep_alive).await;
        tokio::time::sleep(10 * keep_alive).await;
        assert_eq!(given.load(Ordering::Relaxed), pieces);
        let mut bytes = vec![0; pieces * PIECE_BYTES];
        client.read_exact(&mut bytes).await.unwrap();
        // From then on, the connection is idle.
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

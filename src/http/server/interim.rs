//! Interim responses with the status 104, which hyper cannot send: they precede the response to a request, on the same connection.
//!
//! The connection's stream writes them when hyper flushes it. hyper does so when its own buffer is empty, so an interim response
//! never lands within another response. The handler's response discards those that are not written yet.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use http::HeaderMap;
use tokio::io::AsyncWrite;

/// The interim responses of a connection, in the extensions of its requests.
#[derive(Debug, Clone, Default)]
pub struct InterimResponses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// What is not written yet.
    bytes: Vec<u8>,
    /// Whether the first of them follow bytes of the same interim response.
    is_begun: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// No response is being written.
    #[default]
    Idle,
    /// A request is being handled, and the responses before it have been written.
    Handling,
    /// A response may not have been written completely, perhaps because a client does not wait for it before the next request.
    Responding,
}

impl InterimResponses {
    pub fn begin_request(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.phase = Phase::Handling;
        }
    }

    pub fn begin_response(&self) {
        let mut state = self.lock();
        state.phase = Phase::Responding;
        if !state.is_begun {
            state.bytes.clear();
        }
    }

    /// Returns whether the request can have interim responses.
    pub fn is_possible(&self) -> bool {
        self.lock().phase == Phase::Handling
    }

    /// Sends an interim response, if possible.
    pub fn send_104(&self, headers: &HeaderMap) {
        let mut state = self.lock();
        if state.phase != Phase::Handling {
            return;
        }
        state.bytes.extend_from_slice(b"HTTP/1.1 104 Upload Resumption Supported\r\n");
        for (name, value) in headers {
            state.bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        state.bytes.extend_from_slice(b"\r\n");
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Writes what hyper's next bytes must not interrupt.
    pub fn poll_finish(&self, stream: Pin<&mut impl AsyncWrite>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lock().is_begun { self.poll_write(stream, context) } else { Poll::Ready(Ok(())) }
    }

    /// Writes the interim responses. `is_idle`: the last response has ended. hyper has written all its bytes.
    pub fn poll_flush(
        &self,
        stream: Pin<&mut impl AsyncWrite>,
        context: &mut Context<'_>,
        is_idle: bool,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = self.lock();
            if is_idle && state.phase == Phase::Responding {
                state.phase = Phase::Idle;
            }
            if state.phase == Phase::Handling {
                state.waker = Some(context.waker().clone());
            }
        }
        self.poll_write(stream, context)
    }

    fn poll_write(&self, mut stream: Pin<&mut impl AsyncWrite>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        while !state.bytes.is_empty() {
            let written = ready!(stream.as_mut().poll_write(context, &state.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.bytes.drain(..written);
            state.is_begun = !state.bytes.is_empty();
        }
        Poll::Ready(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

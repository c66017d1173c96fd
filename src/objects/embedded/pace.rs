//! Clients that take their answers too slowly: each holds a connection and an open file for as long as it likes, unless somebody looks.
//!
//! Only the time counts in which the client is waited for. A client that takes nothing at all is the write timeout's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// So long a client is waited for before anybody asks how fast it is.
const UNHURRIED: Duration = Duration::from_secs(30);

/// A stream that fails to be written when its client takes less than so much.
pub(super) struct PacedStream<S> {
    stream: S,
    /// 0 is any.
    min_bytes_per_second: u64,
    unhurried: Duration,
    /// Since when the client is waited for.
    waiting_since: Option<Instant>,
    /// Of the spell that is looked at: how long the client was waited for, and what it took.
    waited: Duration,
    taken_bytes: u64,
}

impl<S> PacedStream<S> {
    pub(super) fn new(stream: S, min_bytes_per_second: u64) -> Self {
        let (unhurried, waited) = (UNHURRIED, Duration::ZERO);
        Self { stream, min_bytes_per_second, unhurried, waiting_since: None, waited, taken_bytes: 0 }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>, now: Instant) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                self.waiting_since.get_or_insert(now);
            }
            Poll::Ready(Ok(bytes)) => {
                self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| now - since);
                self.taken_bytes += bytes as u64;
                if self.waited >= self.unhurried {
                    let rate = u128::from(self.taken_bytes) * 1000 / self.waited.as_millis().max(1);
                    if rate < self.min_bytes_per_second.into() {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::TimedOut,
                            "the client takes its answer too slowly",
                        )));
                    }
                    (self.waited, self.taken_bytes) = (Duration::ZERO, 0);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written, Instant::now())
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
        self.note(written, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a client that takes so many bytes after each pause of so many seconds.
    fn take(min_bytes_per_second: u64, pauses: &[(u64, usize)]) -> Option<usize> {
        let mut stream = PacedStream::new((), min_bytes_per_second);
        let mut now = Instant::now();
        pauses.iter().position(|(seconds, bytes)| {
            assert!(stream.note(Poll::Pending, now).is_pending());
            now += Duration::from_secs(*seconds);
            matches!(stream.note(Poll::Ready(Ok(*bytes)), now), Poll::Ready(Err(_)))
        })
    }

    #[test]
    fn a_client_that_takes_too_little_is_given_up_after_a_while() {
        assert_eq!(take(1000, &[(10, 1), (10, 1), (10, 1)]), Some(2));
        assert_eq!(take(1000, &[(10, 10_000); 100]), None);
        assert_eq!(take(0, &[(10, 1); 100]), None);
        // What it took long ago does not count.
        assert_eq!(take(1000, &[(15, 1 << 20), (15, 1), (15, 1), (15, 1)]), Some(3));
    }

    #[test]
    fn time_in_which_the_client_is_not_waited_for_does_not_count() {
        let mut stream = PacedStream::new((), 1000);
        let now = Instant::now();
        for seconds in 0..100 {
            let written = stream.note(Poll::Ready(Ok(1)), now + Duration::from_secs(seconds));
            assert!(matches!(written, Poll::Ready(Ok(1))));
        }
    }
}

//! A minimum read rate for clients: without one, a slow client occupies a connection and an open file for as long as it likes.
//!
//! Only the time spent waiting for the client counts. The write timeout handles clients that read nothing at all.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The rate is checked each time that the waiting time reaches this.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A stream whose writes fail when the client reads more slowly than the minimum rate.
pub(super) struct MinRateStream<S> {
    stream: S,
    /// 0 for no minimum.
    min_bytes_per_second: u64,
    /// Since when the stream waits for the client; `None` if it does not.
    waiting_since: Option<Instant>,
    /// The waiting time in the current interval.
    waited: Duration,
    /// The bytes that the client has read in the current interval.
    read_bytes: u64,
}

impl<S> MinRateStream<S> {
    pub(super) fn new(stream: S, min_bytes_per_second: u64) -> Self {
        Self { stream, min_bytes_per_second, waiting_since: None, waited: Duration::ZERO, read_bytes: 0 }
    }

    fn check(&mut self, written: Poll<io::Result<usize>>, now: Instant) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                self.waiting_since.get_or_insert(now);
            }
            Poll::Ready(Ok(bytes)) => {
                self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| now - since);
                self.read_bytes += bytes as u64;
                if self.waited >= CHECK_INTERVAL {
                    let rate = u128::from(self.read_bytes) * 1000 / self.waited.as_millis().max(1);
                    if rate < self.min_bytes_per_second.into() {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::TimedOut,
                            "the client reads the response too slowly",
                        )));
                    }
                    (self.waited, self.read_bytes) = (Duration::ZERO, 0);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MinRateStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MinRateStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check(written, Instant::now())
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
        self.check(written, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a client that reads after each pause of (seconds, bytes). Returns the index of the read at which the stream
    /// fails.
    fn failing_read(min_bytes_per_second: u64, pauses: &[(u64, usize)]) -> Option<usize> {
        let mut stream = MinRateStream::new((), min_bytes_per_second);
        let mut now = Instant::now();
        pauses.iter().position(|(seconds, bytes)| {
            assert!(stream.check(Poll::Pending, now).is_pending());
            now += Duration::from_secs(*seconds);
            matches!(stream.check(Poll::Ready(Ok(*bytes)), now), Poll::Ready(Err(_)))
        })
    }

    #[test]
    fn a_client_that_reads_too_slowly_is_disconnected_after_the_interval() {
        assert_eq!(failing_read(1000, &[(10, 1), (10, 1), (10, 1)]), Some(2));
        assert_eq!(failing_read(1000, &[(10, 10_000); 100]), None);
        assert_eq!(failing_read(0, &[(10, 1); 100]), None);
        // Bytes of an earlier interval do not count.
        assert_eq!(failing_read(1000, &[(15, 1 << 20), (15, 1), (15, 1), (15, 1)]), Some(3));
    }

    #[test]
    fn time_without_waiting_for_the_client_does_not_count() {
        let mut stream = MinRateStream::new((), 1000);
        let now = Instant::now();
        for seconds in 0..100 {
            let written = stream.check(Poll::Ready(Ok(1)), now + Duration::from_secs(seconds));
            assert!(matches!(written, Poll::Ready(Ok(1))));
        }
    }
}

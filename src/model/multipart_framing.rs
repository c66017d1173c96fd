//! A size limit for multipart framing: the text before the first boundary, the boundaries, and the headers of parts.
//!
//! multer buffers all of that until it finds the start of a part, and scans the buffer again whenever more data arrives. It would
//! buffer a body without its boundary completely, outside of every budget.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};

/// Maximum number of bytes before multer must find something in them. The headers of a part have a few hundred.
const MAX_FRAMING_BYTES: usize = 64 << 10;

/// The error of a body in which multer found nothing for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the multipart boundary was not found")]
pub struct NoBoundary;

impl From<NoBoundary> for std::io::Error {
    fn from(error: NoBoundary) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A body that yields one chunk at a time, so that multer parses each before it takes the next.
#[derive(Debug)]
pub struct FramingLimit<S> {
    body: S,
    unparsed: UnparsedBytes,
    /// Whether multer has not parsed the last chunk yet.
    yielded: bool,
}

/// The number of bytes since multer last found a part or a piece of one.
#[derive(Debug, Clone, Default)]
pub struct UnparsedBytes(Arc<AtomicUsize>);

impl UnparsedBytes {
    /// Records that multer found a part, or a piece of one.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<S> FramingLimit<S> {
    pub fn new(body: S) -> (Self, UnparsedBytes) {
        let unparsed = UnparsedBytes::default();
        (Self { body, unparsed: unparsed.clone(), yielded: false }, unparsed)
    }
}

impl<S: Stream<Item = Result<Bytes, E>> + Unpin, E: From<NoBoundary>> Stream for FramingLimit<S> {
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.yielded) {
            // multer reads until the body has no more data for now, and only then parses its buffer.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.unparsed.0.load(Ordering::Relaxed) > MAX_FRAMING_BYTES {
            return Poll::Ready(Some(Err(NoBoundary.into())));
        }
        let piece = ready!(self.body.poll_next_unpin(context));
        if let Some(Ok(bytes)) = &piece {
            self.unparsed.0.fetch_add(bytes.len(), Ordering::Relaxed);
            self.yielded = true;
        }
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(number: usize, bytes: &'static [u8]) -> impl Stream<Item = Result<Bytes, NoBoundary>> + Unpin {
        futures::stream::iter((0..number).map(move |_| Ok(Bytes::from_static(bytes))))
    }

    #[tokio::test]
    async fn a_body_without_a_boundary_fails_after_64_kib() {
        let (mut framing, _unparsed) = FramingLimit::new(pieces(1000, &[b'x'; 1024]));
        let mut yielded = 0;
        let error = loop {
            match framing.next().await {
                Some(Ok(bytes)) => yielded += bytes.len(),
                Some(Err(error)) => break error,
                None => panic!("the whole body was accepted"),
            }
        };
        assert_eq!(error, NoBoundary);
        assert_eq!(yielded, MAX_FRAMING_BYTES + 1024);
    }

    #[tokio::test]
    async fn contents_of_parts_are_not_limited_and_arrive_one_chunk_at_a_time() {
        let (mut framing, unparsed) = FramingLimit::new(pieces(1000, &[b'x'; 1024]));
        let mut yielded = 0;
        while let Some(piece) = framing.next().await {
            yielded += piece.unwrap().len();
            assert!(framing.yielded);
            assert!(futures::poll!(framing.next()).is_pending(), "multer must parse the chunk first");
            unparsed.reset();
        }
        assert_eq!(yielded, 1000 * 1024);
    }
}

//! A bound for what stands between the contents of a form's parts: text before the first boundary, boundaries, and the parts' headers.
//!
//! multer keeps all of that in memory until it finds where a part begins, and looks through it anew whenever more has come. A body that
//! never holds its boundary would be kept whole, outside of every budget.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::body::BodyError;

/// Bytes that may come before multer has to find something in them. Heads of parts have some hundred.
const MAX_FRAMING_BYTES: usize = 64 << 10;

/// A body as multer may read it: a piece at a time, each of which it looks at before it takes the next.
#[derive(Debug)]
pub struct FramingLimit<S> {
    body: S,
    unparsed: UnparsedBytes,
    /// Whether the last piece was yielded since multer has looked.
    yielded: bool,
}

/// Bytes that came since multer has found something.
#[derive(Debug, Clone, Default)]
pub struct UnparsedBytes(Arc<AtomicUsize>);

impl UnparsedBytes {
    /// A part, or a piece of one.
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

impl<S: Stream<Item = Result<Bytes, BodyError>> + Unpin> Stream for FramingLimit<S> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.yielded) {
            // multer reads on until there is nothing more for now, and only then looks at what it has.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.unparsed.0.load(Ordering::Relaxed) > MAX_FRAMING_BYTES {
            return Poll::Ready(Some(Err(BodyError::NoBoundary)));
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

    fn pieces(number: usize, bytes: &'static [u8]) -> impl Stream<Item = Result<Bytes, BodyError>> + Unpin {
        futures::stream::iter((0..number).map(move |_| Ok(Bytes::from_static(bytes))))
    }

    #[tokio::test]
    async fn what_holds_no_boundary_is_given_up_after_64_kib() {
        let (mut framing, _unfound) = FramingLimit::new(pieces(1000, &[b'x'; 1024]));
        let mut yielded = 0;
        let error = loop {
            match framing.next().await {
                Some(Ok(bytes)) => yielded += bytes.len(),
                Some(Err(error)) => break error,
                None => panic!("it was all yielded"),
            }
        };
        assert!(matches!(error, BodyError::NoBoundary));
        assert_eq!(yielded, MAX_FRAMING_BYTES + 1024);
    }

    #[tokio::test]
    async fn contents_of_parts_have_no_such_bound_and_come_a_piece_at_a_time() {
        let (mut framing, unparsed) = FramingLimit::new(pieces(1000, &[b'x'; 1024]));
        let mut yielded = 0;
        while let Some(piece) = framing.next().await {
            yielded += piece.unwrap().len();
            assert!(framing.yielded);
            assert!(futures::poll!(framing.next()).is_pending(), "multer has to look first");
            unparsed.reset();
        }
        assert_eq!(yielded, 1000 * 1024);
    }
}

//! Files from the cache. They need no slot, because a client that does not read keeps no connection to the storage, and no file in
//! memory either: each piece is looked up in the cache when the client takes it. If the file has been evicted meanwhile, the rest
//! comes from the storage.

use std::ops::{Range, RangeInclusive};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};

use super::{BodyStream, Download, DownloadError, Downloads, OpenObject, Opened, SMALL_BYTES, TransferRate};
use crate::objects::ObjectStore;
use crate::objects::error::BoxError;
use crate::service::Service;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;

/// Bytes per piece that is passed to the connection.
const PIECE_BYTES: u64 = 32 << 10;

impl Service {
    /// Sends an object, or a part of it, to a client, from the cache if it is there.
    pub(in crate::service) async fn send_object(
        &self,
        requested_by: &TurnKey,
        key: String,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Download, DownloadError> {
        let Some(bytes) = self.objects.cached(&key) else {
            return self.downloads.start(requested_by, open_object(Arc::clone(&self.objects), key), part).await;
        };
        let size = bytes.len() as u64;
        let end = part.as_ref().map_or(size, |part| part.end().saturating_add(1).min(size));
        let next = part.as_ref().map_or(0, |part| *part.start()).min(end);
        let length = end - next;
        if length == size && length <= SMALL_BYTES {
            return Ok(Download::Bytes(bytes));
        }
        if length <= SMALL_BYTES {
            return Ok(Download::Bytes(copy(&bytes, next..end)));
        }
        let sent = CachedFile {
            objects: Arc::clone(&self.objects),
            key,
            next,
            end,
            rate: TransferRate::new(self.downloads.timeouts),
            downloads: self.downloads.clone(),
            requested_by: requested_by.clone(),
            rest: Rest::InCache,
        };
        Ok(Download::Stream(length, sent.boxed()))
    }
}

/// Opens an object in the storage. A whole object that is small enough is read into memory and cached.
fn open_object(objects: Arc<ObjectStore>, key: String) -> OpenObject {
    Arc::new(move |part: Option<RangeInclusive<u64>>| -> BoxFuture<'static, Opened> {
        let (objects, key) = (Arc::clone(&objects), key.clone());
        Box::pin(async move {
            let is_whole = part.is_none();
            let (length, mut pieces) = objects.get(&key, part).await?;
            let Some(_filling) = objects.begin_cache_fill(length).filter(|_| is_whole) else { return Ok((length, pieces)) };
            let mut bytes = BytesMut::with_capacity(in_memory(length));
            while let Some(piece) = pieces.try_next().await? {
                bytes.extend_from_slice(&piece);
            }
            let bytes = bytes.freeze();
            if bytes.len() as u64 == length {
                objects.cache(&key, bytes.clone());
            }
            Ok((length, futures::stream::once(std::future::ready(Ok(bytes))).boxed()))
        })
    })
}

/// A file that is being sent from the cache.
struct CachedFile {
    objects: Arc<ObjectStore>,
    key: String,
    /// The offsets in the file that are still to be sent.
    next: u64,
    end: u64,
    rate: TransferRate,
    downloads: Downloads,
    requested_by: TurnKey,
    rest: Rest,
}

/// Where the rest of the file comes from.
enum Rest {
    InCache,
    Opening(BoxFuture<'static, Result<Download, DownloadError>>),
    InStorage(BodyStream),
}

impl Stream for CachedFile {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.rest {
                Rest::InCache => {
                    if self.next == self.end {
                        return Poll::Ready(None);
                    }
                    self.rate.check()?;
                    match self.objects.peek_cached(&self.key) {
                        Some(bytes) => return Poll::Ready(Some(self.take_piece(&bytes))),
                        None => self.rest = Rest::Opening(self.reopen()),
                    }
                }
                Rest::Opening(opening) => {
                    let opened = ready!(opening.as_mut().poll(context)).map_err(Error::from)?;
                    if opened.length() != self.end - self.next {
                        return Poll::Ready(Some(Err("the file has changed in the storage".into())));
                    }
                    self.rest = Rest::InStorage(match opened {
                        Download::Bytes(bytes) => futures::stream::once(std::future::ready(Ok(bytes))).boxed(),
                        Download::Stream(_, stream) => stream,
                    });
                }
                Rest::InStorage(stream) => return stream.poll_next_unpin(context),
            }
        }
    }
}

impl CachedFile {
    fn take_piece(&mut self, file: &Bytes) -> Result<Bytes, BoxError> {
        let end = self.end.min(self.next + PIECE_BYTES);
        let piece = copy(file, self.next..end);
        if piece.is_empty() {
            return Err("the file has changed in the cache".into());
        }
        self.next += piece.len() as u64;
        self.rate.sent_bytes += piece.len() as u64;
        Ok(piece)
    }

    fn reopen(&self) -> BoxFuture<'static, Result<Download, DownloadError>> {
        let (downloads, requested_by, part) = (self.downloads.clone(), self.requested_by.clone(), self.next..=self.end - 1);
        let open = open_object(Arc::clone(&self.objects), self.key.clone());
        Box::pin(async move { downloads.start(&requested_by, open, Some(part)).await })
    }
}

/// Copies a part of a file: a slice would keep the whole file in memory for as long as the client does not read.
fn copy(file: &Bytes, part: Range<u64>) -> Bytes {
    Bytes::copy_from_slice(file.get(in_memory(part.start)..in_memory(part.end)).unwrap_or_default())
}

/// Converts an offset in a file that is in memory, which fits into a `usize`.
fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

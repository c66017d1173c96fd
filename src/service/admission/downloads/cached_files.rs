//! Files from the cache. They need no slot, because a client that does not read keeps no connection to the storage, and at most a
//! piece of the file in memory: each piece is looked up in the cache when the client takes it. If the file has been evicted
//! meanwhile, the rest comes from the storage.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};

use super::{BodyStream, Download, DownloadError, Downloads, OpenObject, Opened, Pieces, SMALL_BYTES, TransferRate};
use crate::objects::error::BoxError;
use crate::objects::{self, CachedObject, ObjectStore};
use crate::service::Service;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;

impl Service {
    /// Sends an object, or a part of it, to a client, from the cache if it is there.
    pub(in crate::service) async fn send_object(
        &self,
        requested_by: &TurnKey,
        key: String,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Download, DownloadError> {
        self.downloads.send_object(&self.objects, requested_by, key, part).await
    }
}

impl Downloads {
    async fn send_object(
        &self,
        objects: &Arc<ObjectStore>,
        requested_by: &TurnKey,
        key: String,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Download, DownloadError> {
        let Some(object) = objects.cached(&key) else {
            return self.start(requested_by, open_object(Arc::clone(objects), key), part).await;
        };
        let size = object.length();
        let end = part.as_ref().map_or(size, |part| part.end().saturating_add(1).min(size));
        let next = part.as_ref().map_or(0, |part| *part.start()).min(end);
        let length = end - next;
        if length == size && length <= SMALL_BYTES {
            return Ok(Download::Bytes(object.rest_of_segment(0)));
        }
        let sent = CachedFile {
            objects: Arc::clone(objects),
            key,
            next,
            end,
            rate: TransferRate::new(self.timeouts),
            downloads: self.clone(),
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
            let is_complete = bytes.len() as u64 == length;
            if is_complete {
                objects.cache(&key, bytes.clone());
            }
            if !is_complete || length <= SMALL_BYTES {
                return Ok((length, futures::stream::once(std::future::ready(Ok(bytes))).boxed()));
            }
            // Do not keep the whole file in memory for one client.
            drop(bytes);
            Ok((length, segments(objects, key, length)))
        })
    })
}

/// Returns an object that has just been cached, one segment at a time.
fn segments(objects: Arc<ObjectStore>, key: String, length: u64) -> Pieces {
    let next = move |place| {
        let (objects, key) = (Arc::clone(&objects), key.clone());
        async move { next_segment(&objects, &key, length, place).await }
    };
    futures::stream::try_unfold((0, None), next).boxed()
}

/// The offset of the next segment, and the rest of the object in the storage, if the object was evicted meanwhile.
type Place = (u64, Option<Pieces>);

async fn next_segment(
    objects: &ObjectStore,
    key: &str,
    length: u64,
    (start, rest): Place,
) -> Result<Option<(Bytes, Place)>, objects::Error> {
    if start == length {
        return Ok(None);
    }
    if rest.is_none()
        && let Some(object) = objects.peek_cached(key)
    {
        let segment = object.rest_of_segment(start);
        let end = start + segment.len() as u64;
        return Ok(Some((segment, (end, None))));
    }
    let mut rest = match rest {
        Some(rest) => rest,
        None => objects.get(key, Some(start..=length - 1)).await?.1,
    };
    let piece = rest.try_next().await?;
    Ok(piece.map(|piece| {
        let end = start + piece.len() as u64;
        (piece, (end, Some(rest)))
    }))
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
                        Some(object) => return Poll::Ready(Some(self.take_piece(&object))),
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
    fn take_piece(&mut self, object: &CachedObject) -> Result<Bytes, BoxError> {
        let segment = object.rest_of_segment(self.next);
        let piece = self.downloads.chunks.chunk(segment).take_piece(in_memory(self.end - self.next));
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

/// Converts an offset in a file that is in memory, which fits into a `usize`.
fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::objects::embedded::{Embedded, EmbeddedConfig};
    use crate::objects::{Endpoint, ObjectStoreConfig};

    async fn object_store(embedded: &Embedded) -> ObjectStore {
        let config = ObjectStoreConfig {
            bucket: "images".to_owned(),
            create_bucket: false,
            endpoint: Endpoint::of_embedded(embedded),
            public_endpoint_url: None,
            timeout: Duration::from_secs(60),
            cache_bytes: 64 << 20,
        };
        ObjectStore::open(&config).await.expect("an object store")
    }

    async fn read(sent: Download) -> Vec<u8> {
        match sent {
            Download::Bytes(bytes) => bytes.to_vec(),
            Download::Stream(_, stream) => stream.try_collect::<BytesMut>().await.expect("bytes").to_vec(),
        }
    }

    #[tokio::test]
    async fn a_file_that_is_evicted_while_it_is_sent_continues_from_the_storage() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = EmbeddedConfig::new(directory.path().join("objects"), ([127, 0, 0, 1], 0).into(), "images");
        let embedded = Embedded::start(config).await.expect("a server");
        let objects = Arc::new(object_store(&embedded).await);
        let file: Vec<u8> = (0..1_500_000_u32).map(|place| (place % 251) as u8).collect();
        objects.put("file", file.clone().into(), "image/png").await.expect("an object");
        let downloads = Downloads::new(8, Duration::from_secs(60), 0);
        let anybody = TurnKey::Network("192.0.2.1".parse().expect("an address"));
        let send = async |part| downloads.send_object(&objects, &anybody, "file".to_owned(), part).await.expect("a download");
        assert_eq!(read(send(None).await).await, file);
        assert!(objects.peek_cached("file").is_some());
        for (part, bytes) in [(None, &file[..]), (Some(300_000..=1_400_000), &file[300_000..=1_400_000])] {
            assert_eq!(read(send(part.clone()).await).await, bytes, "from the cache");
            let Download::Stream(length, mut stream) = send(part).await else { panic!("a large file is a stream") };
            assert_eq!(length, bytes.len() as u64);
            let mut received = stream.next().await.expect("a piece").expect("bytes").to_vec();
            objects.discard_cached("file");
            while let Some(piece) = stream.next().await {
                received.extend_from_slice(&piece.expect("bytes"));
            }
            assert_eq!(received, bytes);
            // Evicted while the client that filled the cache is reading.
            let Download::Stream(_, mut stream) = send(None).await else { panic!("a large file is a stream") };
            let mut received = stream.next().await.expect("a piece").expect("bytes").to_vec();
            assert!(objects.peek_cached("file").is_some(), "cached again");
            objects.discard_cached("file");
            while let Some(piece) = stream.next().await {
                received.extend_from_slice(&piece.expect("bytes"));
            }
            assert_eq!(received, file);
            assert_eq!(read(send(None).await).await, file);
        }
        embedded.shutdown(Duration::from_secs(1)).await;
    }
}

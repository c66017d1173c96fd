//! Sends files from the storage to clients.
//!
//! A slow client would hold a connection to the storage for as long as it reads: a few hundred stalled clients would block
//! uploads. So the number of files that are read from the storage concurrently is limited by slots. A file whose client stalls
//! for a moment releases its slot, and is reopened at the next byte when the client continues. The memory is limited as well (see
//! `pieces.rs`). A client below the minimum transfer rate is disconnected.
//!
//! The first bytes do not show whether a client reads: network buffers take about a megabyte. So few files may be in that
//! starting phase concurrently, and fewer of one caller. In a burst they start one after another.
//!
//! Files in the cache need no slot (see `cached_files.rs`).

mod cached_files;
mod pieces;

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::time::Instant;

use self::pieces::{Chunk, ChunkMemory};
use super::fair_queue::{Amount, Class, FairQueue, Permit, Turn, TurnKey};
use crate::objects;
use crate::objects::error::BoxError;
use crate::service::Service;
use crate::service::error::Error;

/// The chunks of a file from the storage.
type Pieces = BoxStream<'static, Result<Bytes, objects::Error>>;
type Opened = Result<(u64, Pieces), objects::Error>;

/// Opens a file in the storage, or a part of it. Returns the number of bytes and the chunks.
pub(in crate::service) type OpenObject = Arc<dyn Fn(Option<RangeInclusive<u64>>) -> BoxFuture<'static, Opened> + Send + Sync>;

/// One slot.
const ONE_SLOT: Amount = Amount { bytes: 0, slots: 1 };

/// The bytes of a large file, at the speed of the client.
pub type BodyStream = BoxStream<'static, Result<Bytes, BoxError>>;

/// A file, or a part of it, that is sent to a client.
pub enum Download {
    Bytes(Bytes),
    /// The number of bytes, and the bytes.
    Stream(u64, BodyStream),
}

impl Download {
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream(length, _) => *length,
        }
    }
}

/// A client that takes nothing for this long releases its slot.
const STALL: Duration = Duration::from_millis(250);

/// A file up to this size is read immediately, and then releases its slot.
const SMALL_BYTES: u64 = 64 << 10;

/// A client that has taken this much since its file was opened is reading: all buffers on the way take less.
const READING_BYTES: u64 = 1792 << 10;

/// One slot in this many is for clients that have not shown yet that they read.
const STARTING_SHARE: u64 = 2;

/// The most starting files per caller: as many connections as a browser opens to one host.
const STARTING_PER_CALLER: u64 = 6;

/// The transfer rate is not checked before this time.
const SPEED_GRACE: Duration = Duration::from_secs(30);

/// The files that are being sent. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::service) struct Downloads {
    /// Slots are granted by turns, so that a caller waits only for files of others that have started.
    slots: Slots,
    chunks: ChunkMemory,
    timeouts: Timeouts,
}

#[derive(Debug, Clone)]
struct Slots {
    all: FairQueue,
    starting: FairQueue,
}

/// The slots that an open file holds.
struct Slot {
    starting: Option<Permit>,
    /// Bytes that the client has taken since the file was opened.
    taken_bytes: u64,
    _slot: Permit,
}

impl Slots {
    fn new(slots: u64) -> Self {
        let starting = (slots / STARTING_SHARE).max(1);
        let per_caller = STARTING_PER_CALLER.min(starting);
        let starting = FairQueue::with_max_per_key(Amount::slots(starting), Amount::slots(per_caller));
        Self { all: FairQueue::new(Amount::slots(slots)), starting }
    }

    async fn acquire(&self, turn: &Turn) -> Slot {
        let starting = self.starting.acquire(turn, ONE_SLOT).await;
        Slot { _slot: self.all.acquire(turn, ONE_SLOT).await, starting: Some(starting), taken_bytes: 0 }
    }
}

impl Slot {
    fn note_taken(&mut self, bytes: usize) {
        self.taken_bytes += bytes as u64;
        if self.taken_bytes > READING_BYTES {
            self.starting = None;
        }
    }
}

/// The time limits.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    /// How long to wait for a slot.
    slot: Duration,
    /// How long a client may stall before it loses its slot.
    stall: Duration,
    /// How long the transfer rate is not checked.
    speed_grace: Duration,
    min_bytes_per_second: u64,
}

impl Downloads {
    pub fn new(slots: usize, slot: Duration, min_bytes_per_second: u64) -> Self {
        let timeouts = Timeouts { slot, stall: STALL, speed_grace: SPEED_GRACE, min_bytes_per_second };
        Self { slots: Slots::new(slots as u64), chunks: ChunkMemory::default(), timeouts }
    }

    /// Opens a file, or `part` of it.
    ///
    /// # Errors
    /// The storage has no such file or does not answer, or no slot is free in time.
    pub async fn start(
        &self,
        requested_by: &TurnKey,
        open: OpenObject,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Download, DownloadError> {
        let turn = Turn::new(requested_by.clone(), Class::Request);
        let slot = tokio::time::timeout(self.timeouts.slot, self.slots.acquire(&turn)).await;
        let slot = slot.map_err(|_| DownloadError::NoSlot(self.timeouts.slot))?;
        let start = part.as_ref().map_or(0, |part| *part.start());
        let (length, pieces) = open(part).await?;
        if length <= SMALL_BYTES {
            let bytes = pieces.try_collect::<BytesMut>().await?.freeze();
            return Ok(Download::Bytes(bytes));
        }
        let now = Instant::now();
        let transfer = Arc::new(Mutex::new(Transfer {
            source: Source::Open { pieces, rest: Chunk::default(), slot },
            chunks: self.chunks.clone(),
            next: start,
            end: start + length,
            taken_at: now,
            rate: TransferRate::new(self.timeouts),
            slots: self.slots.clone(),
            turn,
            open,
            waker: Waker::noop().clone(),
        }));
        tokio::spawn(close_when_stalled(Arc::downgrade(&transfer), self.timeouts.stall));
        Ok(Download::Stream(length, TransferStream(transfer).boxed()))
    }
}

impl Service {
    /// Sends bytes that are not stored. `memory` is released once they are sent.
    pub(in crate::service) async fn send_from_memory(
        &self,
        requested_by: &TurnKey,
        bytes: Bytes,
        memory: Permit,
    ) -> Result<Download, DownloadError> {
        let file = (bytes, memory);
        let open = move |part: Option<RangeInclusive<u64>>| -> BoxFuture<'static, Opened> {
            let end = file.0.len();
            let place = |place: u64| usize::try_from(place).unwrap_or(end).min(end);
            let range = part.map_or(0..end, |part| place(*part.start())..place(part.end().saturating_add(1)));
            let bytes = file.0.slice(range);
            let length = bytes.len() as u64;
            Box::pin(async move { Ok((length, futures::stream::once(async { Ok(bytes) }).boxed())) })
        };
        self.downloads.start(requested_by, Arc::new(open), None).await
    }
}

/// Why a download did not start.
#[derive(Debug)]
pub(in crate::service) enum DownloadError {
    NoSlot(Duration),
    Storage(objects::Error),
}

impl From<objects::Error> for DownloadError {
    fn from(error: objects::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<DownloadError> for Error {
    fn from(failed: DownloadError) -> Self {
        match failed {
            DownloadError::NoSlot(wait) => Error::Overloaded { retry_after: wait.max(Duration::from_secs(1)) },
            DownloadError::Storage(error) => error.into(),
        }
    }
}

/// How fast a client takes a file.
struct TransferRate {
    begun_at: Instant,
    sent_bytes: u64,
    timeouts: Timeouts,
}

impl TransferRate {
    fn new(timeouts: Timeouts) -> Self {
        Self { begun_at: Instant::now(), sent_bytes: 0, timeouts }
    }

    /// # Errors
    /// The client is below the minimum transfer rate.
    fn check(&self) -> Result<(), BoxError> {
        let elapsed = self.begun_at.elapsed();
        let is_slow = || self.sent_bytes / elapsed.as_secs().max(1) < self.timeouts.min_bytes_per_second;
        if elapsed > self.timeouts.speed_grace && is_slow() { Err("the client reads too slowly".into()) } else { Ok(()) }
    }
}

/// A file that is being sent.
struct Transfer {
    source: Source,
    chunks: ChunkMemory,
    /// The offsets in the file that are still to be sent.
    next: u64,
    end: u64,
    /// When the client took its last piece.
    taken_at: Instant,
    rate: TransferRate,
    slots: Slots,
    turn: Turn,
    open: OpenObject,
    /// The client's waker, while waiting for the storage.
    waker: Waker,
}

enum Source {
    Open {
        pieces: Pieces,
        rest: Chunk,
        slot: Slot,
    },
    /// Waiting for the storage or for a slot, not for the client.
    Waiting {
        pieces: Pieces,
        slot: Slot,
    },
    Opening(BoxFuture<'static, Result<(Pieces, Slot), BoxError>>),
    Closed,
}

/// Watches a transfer until it finishes.
async fn close_when_stalled(transfer: Weak<Mutex<Transfer>>, stall: Duration) {
    loop {
        tokio::time::sleep(stall).await;
        let Some(transfer) = transfer.upgrade() else { return };
        let mut transfer = transfer.lock().unwrap_or_else(PoisonError::into_inner);
        if transfer.taken_at.elapsed() >= stall {
            transfer.release_if_stalled();
        }
    }
}

impl Transfer {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.taken_at = Instant::now();
        if let Err(error) = self.rate.check() {
            self.source = Source::Closed;
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if self.next == self.end {
                self.source = Source::Closed;
                return Poll::Ready(None);
            }
            match std::mem::replace(&mut self.source, Source::Closed) {
                Source::Closed => self.source = Source::Opening(self.reopen()),
                Source::Opening(mut opening) => match opening.as_mut().poll(context) {
                    Poll::Pending => {
                        self.source = Source::Opening(opening);
                        self.waker = context.waker().clone();
                        return Poll::Pending;
                    }
                    Poll::Ready(opened) => {
                        let (pieces, slot) = opened?;
                        self.source = Source::Open { pieces, rest: Chunk::default(), slot };
                    }
                },
                Source::Open { pieces, rest, slot } if rest.is_empty() => self.source = Source::Waiting { pieces, slot },
                Source::Waiting { mut pieces, slot } => match pieces.poll_next_unpin(context) {
                    Poll::Pending => {
                        self.source = Source::Waiting { pieces, slot };
                        self.waker = context.waker().clone();
                        return Poll::Pending;
                    }
                    Poll::Ready(None) => return Poll::Ready(Some(Err("the storage closed the file early".into()))),
                    Poll::Ready(Some(chunk)) => self.source = Source::Open { pieces, rest: self.chunks.chunk(chunk?), slot },
                },
                Source::Open { pieces, mut rest, mut slot } => {
                    let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
                    let piece = rest.take_piece(left);
                    self.next += piece.len() as u64;
                    self.rate.sent_bytes += piece.len() as u64;
                    slot.note_taken(piece.len());
                    self.source = Source::Open { pieces, rest, slot };
                    return Poll::Ready(Some(Ok(piece)));
                }
            }
        }
    }

    /// Releases the slot, unless the storage is the cause of the wait. Only polling shows that, and a client that does not read
    /// does not poll.
    fn release_if_stalled(&mut self) {
        let waker = self.waker.clone();
        let context = &mut Context::from_waker(&waker);
        self.source = match std::mem::replace(&mut self.source, Source::Closed) {
            Source::Open { .. } | Source::Closed => Source::Closed,
            Source::Waiting { mut pieces, slot } => match pieces.poll_next_unpin(context) {
                Poll::Pending => Source::Waiting { pieces, slot },
                Poll::Ready(Some(Ok(chunk))) => Source::Open { pieces, rest: self.chunks.chunk(chunk), slot },
                // The error reappears when the file is reopened.
                Poll::Ready(Some(Err(_)) | None) => Source::Closed,
            },
            Source::Opening(mut opening) => match opening.as_mut().poll(context) {
                Poll::Pending => Source::Opening(opening),
                Poll::Ready(Ok((pieces, slot))) => Source::Open { pieces, rest: Chunk::default(), slot },
                Poll::Ready(Err(_)) => Source::Closed,
            },
        };
    }

    /// Opens the file at the next byte. The client waits for a new turn, because it has kept others waiting.
    fn reopen(&self) -> BoxFuture<'static, Result<(Pieces, Slot), BoxError>> {
        let (slots, turn) = (self.slots.clone(), self.turn.clone());
        let (open, part) = (Arc::clone(&self.open), self.next..=self.end - 1);
        let wanted = self.end - self.next;
        Box::pin(async move {
            let slot = slots.acquire(&turn).await;
            let (length, pieces) = open(Some(part)).await?;
            if length == wanted { Ok((pieces, slot)) } else { Err("the file has changed in the storage".into()) }
        })
    }
}

/// The stream that the client polls.
struct TransferStream(Arc<Mutex<Transfer>>);

impl Stream for TransferStream {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut transfer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = ready!(transfer.poll(context));
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests;

//! Bodies as they arrive. A slow sender must not hold memory that others need, so memory is reserved in steps while bytes arrive.
//! If a step is not free, the received part spills to a temporary file and the rest of the file follows, as with
//! `client_body_buffer_size` of nginx. If the disk budget is exhausted too, the sender is held back and finally refused.
//!
//! The text fields of an upload are not counted. They are short, and waiting for memory that slow files hold would block the
//! upload.
//!
//! A complete file moves to processing memory when it is its turn. Only then is a spilled file read back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::Admitted;
use super::fair_queue::{Class, Permit, Turn, TurnKey};
use super::spool::SpoolFile;
use crate::service::Service;
use crate::service::error::Error;

/// The body of an upload that is being received.
#[derive(Debug)]
pub struct Receiver {
    service: Arc<Service>,
    turn: Turn,
    /// The maximum size of the file.
    announced_bytes: u64,
    /// Memory for the whole body, if bodies do not spill.
    whole: Option<Admitted>,
}

/// A partially received file.
#[derive(Debug)]
pub struct ArrivingFile {
    service: Arc<Service>,
    turn: Turn,
    announced_bytes: u64,
    length: u64,
    buffer: Buffer,
    /// Whether memory for the whole file is reserved, by the receiver or in `admitted`.
    is_reserved: bool,
    admitted: Option<Admitted>,
    waited: Duration,
}

#[derive(Debug)]
enum Buffer {
    Memory(Segments),
    Disk(Box<Spilled>),
}

/// Memory is allocated in segments of [`STEP_BYTES`], each reserved in advance. A growing buffer would be reallocated, and take
/// twice its size.
#[derive(Debug, Default)]
struct Segments {
    segments: Vec<BytesMut>,
    permit: Option<Permit>,
}

#[derive(Debug)]
struct Spilled {
    file: SpoolFile,
    /// Reserved bytes of disk space.
    reserved_bytes: u64,
    /// Bytes received but not yet written.
    unwritten: BytesMut,
}

const STEP_BYTES: u64 = 256 << 10;

/// Network reads can be as small as a packet, and each write needs a thread.
const WRITE_BYTES: usize = 32 << 10;

/// Smaller files are copied inline, without a blocking thread.
const INLINE_COPY_BYTES: u64 = 1 << 20;

impl Service {
    /// Starts receiving an upload that announces `bytes`. If bodies do not spill, waits for memory for all of it.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn receive_upload(self: &Arc<Self>, key: TurnKey, bytes: u64) -> Result<Receiver, Error> {
        let turn = Turn::new(key, Class::Request);
        let whole = match self.admission.reserves_in_steps() {
            true => None,
            false => Some(self.admission.reserve_file(&turn, bytes).await?),
        };
        let announced_bytes = bytes.min(self.limits.max_file_bytes);
        Ok(Receiver { service: Arc::clone(self), turn, announced_bytes, whole })
    }

    /// Waits for memory for a body of `bytes` that is not an upload.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn receive_body(&self, key: TurnKey, bytes: u64) -> Result<Permit, Error> {
        self.admission.reserve_small_body(&Turn::new(key, Class::Request), bytes).await
    }
}

impl Receiver {
    /// Starts a file.
    pub fn file(&self) -> ArrivingFile {
        ArrivingFile {
            service: Arc::clone(&self.service),
            turn: self.turn.clone(),
            announced_bytes: self.announced_bytes,
            length: 0,
            buffer: Buffer::Memory(Segments::default()),
            is_reserved: self.whole.is_some(),
            admitted: None,
            waited: Duration::ZERO,
        }
    }

    /// Waits for memory to process a received file, and moves the file there. `key` is the uploader, if it differs from the
    /// caller that sent the body.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time, or the disk fails.
    pub async fn admit(mut self, key: Option<TurnKey>, file: ArrivingFile) -> Result<(Bytes, Admitted), Error> {
        let turn = key.map_or_else(|| self.turn.clone(), |key| Turn::new(key, Class::Request));
        let started = Instant::now();
        let result = file.admit(self.whole.take(), turn).await;
        self.service.metrics.observe_stage("admission", started.elapsed());
        result
    }

    /// Like [`Receiver::admit`], but reserves `bytes`: memory for the file and for the larger file that contains it. If bodies do not
    /// spill, the receiver must have reserved that memory from the start.
    ///
    /// # Errors
    /// As for [`Receiver::admit`].
    pub async fn admit_with(mut self, bytes: u64, file: ArrivingFile) -> Result<(Bytes, Admitted), Error> {
        let admitted = match self.whole.take() {
            Some(whole) => whole,
            None => self.service.admission.reserve_file(&self.turn, bytes).await?,
        };
        file.admit(Some(admitted), self.turn).await
    }

    /// Like [`Receiver::admit_with`], but returns a receiver for a file within the received one, in the same memory.
    ///
    /// # Errors
    /// As for [`Receiver::admit`].
    pub async fn admit_container(self, bytes: u64, container: ArrivingFile) -> Result<(Bytes, Self), Error> {
        let (service, turn, announced_bytes) = (Arc::clone(&self.service), self.turn.clone(), self.announced_bytes);
        let (bytes, admitted) = self.admit_with(bytes, container).await?;
        Ok((bytes, Self { service, turn, announced_bytes, whole: Some(admitted) }))
    }
}

impl ArrivingFile {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends the next bytes; waits if no memory or disk space is free.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if none is free in time, or the disk is full.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let taken = match &mut self.buffer {
                Buffer::Memory(memory) => memory.fill(bytes),
                Buffer::Disk(spilled) => spilled.fill(bytes),
            };
            self.length += taken as u64;
            bytes = &bytes[taken..];
            if !bytes.is_empty() {
                self.extend_buffer(bytes.len()).await?;
            }
        }
        Ok(())
    }

    async fn extend_buffer(&mut self, coming: usize) -> Result<(), Error> {
        let step = self.announced_bytes.saturating_sub(self.length).max(coming as u64).min(STEP_BYTES);
        match &mut self.buffer {
            Buffer::Memory(memory) if self.is_reserved => memory.grow(step, None),
            Buffer::Memory(memory) => match self.service.admission.try_reserve_receiving(&self.turn, step) {
                Some(permit) => memory.grow(step, Some(permit)),
                None => {
                    let started = Instant::now();
                    self.spill_or_wait(step).await?;
                    self.waited += started.elapsed();
                }
            },
            Buffer::Disk(spilled) => {
                spilled.write().await?;
                if self.length + (coming.min(WRITE_BYTES) as u64) > spilled.reserved_bytes {
                    let spool = &self.service.spool;
                    let space = match spool.try_acquire(&self.turn, step) {
                        Some(space) => space,
                        None => {
                            let started = Instant::now();
                            let space = self.service.admission.with_timeout(spool.acquire(&self.turn, step)).await?;
                            self.waited += started.elapsed();
                            space
                        }
                    };
                    spilled.file.grow(space);
                    spilled.reserved_bytes += step;
                }
            }
        }
        Ok(())
    }

    /// Continues without the next step of memory: on disk, or if there is no disk, in processing memory for the whole file.
    async fn spill_or_wait(&mut self, step: u64) -> Result<(), Error> {
        let service = Arc::clone(&self.service);
        let (admission, spool) = (&service.admission, &service.spool);
        let Buffer::Memory(memory) = &mut self.buffer else { return Ok(()) };
        let needed = self.length + step;
        let space = match spool.try_acquire(&self.turn, needed) {
            Some(space) => space,
            None => {
                let either = async {
                    tokio::select! {
                        biased;
                        permit = admission.reserve_receiving(&self.turn, step) => Err(permit),
                        space = spool.acquire(&self.turn, needed) => Ok(space),
                    }
                };
                match admission.with_timeout(either).await? {
                    Ok(space) => space,
                    Err(permit) => {
                        memory.grow(step, Some(permit));
                        return Ok(());
                    }
                }
            }
        };
        match spool.create(space).await? {
            Some(mut file) => {
                let Segments { segments, permit } = std::mem::take(memory);
                for segment in segments {
                    file.append(segment.freeze()).await?;
                }
                drop(permit);
                let unwritten = BytesMut::with_capacity(WRITE_BYTES);
                self.buffer = Buffer::Disk(Box::new(Spilled { file, reserved_bytes: needed, unwritten }));
                service.metrics.spilled_uploads.inc();
            }
            None => {
                self.admitted = Some(admission.reserve_file(&self.turn, self.announced_bytes).await?);
                self.is_reserved = true;
                memory.permit = None;
            }
        }
        Ok(())
    }

    /// Moves the file to processing memory: to `whole`, if that was reserved for the whole body.
    async fn admit(self, whole: Option<Admitted>, turn: Turn) -> Result<(Bytes, Admitted), Error> {
        let mut admitted = match whole.or(self.admitted) {
            Some(admitted) => admitted,
            None => self.service.admission.reserve_file(&turn, self.length).await?,
        };
        let bytes = match self.buffer {
            Buffer::Memory(memory) => memory.join(self.length).await?,
            Buffer::Disk(spilled) => spilled.read_back(self.length).await?,
        };
        admitted.turn = turn;
        admitted.waited += self.waited;
        Ok((bytes, admitted))
    }
}

impl Segments {
    /// Copies as many bytes as fit into the last segment; returns how many.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let Some(last) = self.segments.last_mut() else { return 0 };
        let taken = bytes.len().min(last.capacity() - last.len());
        last.put_slice(&bytes[..taken]);
        taken
    }

    fn grow(&mut self, bytes: u64, permit: Option<Permit>) {
        self.segments.push(BytesMut::with_capacity(usize::try_from(bytes).unwrap_or_default()));
        match (&mut self.permit, permit) {
            (Some(held), Some(more)) => held.absorb(more),
            (held, more) => *held = held.take().or(more),
        }
    }

    /// Joins the segments. Each segment is freed as soon as it is copied.
    async fn join(self, length: u64) -> Result<Bytes, Error> {
        let Self { mut segments, permit } = self;
        if segments.len() <= 1 {
            return Ok(segments.pop().unwrap_or_default().freeze());
        }
        let join = move || {
            let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
            for segment in segments {
                whole.extend_from_slice(&segment);
            }
            drop(permit);
            whole.freeze()
        };
        if length <= INLINE_COPY_BYTES {
            return Ok(join());
        }
        tokio::task::spawn_blocking(join).await.map_err(Error::internal)
    }
}

impl Spilled {
    /// Buffers as many bytes as one write takes; returns how many.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(WRITE_BYTES.saturating_sub(self.unwritten.len()));
        self.unwritten.extend_from_slice(&bytes[..taken]);
        taken
    }

    async fn write(&mut self) -> Result<(), Error> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.file.append(self.unwritten.split().freeze()).await
    }

    async fn read_back(mut self, length: u64) -> Result<Bytes, Error> {
        self.write().await?;
        self.file.read_back(length).await
    }
}

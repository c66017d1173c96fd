//! Receiving an upload: in blocks, which are hashed and written on a blocking thread, except for the last ones.
//!
//! A client that stalls occupies a temporary file and one block of memory, but no thread.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use s3s::{S3Result, s3_error};

use super::blocking::{internal_error, run_blocking};
use super::storage::Storage;
use super::storage_error::StorageError;
use super::trailer::BLOCK_BYTES;
use super::upload_file::{Hashers, UploadFile};

/// The length that the data must have, in bytes.
pub(super) enum Length {
    /// The client has declared it.
    Exactly(u64),
    /// The client has not declared it.
    Within(RangeInclusive<u64>),
}

/// Data that is received, and written except for its last blocks. Dropping it leaves nothing behind.
pub(super) struct Received {
    hashers: Hashers,
    /// `None` if nothing is written yet.
    upload: Option<UploadFile>,
    rest: Bytes,
}

impl Received {
    /// Writes the rest, which blocks.
    pub(super) fn write_all(self, storage: &Storage) -> Result<UploadFile, StorageError> {
        let mut upload = match self.upload {
            Some(upload) => upload,
            None => storage.begin_upload(self.hashers)?,
        };
        for block in self.rest.chunks(BLOCK_BYTES) {
            upload.write_block(block)?;
        }
        Ok(upload)
    }
}

/// Receives the data. All that is left in memory at the end is less than a block, or a part of the data that arrived at once.
///
/// # Errors
/// The client's error, or the data does not have the `length`: too much of it is detected before it is written.
pub(super) async fn receive(
    storage: &Arc<Storage>,
    hashers: Hashers,
    chunks: impl Stream<Item = S3Result<Bytes>>,
    length: &Length,
) -> S3Result<Received> {
    let mut chunks = std::pin::pin!(chunks);
    let mut received = Received { hashers, upload: None, rest: Bytes::new() };
    let mut received_bytes: u64 = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        received_bytes += chunk.len() as u64;
        let more = length.admits_more_than(received_bytes)?;
        received.rest = joined(received.rest, chunk);
        if received.rest.len() >= BLOCK_BYTES && more {
            let rest = received.rest.split_off(received.rest.len() / BLOCK_BYTES * BLOCK_BYTES);
            let storage = Arc::clone(storage);
            let upload = run_blocking(move || received.write_all(&storage).map_err(internal_error)).await?;
            received = Received { hashers: Hashers::default(), upload: Some(upload), rest };
        }
    }
    length.check(received_bytes)?;
    Ok(received)
}

impl Length {
    /// Returns whether data may follow the first `received_bytes`.
    fn admits_more_than(&self, received_bytes: u64) -> S3Result<bool> {
        match self {
            Self::Exactly(length) if received_bytes > *length => {
                Err(s3_error!(IncompleteBody, "The body is longer than its declared length."))
            }
            Self::Within(range) if received_bytes > *range.end() => {
                Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size of {} bytes.", range.end()))
            }
            Self::Exactly(length) => Ok(received_bytes < *length),
            Self::Within(range) => Ok(received_bytes < *range.end()),
        }
    }

    /// Checks the length of all data.
    fn check(&self, received_bytes: u64) -> S3Result<()> {
        match self {
            // The decoder of `aws-chunked` bodies does not notice a body that stops after a complete chunk.
            Self::Exactly(length) if received_bytes != *length => {
                Err(s3_error!(IncompleteBody, "The body is shorter than its declared length."))
            }
            Self::Within(range) if received_bytes < *range.start() => Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size of {} bytes.",
                range.start()
            )),
            _ => Ok(()),
        }
    }
}

/// Appends `chunk`, without copying if it is the first.
fn joined(rest: Bytes, chunk: Bytes) -> Bytes {
    if rest.is_empty() {
        return chunk;
    }
    let mut bytes = BytesMut::from(rest);
    bytes.extend_from_slice(&chunk);
    bytes.freeze()
}

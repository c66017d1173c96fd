//! Objects that the service did not write: it reads them once to adopt them, and never changes them.

use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};

use super::error::Error;
use super::error_chain::error_chain;
use super::{ListedObject, ObjectStore, listed, transfer_timeout};

/// An object that is being read.
#[derive(Debug)]
pub struct SourceObject {
    object: GetObjectOutput,
    timeout: Duration,
}

/// A page of a listing.
#[derive(Debug)]
pub struct SourcePage {
    pub objects: Vec<ListedObject>,
    /// Continues the listing; `None` on the last page.
    pub next: Option<String>,
}

const OPERATION: &str = "get object";

impl ObjectStore {
    /// Starts to read an object of any bucket that the service's credentials can read.
    ///
    /// # Errors
    /// The object or the bucket does not exist or may not be read, or the storage is unavailable or refuses the request.
    pub async fn open_source(&self, bucket: &str, key: &str) -> Result<SourceObject, Error> {
        let request = self.client.get_object().bucket(bucket).key(key);
        let opening = tokio::time::timeout(self.timeout, request.send()).await;
        let object = opening.map_err(|_| Error::TimedOut { operation: OPERATION, timeout: self.timeout })?;
        let object = object.map_err(|error| match error.code() {
            // AWS says so of an object that does not exist if the bucket may not be listed.
            Some("AccessDenied" | "InvalidObjectState") => {
                tracing::debug!(bucket, key, "the storage does not allow an object to be read: {}", error_chain(&error));
                Error::NotFound { operation: OPERATION }
            }
            _ => self.source_error(bucket, OPERATION, error),
        })?;
        Ok(SourceObject { object, timeout: self.timeout })
    }

    /// Lists up to 1000 objects whose keys start with `prefix`, sorted by key.
    ///
    /// # Errors
    /// The bucket does not exist, or the storage is unavailable or refuses the request.
    pub async fn list_source(&self, bucket: &str, prefix: &str, next: Option<String>) -> Result<SourcePage, Error> {
        let request = self.client.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(next);
        let page = request.send().await;
        let page = page.map_err(|error| self.source_error(bucket, "list objects", error))?;
        let objects = page.contents().iter().filter_map(listed).collect();
        let next = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true)).map(str::to_owned);
        Ok(SourcePage { objects, next })
    }

    fn source_error<E>(&self, bucket: &str, operation: &'static str, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error.code() {
            Some("NoSuchBucket") if bucket != self.bucket => Error::NotFound { operation },
            _ => self.sdk_error(operation, self.timeout, error),
        }
    }
}

impl SourceObject {
    /// Returns the version of the object's contents, as the storage names it.
    pub fn etag(&self) -> Option<&str> {
        self.object.e_tag()
    }

    /// Returns the announced length in bytes.
    pub fn length(&self) -> Option<u64> {
        self.object.content_length().and_then(|length| u64::try_from(length).ok())
    }

    /// Returns the stored media type.
    pub fn content_type(&self) -> Option<&str> {
        self.object.content_type()
    }

    /// Reads the object within [`transfer_timeout`] for `max_bytes`. Returns `None` if it is longer than that.
    ///
    /// # Errors
    /// The transfer is interrupted or takes too long.
    pub async fn read(self, max_bytes: u64) -> Result<Option<Bytes>, Error> {
        let mut bytes = BytesMut::with_capacity(usize::try_from(max_bytes).unwrap_or_default());
        Ok(self.read_into(&mut bytes, max_bytes).await?.then(|| bytes.freeze()))
    }

    /// Like [`SourceObject::read`], but appends the bytes to a buffer. Returns `false` if the object is longer than `max_bytes`.
    ///
    /// # Errors
    /// The transfer is interrupted or takes too long.
    pub async fn read_into(mut self, bytes: &mut BytesMut, max_bytes: u64) -> Result<bool, Error> {
        let timeout = transfer_timeout(self.timeout, max_bytes);
        let max_length = bytes.len() as u64 + max_bytes;
        let reading = async {
            while let Some(chunk) = self.object.body.try_next().await? {
                if bytes.len() as u64 + chunk.len() as u64 > max_length {
                    return Ok(false);
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(true)
        };
        let read = tokio::time::timeout(timeout, reading).await;
        let read = read.map_err(|_| Error::TimedOut { operation: OPERATION, timeout })?;
        read.map_err(|source: aws_sdk_s3::primitives::ByteStreamError| Error::Unavailable {
            operation: OPERATION,
            source: source.into(),
        })
    }
}

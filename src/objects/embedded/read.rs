//! `GetObject` and `HeadObject`: conditions, ranges, response headers, and the data as a stream of verified blocks.
//!
//! The first block is read and verified before the response starts, so that damage there results in a 500. Damage in a later
//! block can only abort the connection: the client receives fewer bytes than `Content-Length` says.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{
    Checksum, ChecksumMode, ChecksumType, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Result, s3_error};
use tokio::sync::Semaphore;

use super::blocking::{internal_error, run_blocking};
use super::checksums;
use super::object::Object;
use super::page_cache::ReadFrom;
use super::storage::Storage;
use super::storage_error::StorageError;
use super::trailer::ObjectMetadata;
use crate::model::entity_tag;
use crate::model::plural::counted;

/// S3's content type for objects that were uploaded without one.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Returns an object's headers and data, or a range of the data.
pub(super) async fn get(storage: &Arc<Storage>, request: S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
    let input = &request.input;
    refuse_unsupported(input.version_id.as_deref(), input.part_number, input.sse_customer_key.is_some())?;
    let conditions = Conditions {
        if_match: input.if_match.clone(),
        if_none_match: input.if_none_match.clone(),
        if_modified_since: input.if_modified_since.clone(),
        if_unmodified_since: input.if_unmodified_since.clone(),
    };
    let (key, range) = (input.key.clone(), input.range);
    let if_range = request.headers.get(header::IF_RANGE).cloned();
    let (object, range) = from_page_cache_or_disk(storage, move |storage, from| {
        let object = find(storage, &key, from)?;
        conditions.check(&object.metadata)?;
        let range = range.filter(|_| if_range_holds(if_range.as_ref(), &object.metadata));
        let range = range.map(|range| resolve_range(range, &object.metadata)).transpose()?;
        Ok((Arc::new(object), range))
    })
    .await?;
    let selected = range.clone().unwrap_or(0..object.metadata.length);
    let first = read_block(Arc::clone(&object), selected.clone()).await.map_err(internal_error)?;

    let metadata = object.metadata.clone();
    let with_checksums = range.is_none() && is_enabled(request.input.checksum_mode.as_ref());
    let checksums = response_checksums(&metadata, with_checksums);
    let length = metadata.length;
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: metadata.headers.cache_control,
        checksum_type: checksums.checksum_type,
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        content_disposition: metadata.headers.content_disposition,
        content_encoding: metadata.headers.content_encoding,
        content_language: metadata.headers.content_language,
        content_length: i64::try_from(selected.end - selected.start).ok(),
        content_range: range.map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1)),
        content_type: Some(metadata.headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(metadata.etag)),
        last_modified: Some(Timestamp::from(stored_at(metadata.stored_at_ms))),
        metadata: (!metadata.user_metadata.is_empty()).then(|| metadata.user_metadata.into_iter().collect()),
        body: Some(body(object, selected, first)),
        ..GetObjectOutput::default()
    })
}

/// Returns an object's headers. Ignores `Range`, which RFC 9110 (14.2) defines for GET only.
pub(super) async fn head(storage: &Arc<Storage>, request: S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
    let input = request.input;
    refuse_unsupported(input.version_id.as_deref(), input.part_number, input.sse_customer_key.is_some())?;
    let conditions = Conditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let key = input.key;
    let metadata = from_page_cache_or_disk(storage, move |storage, from| {
        let object = find(storage, &key, from)?;
        conditions.check(&object.metadata)?;
        Ok(object.metadata)
    })
    .await?;

    let checksums = response_checksums(&metadata, is_enabled(input.checksum_mode.as_ref()));
    let headers = metadata.headers;
    let content_type = input.response_content_type.or(headers.content_type);
    Ok(HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: input.response_cache_control.or(headers.cache_control),
        checksum_type: checksums.checksum_type,
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        content_disposition: input.response_content_disposition.or(headers.content_disposition),
        content_encoding: input.response_content_encoding.or(headers.content_encoding),
        content_language: input.response_content_language.or(headers.content_language),
        content_length: i64::try_from(metadata.length).ok(),
        content_type: Some(content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(metadata.etag)),
        last_modified: Some(Timestamp::from(stored_at(metadata.stored_at_ms))),
        metadata: (!metadata.user_metadata.is_empty()).then(|| metadata.user_metadata.into_iter().collect()),
        ..HeadObjectOutput::default()
    })
}

/// Converts milliseconds since 1970.
pub(super) fn stored_at(stored_at_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(stored_at_ms)).unwrap_or(UNIX_EPOCH)
}

/// Why a read failed.
enum ReadError {
    Storage(StorageError),
    S3(S3Error),
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<S3Error> for ReadError {
    fn from(error: S3Error) -> Self {
        Self::S3(error)
    }
}

/// Reads from the page cache, or else from the disk on a blocking thread.
async fn from_page_cache_or_disk<T: Send + 'static>(
    storage: &Arc<Storage>,
    read: impl Fn(&Storage, ReadFrom) -> Result<T, ReadError> + Send + 'static,
) -> S3Result<T> {
    let result = match read(storage, ReadFrom::PageCache) {
        Err(ReadError::Storage(error)) if error.is_not_cached() => {
            let storage = Arc::clone(storage);
            run_blocking(move || Ok(read(&storage, ReadFrom::Disk))).await?
        }
        result => result,
    };
    result.map_err(|error| match error {
        ReadError::Storage(error) => internal_error(error),
        ReadError::S3(error) => error,
    })
}

fn find(storage: &Storage, key: &str, from: ReadFrom) -> Result<Object, ReadError> {
    let found = storage.find_in(key, from)?;
    found.ok_or_else(|| ReadError::S3(s3_error!(NoSuchKey, "The object does not exist.")))
}

fn refuse_unsupported(version: Option<&str>, part: Option<i32>, encrypted: bool) -> S3Result<()> {
    if version.is_some_and(|version| version != "null") {
        return Err(s3_error!(NoSuchVersion, "The version does not exist: the bucket is not versioned."));
    }
    if part.is_some() || encrypted {
        return Err(s3_error!(NotImplemented, "Parts and encryption are not implemented."));
    }
    Ok(())
}

/// The conditional headers of a request.
struct Conditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Evaluates the conditions in the order of RFC 9110 (13.2.2): a condition on the ETag overrides the one on the time.
    fn check(&self, metadata: &ObjectMetadata) -> S3Result<()> {
        let matches = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            // `s3s` parses a list as one tag, from the first quote to the last.
            ETagCondition::ETag(tag) => entity_tag::is_listed(&format!("\"{}\"", tag.value()), &metadata.etag),
        };
        // HTTP dates have whole seconds, so the time is truncated as in `Last-Modified`.
        let stored_at = Timestamp::from(stored_at(metadata.stored_at_ms / 1000 * 1000));
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition),
            (None, Some(time)) => stored_at <= *time,
            (None, None) => true,
        };
        if !holds {
            return Err(s3_error!(PreconditionFailed, "The object does not match If-Match or If-Unmodified-Since."));
        }
        let changed = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !matches(condition),
            (None, Some(time)) => stored_at > *time,
            (None, None) => true,
        };
        if changed { Ok(()) } else { Err(not_modified(metadata)) }
    }
}

/// Returns a 304 with the headers that a cache needs to update its stored response.
fn not_modified(metadata: &ObjectMetadata) -> S3Error {
    let mut headers = HeaderMap::new();
    let mut add = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    add(header::ETAG, &format!("\"{}\"", metadata.etag));
    add(header::LAST_MODIFIED, &http_date(metadata));
    if let Some(cache_control) = &metadata.headers.cache_control {
        add(header::CACHE_CONTROL, cache_control);
    }
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_headers(headers);
    error
}

fn http_date(metadata: &ObjectMetadata) -> String {
    let mut text = Vec::new();
    let time = Timestamp::from(stored_at(metadata.stored_at_ms));
    match time.format(TimestampFormat::HttpDate, &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    }
}

/// Evaluates `If-Range`: a client that resumes a download gets the whole object if it has changed meanwhile.
fn if_range_holds(if_range: Option<&HeaderValue>, metadata: &ObjectMetadata) -> bool {
    let Some(if_range) = if_range.map(HeaderValue::as_bytes) else { return true };
    if_range == format!("\"{}\"", metadata.etag).as_bytes() || if_range == http_date(metadata).as_bytes()
}

/// Resolves a requested range against the object's length.
fn resolve_range(range: s3s::dto::Range, metadata: &ObjectMetadata) -> S3Result<Range<u64>> {
    // `check` accepts a suffix range of an empty object, which is not satisfiable.
    let found = range.check(metadata.length).ok().filter(|range| !range.is_empty());
    found.ok_or_else(|| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", metadata.length)) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        let mut error =
            s3_error!(InvalidRange, "The range is not satisfiable: the object has {}.", counted(metadata.length, "byte"));
        error.set_headers(headers);
        error
    })
}

fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

fn response_checksums(metadata: &ObjectMetadata, requested: bool) -> Checksum {
    if !requested || metadata.checksums.is_empty() {
        return Checksum::default();
    }
    let mut checksums = checksums::to_dto(&metadata.checksums);
    checksums.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
    checksums
}

/// Returns the data of a range whose first block has been read.
fn body(object: Arc<Object>, range: Range<u64>, first: Bytes) -> StreamingBlob {
    let rest = range.start + first.len() as u64..range.end;
    if rest.is_empty() {
        return StreamingBlob::from(Body::from(first));
    }
    StreamingBlob::wrap(stream::once(async { Ok(first) }).chain(blocks(object, rest)))
}

fn blocks(object: Arc<Object>, range: Range<u64>) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + Sync {
    stream::try_unfold(range, move |range| {
        let object = Arc::clone(&object);
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let block = read_block(object, range.clone()).await;
            let block = block.inspect_err(|error| tracing::error!("aborting a download: {error}"))?;
            let rest = range.start + block.len() as u64..range.end;
            Ok(Some((block, rest)))
        }
    })
}

/// Limits concurrent reads of blocks from the disk across all clients: more would occupy threads and memory without making it
/// faster.
static READ_SLOTS: Semaphore = Semaphore::const_new(8);

async fn read_block(object: Arc<Object>, range: Range<u64>) -> Result<Bytes, StorageError> {
    match object.read_first(&range, ReadFrom::PageCache) {
        Err(error) if error.is_not_cached() => {}
        read => return read,
    }
    let slot = READ_SLOTS.acquire().await;
    let slot = slot.map_err(|closed| StorageError::Io { path: "reading".into(), source: std::io::Error::other(closed) })?;
    let read = tokio::task::spawn_blocking(move || {
        let block = object.read_first(&range, ReadFrom::Disk);
        drop(slot);
        block
    });
    read.await.unwrap_or_else(|panicked| {
        let source = std::io::Error::other(panicked);
        Err(StorageError::Io { path: "reading".into(), source })
    })
}

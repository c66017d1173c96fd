//! Get and head: conditions, ranges, the headers of an answer, and the data as a stream of proved blocks.
//!
//! The first block is read and proved before the answer begins, so that damage there is a 500. Damage further on can
//! only break the connection off: the client sees fewer bytes than were announced.

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

use super::api::{off_runtime, storage_error};
use super::checksums;
use super::object::Object;
use super::storage::{Storage, StorageError};
use super::trailer::Description;

/// A first block up to this size is read while its file is opened: another change of threads would take longer.
const READ_AT_ONCE_BYTES: u64 = 64 << 10;

/// What S3 says of an object that was stored without a type.
const UNTYPED: &str = "binary/octet-stream";

/// An object's headers and data, or the range of them that was asked for.
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
    let storage = Arc::clone(storage);
    let (object, range, first) = off_runtime(move || {
        let object = find(&storage, &key)?;
        conditions.check(&object.description)?;
        let range = range.filter(|_| if_range_holds(if_range.as_ref(), &object.description));
        let range = range.map(|range| satisfy(range, &object.description)).transpose()?;
        let shown = range.clone().unwrap_or(0..object.description.length);
        let block = object.first_block(&shown);
        let first = (block.end - block.start <= READ_AT_ONCE_BYTES).then(|| object.read_first(&shown)).transpose();
        Ok((Arc::new(object), range, first.map_err(storage_error)?))
    })
    .await?;
    let shown = range.clone().unwrap_or(0..object.description.length);
    let first = match first {
        Some(first) => first,
        None => read_piece(Arc::clone(&object), shown.clone()).await.map_err(storage_error)?,
    };

    let description = object.description.clone();
    let checksums = described_checksums(&description, range.is_none() && wants(request.input.checksum_mode.as_ref()));
    let length = description.length;
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: description.headers.cache_control,
        checksum_type: checksums.checksum_type,
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        content_disposition: description.headers.content_disposition,
        content_encoding: description.headers.content_encoding,
        content_language: description.headers.content_language,
        content_length: i64::try_from(shown.end - shown.start).ok(),
        content_range: range.map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1)),
        content_type: Some(description.headers.content_type.unwrap_or_else(|| UNTYPED.to_owned())),
        e_tag: Some(ETag::Strong(description.md5)),
        last_modified: Some(Timestamp::from(stored_at(description.stored_at_ms))),
        metadata: (!description.metadata.is_empty()).then(|| description.metadata.into_iter().collect()),
        body: Some(body(object, shown, first)),
        ..GetObjectOutput::default()
    })
}

/// An object's headers. A `Range` means nothing here, as RFC 9110 (14.2) has it.
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
    let storage = Arc::clone(storage);
    let description = off_runtime(move || {
        let object = find(&storage, &key)?;
        conditions.check(&object.description)?;
        Ok(object.description)
    })
    .await?;

    let checksums = described_checksums(&description, wants(input.checksum_mode.as_ref()));
    let headers = description.headers;
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
        content_length: i64::try_from(description.length).ok(),
        content_type: Some(content_type.unwrap_or_else(|| UNTYPED.to_owned())),
        e_tag: Some(ETag::Strong(description.md5)),
        last_modified: Some(Timestamp::from(stored_at(description.stored_at_ms))),
        metadata: (!description.metadata.is_empty()).then(|| description.metadata.into_iter().collect()),
        ..HeadObjectOutput::default()
    })
}

/// The time of a description, for S3's types.
pub(super) fn stored_at(stored_at_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(stored_at_ms)).unwrap_or(UNIX_EPOCH)
}

fn find(storage: &Storage, key: &str) -> S3Result<Object> {
    let found = storage.find(key).map_err(storage_error)?;
    found.ok_or_else(|| s3_error!(NoSuchKey, "there is no such object"))
}

fn refuse_unsupported(version: Option<&str>, part: Option<i32>, encrypted: bool) -> S3Result<()> {
    if version.is_some_and(|version| version != "null") {
        return Err(s3_error!(NoSuchVersion, "objects have no versions here"));
    }
    if part.is_some() || encrypted {
        return Err(s3_error!(NotImplemented, "parts and encryption are not implemented"));
    }
    Ok(())
}

/// What a request says the object must or must not be.
struct Conditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// In the order of RFC 9110 (13.2.2): a tag, where there is one, makes the time beside it void.
    fn check(&self, description: &Description) -> S3Result<()> {
        let matches = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.value() == description.md5,
        };
        // HTTP's times are whole seconds: the object's must be compared as the client was told it.
        let stored_at = Timestamp::from(stored_at(description.stored_at_ms / 1000 * 1000));
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition),
            (None, Some(time)) => stored_at <= *time,
            (None, None) => true,
        };
        if !holds {
            return Err(s3_error!(PreconditionFailed, "the condition does not hold"));
        }
        let changed = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !matches(condition),
            (None, Some(time)) => stored_at > *time,
            (None, None) => true,
        };
        if changed { Ok(()) } else { Err(not_modified(description)) }
    }
}

/// A 304 repeats the headers that a cache needs for what it has.
fn not_modified(description: &Description) -> S3Error {
    let mut headers = HeaderMap::new();
    let mut add = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    add(header::ETAG, &format!("\"{}\"", description.md5));
    add(header::LAST_MODIFIED, &http_date(description));
    if let Some(cache_control) = &description.headers.cache_control {
        add(header::CACHE_CONTROL, cache_control);
    }
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_headers(headers);
    error
}

fn http_date(description: &Description) -> String {
    let mut text = Vec::new();
    let time = Timestamp::from(stored_at(description.stored_at_ms));
    match time.format(TimestampFormat::HttpDate, &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    }
}

/// `If-Range`: a browser that goes on with a download wants the whole, if it is not the same object any more.
fn if_range_holds(if_range: Option<&HeaderValue>, description: &Description) -> bool {
    let Some(if_range) = if_range.map(HeaderValue::as_bytes) else { return true };
    if_range == format!("\"{}\"", description.md5).as_bytes() || if_range == http_date(description).as_bytes()
}

/// Turns a range into bytes that exist.
fn satisfy(range: s3s::dto::Range, description: &Description) -> S3Result<Range<u64>> {
    // The last bytes of nothing are not satisfiable either, which `check` lets pass.
    let found = range.check(description.length).ok().filter(|range| !range.is_empty());
    found.ok_or_else(|| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", description.length)) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        let mut error = s3_error!(InvalidRange, "the object has {} bytes", description.length);
        error.set_headers(headers);
        error
    })
}

fn wants(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

fn described_checksums(description: &Description, wanted: bool) -> Checksum {
    if !wanted || description.checksums.is_empty() {
        return Checksum::default();
    }
    let mut found = checksums::stored(&description.checksums);
    found.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
    found
}

/// The data of a range, whose first piece has been read.
fn body(object: Arc<Object>, range: Range<u64>, first: Bytes) -> StreamingBlob {
    let rest = range.start + first.len() as u64..range.end;
    if rest.is_empty() {
        return StreamingBlob::from(Body::from(first));
    }
    StreamingBlob::wrap(stream::once(async { Ok(first) }).chain(pieces(object, rest)))
}

fn pieces(object: Arc<Object>, range: Range<u64>) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + Sync {
    stream::try_unfold(range, move |range| {
        let object = Arc::clone(&object);
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = read_piece(object, range.clone()).await;
            let piece = piece.inspect_err(|error| tracing::error!("a download is broken off: {error}"))?;
            let rest = range.start + piece.len() as u64..range.end;
            Ok(Some((piece, rest)))
        }
    })
}

/// Pieces read at once, however many clients there are: more keep more threads busy and memory in use, and make no disk faster.
static READERS: Semaphore = Semaphore::const_new(8);

async fn read_piece(object: Arc<Object>, range: Range<u64>) -> Result<Bytes, StorageError> {
    let turn = READERS
        .acquire()
        .await
        .map_err(|closed| StorageError::Io { path: "reading".into(), source: std::io::Error::other(closed) })?;
    // The allocator keeps memory for each thread, so it is better taken on one of the few that run everything.
    let block = object.first_block(&range);
    let buffer = Vec::with_capacity((block.end - block.start) as usize);
    let read = tokio::task::spawn_blocking(move || {
        let piece = object.read_first_into(buffer, &range);
        drop(turn);
        piece
    });
    read.await.unwrap_or_else(|panicked| {
        let source = std::io::Error::other(panicked);
        Err(StorageError::Io { path: "reading".into(), source })
    })
}

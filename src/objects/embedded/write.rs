//! Put and delete: S3's rules around the storage's commits.
//!
//! A put is read a block at a time, and each block is hashed and written off the runtime; a client that
//! stalls holds a temporary file and a block of memory, no thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use s3s::dto::{
    Checksum, ChecksumType, DeleteObjectInput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition,
    Metadata, PutObjectInput, PutObjectOutput, StreamingBlob,
};
use s3s::stream::ByteStream as _;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, StdError, s3_error};

use super::api::{off_runtime, storage_error};
use super::checksums::{self, Claims};
use super::draft::Draft;
use super::storage::{Condition, Outcome, Storage};
use super::trailer::{BLOCK_BYTES, Description, Headers};

const KEY_BYTES_MAX: usize = 1024;
/// S3's own bound on user metadata, names and values together.
const METADATA_BYTES_MAX: usize = 2048;
/// S3's own bound on a request's headers, for those of them that are kept.
const HEADERS_BYTES_MAX: usize = 8192;
const DELETES_MAX: usize = 1000;

/// Stores an object, or changes nothing.
pub(super) async fn put(
    storage: &Arc<Storage>,
    object_bytes_max: u64,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    refuse_unsupported(&request.input)?;
    check_key(&request.input.key)?;
    let condition = put_condition(&request.input)?;
    let (headers, metadata) = kept_headers(&mut request.input)?;
    let claims = Claims::of(&request.input, header(&request, "x-amz-trailer"))?;
    let body = request.input.body.take();
    let length = declared_length(&request, body.as_ref())?;
    if length > object_bytes_max {
        return Err(s3_error!(EntityTooLarge, "an object may have at most {object_bytes_max} bytes"));
    }

    let mut draft = receive(storage, &claims, body, length).await?;
    let digests = draft.take_digests();
    let checksums = claims.verify(request.trailing_headers.as_ref(), &digests)?;
    let description = Description {
        key: request.input.key,
        length,
        md5: hex::encode(digests.md5),
        stored_at_ms: draft.stored_at_ms(),
        headers,
        metadata,
        checksums,
    };
    let output = put_output(&description);
    let storage = Arc::clone(storage);
    let outcome = off_runtime(move || storage.commit(draft, &description, &condition).map_err(storage_error)).await?;
    changed(outcome)?;
    Ok(output)
}

/// Removes an object; that there was none is no error.
pub(super) async fn delete(storage: &Arc<Storage>, input: DeleteObjectInput) -> S3Result<()> {
    if input.version_id.is_some_and(|version| version != "null") {
        return Err(s3_error!(NotImplemented, "objects have no versions here"));
    }
    let condition = match input.if_match {
        Some(condition) => if_match(condition),
        None => Condition::None,
    };
    let storage = Arc::clone(storage);
    let outcome = off_runtime(move || storage.remove(&input.key, &condition).map_err(storage_error)).await?;
    match outcome {
        // As S3 has it: deleting what is not there succeeds, even on a condition.
        Outcome::Missing => Ok(()),
        outcome => changed(outcome),
    }
}

/// Removes up to 1000 objects, each on its own: some may fail, and the answer says which.
pub(super) async fn delete_many(storage: &Arc<Storage>, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    let quiet = input.delete.quiet.unwrap_or_default();
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > DELETES_MAX {
        return Err(s3_error!(MalformedXML, "a request deletes 1 to {DELETES_MAX} objects"));
    }
    if objects.iter().any(|object| object.e_tag.is_some() || object.version_id.as_ref().is_some_and(|id| id != "null")) {
        return Err(s3_error!(NotImplemented, "conditions and versions are not for deleting many"));
    }
    let keys = objects.into_iter().map(|object| object.key).collect();
    let storage = Arc::clone(storage);
    let results = off_runtime(move || Ok(storage.remove_all(keys))).await?;

    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (key, result) in results {
        match result.map_err(storage_error) {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id: None,
            }),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: (!deleted.is_empty()).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..DeleteObjectsOutput::default()
    })
}

/// Writes a body into a draft.
async fn receive(storage: &Arc<Storage>, claims: &Claims, body: Option<StreamingBlob>, length: u64) -> S3Result<Draft> {
    let hasher = claims.hasher();
    let storage = Arc::clone(storage);
    let mut draft = off_runtime(move || storage.draft(hasher).map_err(storage_error)).await?;
    let mut pending = BytesMut::new();
    let mut received: u64 = 0;
    let mut body = body;
    while let Some(body) = &mut body
        && let Some(piece) = body.next().await
    {
        let piece = piece.map_err(body_error)?;
        received += piece.len() as u64;
        if received > length {
            return Err(s3_error!(IncompleteBody, "the body is longer than was declared"));
        }
        pending.extend_from_slice(&piece);
        while pending.len() >= BLOCK_BYTES {
            draft = write_block(draft, pending.split_to(BLOCK_BYTES).freeze()).await?;
        }
    }
    // A chunked body that stops after a whole chunk is not noticed by the reader of chunks.
    if received != length {
        return Err(s3_error!(IncompleteBody, "the body is shorter than was declared"));
    }
    if !pending.is_empty() {
        draft = write_block(draft, pending.freeze()).await?;
    }
    debug_assert_eq!(draft.length(), length);
    Ok(draft)
}

async fn write_block(mut draft: Draft, block: Bytes) -> S3Result<Draft> {
    off_runtime(move || {
        draft.write_block(&block).map_err(storage_error)?;
        Ok(draft)
    })
    .await
}

/// Features that a client may count on are refused, not ignored.
fn refuse_unsupported(input: &PutObjectInput) -> S3Result<()> {
    let unsupported = [
        ("x-amz-server-side-encryption", input.server_side_encryption.is_some()),
        ("x-amz-server-side-encryption-customer-algorithm", input.sse_customer_algorithm.is_some()),
        ("x-amz-tagging", input.tagging.is_some()),
        ("x-amz-object-lock-mode", input.object_lock_mode.is_some()),
        ("x-amz-object-lock-legal-hold", input.object_lock_legal_hold_status.is_some()),
        ("x-amz-website-redirect-location", input.website_redirect_location.is_some()),
        ("x-amz-write-offset-bytes", input.write_offset_bytes.is_some()),
        ("expires", input.expires.is_some()),
    ];
    refuse_asked(&unsupported)
}

/// Refuses the first of these features that a request asks for.
pub(super) fn refuse_asked(unsupported: &[(&str, bool)]) -> S3Result<()> {
    match unsupported.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(s3_error!(NotImplemented, "{name} is not implemented")),
        None => Ok(()),
    }
}

/// A key is any text that a listing can carry: XML 1.0 has no way to write the other control characters.
pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(s3_error!(KeyTooLongError, "a key has 1 to {KEY_BYTES_MAX} bytes"));
    }
    let unwritable = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    if key.contains(unwritable) {
        return Err(s3_error!(InvalidArgument, "the key has a character that XML cannot carry"));
    }
    Ok(())
}

fn put_condition(input: &PutObjectInput) -> S3Result<Condition> {
    match (&input.if_none_match, &input.if_match) {
        (None, None) => Ok(Condition::None),
        (Some(ETagCondition::Any), None) => Ok(Condition::Absent),
        (None, Some(condition)) => Ok(if_match(condition.clone())),
        _ => Err(s3_error!(NotImplemented, "a put takes If-None-Match: * or If-Match, not more")),
    }
}

fn if_match(condition: ETagCondition) -> Condition {
    match condition {
        ETagCondition::Any => Condition::Present,
        ETagCondition::ETag(tag) => Condition::Md5(tag.into_value()),
    }
}

fn changed(outcome: Outcome) -> S3Result<()> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Missing => Err(s3_error!(NoSuchKey, "there is no object that the condition could hold for")),
        Outcome::Conflict => Err(s3_error!(PreconditionFailed, "the condition does not hold")),
    }
}

fn kept_headers(input: &mut PutObjectInput) -> S3Result<(Headers, BTreeMap<String, String>)> {
    let metadata: Metadata = input.metadata.take().unwrap_or_default();
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "metadata may have at most {METADATA_BYTES_MAX} bytes"));
    }
    let headers = Headers {
        content_type: input.content_type.take(),
        content_disposition: input.content_disposition.take(),
        content_encoding: input.content_encoding.take().and_then(|coding| without_aws_chunked(&coding)),
        content_language: input.content_language.take(),
        cache_control: input.cache_control.take(),
    };
    let kept = [
        &headers.content_type,
        &headers.content_disposition,
        &headers.content_encoding,
        &headers.content_language,
        &headers.cache_control,
    ];
    let bytes: usize = kept.into_iter().flatten().map(String::len).sum();
    if bytes > HEADERS_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "headers may have at most {HEADERS_BYTES_MAX} bytes"));
    }
    Ok((headers, metadata.into_iter().collect()))
}

/// `aws-chunked` is how the body travelled, not what it is.
fn without_aws_chunked(coding: &str) -> Option<String> {
    let codings = coding.split(',').map(str::trim);
    let kept: Vec<_> = codings.filter(|coding| !coding.is_empty() && *coding != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// The length of the object's data, without what chunks add to it.
fn declared_length(request: &S3Request<PutObjectInput>, body: Option<&StreamingBlob>) -> S3Result<u64> {
    let decoded = header(request, "x-amz-decoded-content-length").and_then(|value| value.parse().ok());
    let declared = request.input.content_length.and_then(|length| u64::try_from(length).ok());
    let known = || match body {
        Some(body) => body.remaining_length().exact().map(|length| length as u64),
        None => Some(0),
    };
    decoded.or(declared).or_else(known).ok_or_else(|| s3_error!(MissingContentLength))
}

fn header<'a, T>(request: &'a S3Request<T>, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Says what went wrong with a body. The types of `s3s`'s body errors are private, so their texts must do.
fn body_error(error: StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_source(code, error);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    let code = if text.contains("SignatureMismatch") {
        S3ErrorCode::SignatureDoesNotMatch
    } else if text.contains(super::body::TOO_LARGE) {
        S3ErrorCode::EntityTooLarge
    } else if text.contains(super::body::STALLED) {
        S3ErrorCode::RequestTimeout
    } else {
        S3ErrorCode::IncompleteBody
    };
    S3Error::with_source(code, error)
}

fn put_output(description: &Description) -> PutObjectOutput {
    let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } =
        checksums::stored(&description.checksums);
    PutObjectOutput {
        e_tag: Some(ETag::Strong(description.md5.clone())),
        checksum_type: (!description.checksums.is_empty()).then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        ..PutObjectOutput::default()
    }
}

//! `PutObject`, `DeleteObject` and `DeleteObjects`: S3's rules for changes to the storage.
//!
//! The last blocks of an upload are hashed and written on a blocking thread together with the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use s3s::dto::{
    Checksum, ChecksumType, DeleteObjectInput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition,
    Metadata, PutObjectInput, PutObjectOutput, StreamingBlob,
};
use s3s::stream::ByteStream as _;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, StdError, TrailingHeaders, s3_error};

use super::blocking::{internal_error, run_blocking};
use super::checksums::{self, DeclaredChecksums};
use super::in_process::FromThisProcess;
use super::receive::{Length, Received, receive};
use super::storage::{Condition, Outcome, Storage};
use super::storage_error::StorageError;
use super::trailer::{Headers, ObjectMetadata};
use super::upload_file::Hashers;

/// S3's limit for keys.
const KEY_BYTES_MAX: usize = 1024;
/// S3's limit for user-defined metadata, names and values together.
const USER_METADATA_BYTES_MAX: usize = 2048;
/// S3's limit for a request's headers, applied to those that are stored.
const HEADERS_BYTES_MAX: usize = 8192;
/// S3's limit for keys in one `DeleteObjects` request.
const DELETES_MAX: usize = 1000;

/// Stores an object. Changes nothing if an error occurs or a condition does not hold.
pub(super) async fn put(
    storage: &Arc<Storage>,
    object_bytes_max: u64,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let trailer = header(&request, "x-amz-trailer").map(str::to_owned);
    let object = NewObject::of(&mut request.input, trailer.as_deref())?;
    let body = request.input.body.take();
    let length = declared_length(&request, body.as_ref())?;
    if length > object_bytes_max {
        return Err(s3_error!(EntityTooLarge, "The object exceeds the maximum size of {object_bytes_max} bytes."));
    }

    let from_this_process = request.extensions.get::<FromThisProcess>().is_some();
    // Nobody compares the ETags of this process's own objects with an MD5, which takes longer than everything else here.
    let md5 = (!from_this_process || object.declared.has_md5()).then(Md5::new);
    let hashers = Hashers { md5, checksums: object.declared.hasher() };
    let chunks = futures::stream::iter(body).flatten().map(|chunk| chunk.map_err(body_error));
    let received = receive(storage, hashers, chunks, &Length::Exactly(length)).await?;
    let metadata = store(storage, received, object, request.trailing_headers).await?;
    Ok(put_output(&metadata))
}

/// An object that is being uploaded, without its data.
pub(super) struct NewObject {
    key: String,
    headers: Headers,
    user_metadata: BTreeMap<String, String>,
    declared: DeclaredChecksums,
    condition: Condition,
}

impl NewObject {
    /// Takes what will be stored out of a request. `trailer` is the value of `x-amz-trailer`.
    pub(super) fn of(input: &mut PutObjectInput, trailer: Option<&str>) -> S3Result<Self> {
        refuse_unsupported(input)?;
        check_key(&input.key)?;
        let condition = put_condition(input)?;
        let (headers, user_metadata) = take_headers(input)?;
        let declared = DeclaredChecksums::from_headers(input, trailer)?;
        Ok(Self { key: std::mem::take(&mut input.key), headers, user_metadata, declared, condition })
    }

    /// Returns hashers for an MD5 and for the declared checksums.
    pub(super) fn hashers(&self) -> Hashers {
        Hashers { md5: Some(Md5::new()), checksums: self.declared.hasher() }
    }
}

/// Writes the rest of the data, verifies the checksums and makes the upload an object.
pub(super) async fn store(
    storage: &Arc<Storage>,
    received: Received,
    object: NewObject,
    trailers: Option<TrailingHeaders>,
) -> S3Result<ObjectMetadata> {
    let storage = Arc::clone(storage);
    run_blocking(move || {
        let mut upload = received.write_all(&storage).map_err(internal_error)?;
        let digests = upload.take_digests();
        let NewObject { key, headers, user_metadata, declared, condition } = object;
        let checksums = declared.verify(trailers.as_ref(), &digests)?;
        let etag = etag(digests.md5).map_err(internal_error)?;
        let (length, stored_at_ms) = (upload.length(), upload.stored_at_ms());
        let metadata = ObjectMetadata { key, length, etag, stored_at_ms, headers, user_metadata, checksums };
        check_outcome(storage.commit(upload, &metadata, &condition).map_err(internal_error)?)?;
        Ok(metadata)
    })
    .await
}

/// Returns the MD5 in hex, or a random ETag. It has the form that S3 uses if an ETag is not an MD5.
fn etag(md5: Option<[u8; 16]>) -> Result<String, StorageError> {
    if let Some(md5) = md5 {
        return Ok(hex::encode(md5));
    }
    let mut random = [0_u8; 16];
    let error = |error: getrandom::Error| StorageError::Io { path: "random".into(), source: std::io::Error::other(error) };
    getrandom::fill(&mut random).map_err(error)?;
    Ok(format!("{}-1", hex::encode(random)))
}

/// Removes an object. Succeeds if it does not exist.
pub(super) async fn delete(storage: &Arc<Storage>, input: DeleteObjectInput) -> S3Result<()> {
    if input.version_id.is_some_and(|version| version != "null") {
        return Err(s3_error!(NotImplemented, "Versions are not implemented."));
    }
    let condition = match input.if_match {
        Some(condition) => if_match(condition),
        None => Condition::None,
    };
    let storage = Arc::clone(storage);
    let outcome = run_blocking(move || storage.remove(&input.key, &condition).map_err(internal_error)).await?;
    match outcome {
        // As in S3: deleting an object that does not exist succeeds, even with a condition.
        Outcome::Missing => Ok(()),
        outcome => check_outcome(outcome),
    }
}

/// Removes up to 1000 objects independently: some may fail, and the response lists those.
pub(super) async fn delete_many(storage: &Arc<Storage>, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    let quiet = input.delete.quiet.unwrap_or_default();
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > DELETES_MAX {
        return Err(s3_error!(MalformedXML, "The request must name 1 to {DELETES_MAX} objects."));
    }
    if objects.iter().any(|object| object.e_tag.is_some() || object.version_id.as_ref().is_some_and(|id| id != "null")) {
        return Err(s3_error!(NotImplemented, "Conditions and versions are not implemented for DeleteObjects."));
    }
    let keys = objects.into_iter().map(|object| object.key).collect();
    let storage = Arc::clone(storage);
    let results = run_blocking(move || Ok(storage.remove_all(keys))).await?;

    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (key, result) in results {
        match result.map_err(internal_error) {
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

/// Refuses unsupported features instead of ignoring them, because a client may rely on them.
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
    refuse_requested(&unsupported)
}

/// Returns an error for the first unsupported feature that is requested. The flags say which ones are.
pub(super) fn refuse_requested(unsupported: &[(&str, bool)]) -> S3Result<()> {
    match unsupported.iter().find(|(_, requested)| *requested) {
        Some((name, _)) => Err(s3_error!(NotImplemented, "{name} is not implemented.")),
        None => Ok(()),
    }
}

/// Checks a key: its length, and that a listing can contain it. XML 1.0 cannot represent most control characters.
pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(s3_error!(KeyTooLongError, "The key must have 1 to {KEY_BYTES_MAX} bytes."));
    }
    let unrepresentable = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    if key.contains(unrepresentable) {
        return Err(s3_error!(InvalidArgument, "The key contains a character that XML cannot represent."));
    }
    Ok(())
}

fn put_condition(input: &PutObjectInput) -> S3Result<Condition> {
    match (&input.if_none_match, &input.if_match) {
        (None, None) => Ok(Condition::None),
        (Some(ETagCondition::Any), None) => Ok(Condition::Absent),
        (None, Some(condition)) => Ok(if_match(condition.clone())),
        _ => Err(s3_error!(NotImplemented, "Only If-None-Match: * or If-Match is implemented for PutObject.")),
    }
}

fn if_match(condition: ETagCondition) -> Condition {
    match condition {
        ETagCondition::Any => Condition::Present,
        ETagCondition::ETag(tag) => Condition::ETag(tag.into_value()),
    }
}

fn check_outcome(outcome: Outcome) -> S3Result<()> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Missing => Err(s3_error!(NoSuchKey, "If-Match requires an existing object, but the object does not exist.")),
        Outcome::Conflict => Err(s3_error!(PreconditionFailed, "The object does not match If-Match or If-None-Match.")),
    }
}

/// Takes the headers and user-defined metadata to store out of the request.
fn take_headers(input: &mut PutObjectInput) -> S3Result<(Headers, BTreeMap<String, String>)> {
    let user_metadata: Metadata = input.metadata.take().unwrap_or_default();
    let bytes: usize = user_metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "The x-amz-meta-* headers may have at most {USER_METADATA_BYTES_MAX} bytes."));
    }
    let headers = Headers {
        content_type: input.content_type.take(),
        content_disposition: input.content_disposition.take(),
        content_encoding: input.content_encoding.take().and_then(|coding| without_aws_chunked(&coding)),
        content_language: input.content_language.take(),
        cache_control: input.cache_control.take(),
    };
    let stored = [
        &headers.content_type,
        &headers.content_disposition,
        &headers.content_encoding,
        &headers.content_language,
        &headers.cache_control,
    ];
    let bytes: usize = stored.into_iter().flatten().map(String::len).sum();
    if bytes > HEADERS_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "The stored headers may have at most {HEADERS_BYTES_MAX} bytes."));
    }
    Ok((headers, user_metadata.into_iter().collect()))
}

/// Removes `aws-chunked` from a `Content-Encoding`: it describes the transfer, not the object.
fn without_aws_chunked(coding: &str) -> Option<String> {
    let codings = coding.split(',').map(str::trim);
    let others: Vec<_> = codings.filter(|coding| !coding.is_empty() && *coding != "aws-chunked").collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Returns the declared length of the object's data, without chunk headers.
fn declared_length(request: &S3Request<PutObjectInput>, body: Option<&StreamingBlob>) -> S3Result<u64> {
    let decoded = header(request, "x-amz-decoded-content-length").and_then(|value| value.parse().ok());
    let declared = request.input.content_length.and_then(|length| u64::try_from(length).ok());
    let exact = || match body {
        Some(body) => body.remaining_length().exact().map(|length| length as u64),
        None => Some(0),
    };
    decoded.or(declared).or_else(exact).ok_or_else(|| s3_error!(MissingContentLength))
}

fn header<'a, T>(request: &'a S3Request<T>, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Maps an error of the body to S3's code. The types of `s3s`'s body errors are private, so this matches their texts.
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

fn put_output(metadata: &ObjectMetadata) -> PutObjectOutput {
    let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } =
        checksums::to_dto(&metadata.checksums);
    PutObjectOutput {
        e_tag: Some(ETag::Strong(metadata.etag.clone())),
        checksum_type: (!metadata.checksums.is_empty()).then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        checksum_crc32,
        checksum_crc32c,
        checksum_crc64nvme,
        checksum_sha1,
        checksum_sha256,
        ..PutObjectOutput::default()
    }
}

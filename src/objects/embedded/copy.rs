//! `CopyObject`: copies an object to another key, with its headers, user metadata and checksums.
//!
//! The data is read in verified blocks as for `GetObject` and written as for `PutObject`, so a damaged object is not copied.

use std::sync::Arc;

use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, MetadataDirective, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::blocking::{internal_error, run_blocking};
use super::object::Object;
use super::page_cache::ReadFrom;
use super::read::stored_at;
use super::storage::{Condition, Storage};
use super::storage_error::StorageError;
use super::trailer::ObjectMetadata;
use super::upload_file::Hashers;
use super::{checksums, write};

/// Copies an object, or changes nothing.
pub(super) async fn copy(storage: &Arc<Storage>, input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
    refuse_unsupported(&input)?;
    let CopySource::Bucket { key: from, version_id: None, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "x-amz-copy-source must be a bucket and a key without a version."));
    };
    let (from, to) = (from.to_string(), input.key.clone());
    write::check_key(&to)?;
    if from == to {
        return Err(s3_error!(InvalidRequest, "An object cannot be copied to itself."));
    }
    let storage = Arc::clone(storage);
    let copied = run_blocking(move || {
        let source = storage.find(&from).map_err(internal_error)?;
        let source = source.ok_or_else(|| s3_error!(NoSuchKey, "The object to copy does not exist."))?;
        copy_object(&storage, &source, to).map_err(internal_error)
    });
    Ok(CopyObjectOutput { copy_object_result: Some(result(&copied.await?)), ..CopyObjectOutput::default() })
}

fn copy_object(storage: &Storage, source: &Object, key: String) -> Result<ObjectMetadata, StorageError> {
    let mut upload = storage.begin_upload(Hashers::default())?;
    let mut rest = 0..source.metadata.length;
    while !rest.is_empty() {
        let block = source.read_first(&rest, ReadFrom::Disk)?;
        upload.write_block(&block)?;
        rest.start += block.len() as u64;
    }
    let metadata = ObjectMetadata { key, stored_at_ms: upload.stored_at_ms(), ..source.metadata.clone() };
    storage.commit(upload, &metadata, &Condition::None)?;
    Ok(metadata)
}

fn result(copied: &ObjectMetadata) -> CopyObjectResult {
    let checksums = checksums::to_dto(&copied.checksums);
    CopyObjectResult {
        e_tag: Some(ETag::Strong(copied.etag.clone())),
        last_modified: Some(Timestamp::from(stored_at(copied.stored_at_ms))),
        checksum_type: (!copied.checksums.is_empty()).then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
    }
}

/// Refuses unsupported features instead of ignoring them, because a client may rely on them.
fn refuse_unsupported(input: &CopyObjectInput) -> S3Result<()> {
    let replaces = |directive: &MetadataDirective| directive.as_str() != MetadataDirective::COPY;
    let unsupported = [
        ("x-amz-metadata-directive other than COPY", input.metadata_directive.as_ref().is_some_and(replaces)),
        ("x-amz-copy-source-if-match", input.copy_source_if_match.is_some()),
        ("x-amz-copy-source-if-none-match", input.copy_source_if_none_match.is_some()),
        ("x-amz-copy-source-if-modified-since", input.copy_source_if_modified_since.is_some()),
        ("x-amz-copy-source-if-unmodified-since", input.copy_source_if_unmodified_since.is_some()),
        ("x-amz-copy-source-server-side-encryption-customer-algorithm", input.copy_source_sse_customer_algorithm.is_some()),
        ("x-amz-server-side-encryption", input.server_side_encryption.is_some()),
        ("x-amz-server-side-encryption-customer-algorithm", input.sse_customer_algorithm.is_some()),
        ("x-amz-tagging", input.tagging.is_some()),
        ("x-amz-object-lock-mode", input.object_lock_mode.is_some()),
        ("x-amz-object-lock-legal-hold", input.object_lock_legal_hold_status.is_some()),
        ("x-amz-website-redirect-location", input.website_redirect_location.is_some()),
    ];
    write::refuse_requested(&unsupported)
}

//! `ListObjectsV2`: pages of the index, with each object's details read from its file.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Owner, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::blocking::{internal_error, run_blocking};
use super::index::{Query, StartAfter};
use super::read::stored_at;
use super::storage::Storage;
use super::storage_error::StorageError;

/// S3's maximum page size.
const PAGE_MAX: usize = 1000;

/// The characters that `encoding-type=url` encodes.
const URL_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// Returns one page of objects. Skips objects that are removed meanwhile; skips and logs damaged ones.
pub(super) async fn list(storage: &Arc<Storage>, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let limit = input.max_keys.unwrap_or(PAGE_MAX as i32);
    let limit = usize::try_from(limit).map_err(|_| s3_error!(InvalidArgument, "max-keys must not be negative."))?.min(PAGE_MAX);
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => decode_token(token)?,
        (None, Some(key)) => StartAfter::Key(key.clone()),
        (None, None) => StartAfter::Beginning,
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let storage = Arc::clone(storage);
    let (page, objects) = run_blocking(move || {
        let mut page = storage.page(&query).map_err(internal_error)?;
        let keys = std::mem::take(&mut page.keys);
        let objects = describe(&storage, keys).map_err(internal_error)?;
        Ok((page, objects))
    })
    .await?;

    let encoding = input.encoding_type.filter(|encoding| encoding.as_str() == EncodingType::URL);
    let encode = |text: String| if encoding.is_some() { utf8_percent_encode(&text, URL_ENCODED).to_string() } else { text };
    let owner = input.fetch_owner.unwrap_or_default().then(owner);
    let contents: Vec<_> =
        objects.into_iter().map(|object| Object { key: object.key.map(encode), owner: owner.clone(), ..object }).collect();
    let common_prefixes: Vec<_> =
        page.common_prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encode(prefix)) }).collect();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(encode),
        start_after: input.start_after.map(encode),
        max_keys: i32::try_from(limit).ok(),
        key_count: i32::try_from(contents.len() + common_prefixes.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        continuation_token: input.continuation_token,
        next_continuation_token: page.next.as_ref().map(encode_token),
        contents: (!contents.is_empty()).then_some(contents),
        common_prefixes: (!common_prefixes.is_empty()).then_some(common_prefixes),
        encoding_type: encoding.clone(),
        ..ListObjectsV2Output::default()
    })
}

/// The owner of the bucket and of all objects.
pub(super) fn owner() -> Owner {
    Owner { id: Some("embedded".to_owned()), display_name: None }
}

fn describe(storage: &Storage, keys: Vec<String>) -> Result<Vec<Object>, StorageError> {
    let mut objects = Vec::with_capacity(keys.len());
    for key in keys {
        let metadata = match storage.find(&key) {
            Ok(Some(object)) => object.metadata,
            Ok(None) => continue,
            Err(error @ StorageError::Damaged { .. }) => {
                tracing::error!("skipping an object in a listing: {error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        objects.push(Object {
            e_tag: Some(ETag::Strong(metadata.etag)),
            last_modified: Some(Timestamp::from(stored_at(metadata.stored_at_ms))),
            size: i64::try_from(metadata.length).ok(),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            key: Some(key),
            ..Object::default()
        });
    }
    Ok(objects)
}

/// Encodes the position of the next page as an opaque token.
fn encode_token(after: &StartAfter) -> String {
    let text = match after {
        StartAfter::Beginning => String::new(),
        StartAfter::Key(key) => format!("k{key}"),
        StartAfter::CommonPrefix(prefix) => format!("p{prefix}"),
    };
    URL_SAFE_NO_PAD.encode(text)
}

fn decode_token(token: &str) -> S3Result<StartAfter> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let after = match text.split_at_checked(1) {
        Some(("k", key)) => Some(StartAfter::Key(key.to_owned())),
        Some(("p", prefix)) => Some(StartAfter::CommonPrefix(prefix.to_owned())),
        _ => None,
    };
    after.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is not valid."))
}

//! ListObjectsV2: pages of the index, with each object's particulars from its file.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Owner, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::api::{off_runtime, storage_error};
use super::index::{After, Query};
use super::read::stored_at;
use super::storage::{Storage, StorageError};

/// S3's own bound on a page.
const PAGE_MAX: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const URL_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// One page of objects. An object that is removed meanwhile is missing from it, one that is damaged is logged and left out.
pub(super) async fn list(storage: &Arc<Storage>, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let limit = input.max_keys.unwrap_or(PAGE_MAX as i32);
    let limit = usize::try_from(limit).map_err(|_| s3_error!(InvalidArgument, "max-keys is negative"))?.min(PAGE_MAX);
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => decode(token)?,
        (None, Some(key)) => After::Key(key.clone()),
        (None, None) => After::Nothing,
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let storage = Arc::clone(storage);
    let (page, objects) = off_runtime(move || {
        let mut page = storage.page(&query).map_err(storage_error)?;
        let keys = std::mem::take(&mut page.keys);
        let objects = describe(&storage, keys).map_err(storage_error)?;
        Ok((page, objects))
    })
    .await?;

    let encoding = input.encoding_type.filter(|encoding| encoding.as_str() == EncodingType::URL);
    let encode = |text: String| if encoding.is_some() { utf8_percent_encode(&text, URL_ENCODED).to_string() } else { text };
    let owner = input.fetch_owner.unwrap_or_default().then(owner);
    let contents: Vec<_> =
        objects.into_iter().map(|object| Object { key: object.key.map(encode), owner: owner.clone(), ..object }).collect();
    let folded: Vec<_> = page.folded.into_iter().map(|prefix| CommonPrefix { prefix: Some(encode(prefix)) }).collect();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(encode),
        start_after: input.start_after.map(encode),
        max_keys: i32::try_from(limit).ok(),
        key_count: i32::try_from(contents.len() + folded.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        continuation_token: input.continuation_token,
        next_continuation_token: page.next.as_ref().map(encode_token),
        contents: (!contents.is_empty()).then_some(contents),
        common_prefixes: (!folded.is_empty()).then_some(folded),
        encoding_type: encoding.clone(),
        ..ListObjectsV2Output::default()
    })
}

/// The one owner of everything here.
pub(super) fn owner() -> Owner {
    Owner { id: Some("embedded".to_owned()), display_name: None }
}

fn describe(storage: &Storage, keys: Vec<String>) -> Result<Vec<Object>, StorageError> {
    let mut objects = Vec::with_capacity(keys.len());
    for key in keys {
        let description = match storage.find(&key) {
            Ok(Some(object)) => object.description,
            Ok(None) => continue,
            Err(error @ StorageError::Damaged { .. }) => {
                tracing::error!("left out of a listing: {error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        objects.push(Object {
            e_tag: Some(ETag::Strong(description.md5)),
            last_modified: Some(Timestamp::from(stored_at(description.stored_at_ms))),
            size: i64::try_from(description.length).ok(),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            key: Some(key),
            ..Object::default()
        });
    }
    Ok(objects)
}

/// A token is where the page before ended, in a form that nobody should build on.
fn encode_token(after: &After) -> String {
    let text = match after {
        After::Nothing => String::new(),
        After::Key(key) => format!("k{key}"),
        After::Folded(folded) => format!("p{folded}"),
    };
    URL_SAFE_NO_PAD.encode(text)
}

fn decode(token: &str) -> S3Result<After> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let after = match text.split_at_checked(1) {
        Some(("k", key)) => Some(After::Key(key.to_owned())),
        Some(("p", folded)) => Some(After::Folded(folded.to_owned())),
        _ => None,
    };
    after.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of ours"))
}

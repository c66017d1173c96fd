//! `PostObject`: uploads by HTML forms, which browsers send without an SDK.
//!
//! `s3s` has this operation too, but reads the whole body before it authenticates the request. Here, a request stores nothing
//! before its signature and its policy are checked, and the file is written while it arrives.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use s3s::dto::PutObjectInput;
use s3s::{HttpResponse, S3Result, s3_error};

use super::body::BoundedBody;
use super::credentials::Credentials;
use super::post_form::{Fields, Form, FormBody, not_one_file, timed_out};
use super::post_policy::PostPolicy;
use super::post_response::Posted;
use super::post_signature;
use super::receive::{Length, receive};
use super::storage::Storage;
use super::write::{NewObject, refuse_requested, store};
use crate::model::clock::{Clock as _, SystemClock};

/// Handles forms for one bucket.
pub(super) struct PostObject {
    pub(super) storage: Arc<Storage>,
    pub(super) bucket: String,
    pub(super) credentials: Credentials,
    pub(super) object_bytes_max: u64,
    /// The limit for the time until the file begins. Until then, the client is not authenticated.
    pub(super) fields_timeout: Duration,
}

/// Whether a request is a form upload, which must not reach `s3s`.
pub(super) fn is_form_upload(request: &Parts) -> bool {
    let is_multipart = |kind: &HeaderValue| {
        let kind = kind.as_bytes().trim_ascii_start().get(..10);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
    };
    request.method == Method::POST && request.headers.get_all(header::CONTENT_TYPE).iter().any(is_multipart)
}

impl PostObject {
    /// Stores the file of a form. Changes nothing if an error occurs.
    pub(super) async fn handle(&self, request: &Parts, body: BoundedBody) -> S3Result<HttpResponse> {
        self.check_path(request.uri.path())?;
        let mut body = FormBody::new(body);
        let mut form = Form::open(&request.headers, &mut body)?;
        let reading = tokio::time::timeout(self.fields_timeout, form.read_fields()).await;
        let (fields, file) = reading.map_err(|_| timed_out())??;
        let length = self.authorize(&fields)?;
        let object = new_object(&fields)?;
        let file = file.ok_or_else(not_one_file)?;
        let received = receive(&self.storage, object.hashers(), file.into_chunks(), &length).await?;
        form.finish().await?;
        body.read_to_end().await?;
        let stored = store(&self.storage, received, object, None).await?;
        let posted = Posted { bucket: &self.bucket, key: &stored.key, etag: &stored.etag };
        Ok(posted.response(&request.headers, &fields))
    }

    /// Checks that the path is that of the bucket, with or without a trailing slash.
    fn check_path(&self, path: &str) -> S3Result<()> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() || !key.is_empty() {
            return Err(s3_error!(MethodNotAllowed, "A form must be sent to the bucket. The field 'key' names the object."));
        }
        if !percent_decode_str(bucket).eq(self.bucket.bytes()) {
            return Err(s3_error!(NoSuchBucket, "The bucket does not exist."));
        }
        Ok(())
    }

    /// Checks the signature and the policy. Returns the lengths that the file may have.
    fn authorize(&self, fields: &Fields) -> S3Result<Length> {
        fields.required("key")?;
        let policy = PostPolicy::decode(post_signature::verify(&self.credentials, fields)?)?;
        policy.check(fields, &self.bucket, SystemClock.now())?;
        let (min, max) = policy.length().clone().into_inner();
        Ok(Length::Within(min..=max.min(self.object_bytes_max)))
    }
}

/// Returns the object that a form describes.
fn new_object(fields: &Fields) -> S3Result<NewObject> {
    refuse_unsupported(fields)?;
    let header = |name: &str| fields.get(name).map(|value| header_value(name, value)).transpose();
    let mut input = PutObjectInput {
        key: fields.required("key")?.to_owned(),
        content_type: header("content-type")?,
        content_disposition: header("content-disposition")?,
        content_encoding: header("content-encoding")?,
        content_language: header("content-language")?,
        cache_control: header("cache-control")?,
        content_md5: header("content-md5")?,
        checksum_crc32: header("x-amz-checksum-crc32")?,
        checksum_crc32c: header("x-amz-checksum-crc32c")?,
        checksum_crc64nvme: header("x-amz-checksum-crc64nvme")?,
        checksum_sha1: header("x-amz-checksum-sha1")?,
        checksum_sha256: header("x-amz-checksum-sha256")?,
        ..PutObjectInput::default()
    };
    let mut metadata = s3s::dto::Metadata::default();
    for (name, value) in fields.iter() {
        if let Some(short) = name.strip_prefix("x-amz-meta-").filter(|short| !short.is_empty()) {
            // Responses have these fields as headers. Values are encoded (RFC 2047), but not names.
            HeaderName::try_from(name).map_err(|_| s3_error!(InvalidArgument, "A name of metadata is not a header name."))?;
            metadata.insert(short.to_owned(), value.to_owned());
        }
    }
    input.metadata = Some(metadata);
    NewObject::of(&mut input, None)
}

/// Checks that a value can become a header of responses.
fn header_value(name: &str, value: &str) -> S3Result<String> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(value.to_owned());
    }
    Err(s3_error!(InvalidArgument, "The field {name} must consist of printable ASCII characters."))
}

/// Refuses unsupported features instead of ignoring them, because a client may rely on them.
fn refuse_unsupported(fields: &Fields) -> S3Result<()> {
    let is_unsupported = |name: &str, value: &str| match name {
        "acl" | "x-amz-acl" => !matches!(value, "private" | "bucket-owner-full-control"),
        "x-amz-storage-class" => value != "STANDARD",
        "tagging" | "x-amz-tagging" | "x-amz-website-redirect-location" | "expires" => true,
        _ => ["x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-grant-"].iter().any(|start| name.starts_with(start)),
    };
    let unsupported: Vec<_> = fields.iter().map(|(name, value)| (name, is_unsupported(name, value))).collect();
    refuse_requested(&unsupported)
}

//! An upload of an object that is already in the storage: a JSON request with its address.

use axum::body::Body;
use http::HeaderMap;
use serde_json::Value;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::{read_tags, read_visibility, text_or_null};
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::Identity;
use crate::http::request::fields::header as one_header;
use crate::http::request::json_fields::{JsonFields, boolean, or_null, required, text};
use crate::model::caller::UserId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::model::upload_properties::UploadProperties;
use crate::service::error::Error;
use crate::service::images::adoption::Adoption;
use crate::service::images::adoption_sources::ObjectAddress;
use crate::service::images::idempotency_key::IdempotencyKey;
use crate::service::images::upload_request::Uploaded;

request_fields! {
    /// The address of an object, and the metadata of the image to make of it.
    #[derive(Debug)]
    pub struct AdoptionBody from JsonFields {
        /// The key of the object. The image gets the part after the last slash as its `file_name`.
        s3_key: String = require(read_key),
        /// The bucket of the object. Defaults to the bucket of the service.
        s3_bucket: Option<String> = take(or_null(read_bucket)) or None,
        /// The user id of the owner. Defaults to the authenticated caller; behind a trusted gateway, that is the user in `X-User-Id`.
        /// Unauthenticated callers must send it. Authenticated callers can adopt objects only for themselves.
        user_id: Option<UserId> = take(|value| UserId::parse(&text(value)?)),
        /// The title. U+0000 is not allowed.
        title: Option<Title> = take(|value| Title::parse(&text_or_null(value)?)) or None,
        /// The description. U+0000 is not allowed.
        description: Option<Description> = take(|value| Description::parse(&text_or_null(value)?)) or None,
        /// Up to ten tags, each of up to 50 letters, digits, spaces, hyphens and underscores. A string of tags separated by commas is
        /// accepted, too.
        tags: Vec<Tag> = take(|value| read_tags(&value)) or Vec::new(),
        /// Who can see the image. Defaults to `public`.
        visibility: Option<Visibility> = take(or_null(|value| read_visibility(&value))) or None,
        /// Whether to store the file byte for byte, with its location metadata and Content Credentials. `true` is rejected unless the
        /// operator sets `ALLOW_KEEP_LOCATION` or `KEEP_LOCATION`. With `false`, the default, the location metadata is removed
        /// unless the operator sets `KEEP_LOCATION`.
        keep_location: Option<bool> = take(or_null(boolean)) or None,
    }
}

/// Reads the body and adopts the object.
pub(super) async fn adopt(app: &AppState, identity: &Identity, headers: &HeaderMap, body: Body) -> Result<Uploaded, ApiError> {
    app.service.require_adopter(&identity.caller)?;
    let adoption = read(app, identity, headers, JsonFields::read(headers, body).await?)?;
    Ok(app.service.adopt(&identity.caller, identity.turn_key(), adoption).await?.uploaded)
}

fn read(app: &AppState, identity: &Identity, headers: &HeaderMap, mut fields: JsonFields) -> Result<Adoption, Error> {
    fields.errors.add_all(identity.invalid_fields.clone());
    let names_user = fields.has("user_id");
    let body = AdoptionBody::take(&mut fields);
    let errors = &mut fields.errors;
    let default_user = if names_user { None } else { errors.check("user_id", identity.default_user_id()) };
    let idempotency_key = one_header(headers, "Idempotency-Key", errors)
        .and_then(|key| errors.check("Idempotency-Key", IdempotencyKey::parse(key)));
    let keep_location = body.as_ref().and_then(|body| body.keep_location);
    let keep_location = keep_location.and_then(|keep| errors.check("keep_location", app.service.may_keep_location(keep)));
    fields.finish()?;
    let body = required(body)?;
    let bucket = body.s3_bucket.unwrap_or_else(|| app.service.bucket().to_owned());
    Ok(Adoption {
        object: ObjectAddress { bucket, key: body.s3_key },
        user_id: required(body.user_id.or(default_user))?,
        properties: UploadProperties {
            title: body.title,
            description: body.description,
            tags: body.tags,
            visibility: body.visibility.unwrap_or_default(),
            keep_location: keep_location.unwrap_or_default(),
            file_name: None,
        },
        idempotency_key,
    })
}

/// The limit of S3.
const MAX_KEY_BYTES: usize = 1024;

fn read_key(value: Value) -> Result<String, String> {
    let key = text(value)?;
    if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
        return Err(format!("must have 1 to {MAX_KEY_BYTES} bytes"));
    }
    if key.contains(char::is_control) { Err("must not contain control characters".to_owned()) } else { Ok(key) }
}

fn read_bucket(value: Value) -> Result<String, String> {
    let bucket = text(value)?;
    let rule = || "must have 3 to 63 lower-case letters, digits, dots and hyphens".to_owned();
    if s3s::path::check_bucket_name(&bucket) { Ok(bucket) } else { Err(rule()) }
}

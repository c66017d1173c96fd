//! Direct uploads: the client announces a file, sends it to the storage, and completes the upload.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{UploadedImage, count_refusal, uploaded_response};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::images::{read_tags, read_visibility, text_or_null};
use crate::http::openapi::error_responses::{
    Gone, InvalidUpload, NotFound, OpenUploadLimitReached, QuotaOrForbidden, UnsupportedImage, UploadConflict,
};
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::json_fields::{JsonFields, boolean, integer, or_null, required, text};
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::caller::UserId;
use crate::model::draft::{Draft, DraftFailure, DraftMethod, DraftState, UploadId};
use crate::model::format::Format;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::model::upload_properties::UploadProperties;
use crate::service::error::Error;
use crate::service::images::direct_uploads::DirectRequests;
use crate::service::images::drafts::NewDraft;
use crate::service::images::upload_request::UploadMethod;

request_fields! {
    /// A file that will be sent, and the metadata of its image.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateUploadRequest, example = json!({"file_name": "sunset.jpg", "file_size": 829440, "content_type": "image/jpeg", "user_id": "user123", "title": "Sunset"}))]
    pub struct CreateUploadBody from JsonFields {
        /// The exact size of the file in bytes, within the limits of `GET /limits`.
        #[schema(value_type = u64, minimum = 1)]
        file_size: u64 = require(read_size),
        /// The media type with which the file will be sent.
        #[schema(value_type = crate::http::openapi::enums::ContentTypeSchema)]
        content_type: String = require(read_content_type),
        /// The name of the file.
        #[schema(value_type = Option<String>, max_length = 1024, nullable)]
        file_name: Option<String> = take(or_null(read_file_name)) or None,
        /// The SHA-256 of the file in hex. If the file that arrives has another, it is rejected.
        #[schema(value_type = Option<String>, nullable, pattern = "^[0-9A-Fa-f]{64}$")]
        sha256: Option<[u8; 32]> = take(or_null(read_sha256)) or None,
        /// The user id of the owner. Defaults to the authenticated caller; behind a trusted gateway, that is the user in `X-User-Id`.
        /// Unauthenticated callers must send it. Authenticated callers can upload only for themselves.
        #[schema(value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]+$")]
        user_id: Option<UserId> = take(|value| UserId::parse(&text(value)?)),
        /// The title. U+0000 is not allowed.
        #[schema(value_type = Option<String>, max_length = 200, nullable)]
        title: Option<Title> = take(|value| Title::parse(&text_or_null(value)?)) or None,
        /// The description. U+0000 is not allowed.
        #[schema(value_type = Option<String>, max_length = 1000, nullable)]
        description: Option<Description> = take(|value| Description::parse(&text_or_null(value)?)) or None,
        /// Up to ten tags, each of up to 50 letters, digits, spaces, hyphens and underscores. A string of tags separated by commas is
        /// accepted, too.
        #[schema(value_type = Option<Vec<String>>, nullable, max_items = 10)]
        tags: Vec<Tag> = take(|value| read_tags(&value)) or Vec::new(),
        /// Who can see the image. Defaults to `public`.
        #[schema(value_type = Option<crate::http::openapi::enums::VisibilitySchema>)]
        visibility: Option<Visibility> = take(or_null(|value| read_visibility(&value))) or None,
        /// As in the form of `POST /images`.
        #[schema(value_type = Option<bool>)]
        keep_location: Option<bool> = take(or_null(boolean)) or None,
    }
}

/// An upload in several requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload)]
pub struct UploadView {
    /// The upload's id, a UUIDv7.
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub id: String,
    /// How the file is sent.
    pub method: SendingMethod,
    /// Its progress.
    pub status: UploadStatus,
    /// The name of the file; null if it was not given.
    pub file_name: Option<String>,
    /// The announced size in bytes of the file, or of a form that is sent in pieces; null if it was not announced.
    pub file_size: Option<u64>,
    /// The announced media type of the file or the form.
    #[schema(example = "image/jpeg")]
    pub content_type: String,
    /// When the upload was created, to the millisecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created_at: String,
    /// The time until which the file can be sent and the upload can be completed. After that, the upload does not exist. Once it is
    /// complete, it exists for at least 24 hours.
    #[schema(format = DateTime, example = "2026-01-31T13:00:00.123Z")]
    pub expires_at: String,
    /// The image; null until `status` is `complete`.
    #[schema(format = Uuid)]
    pub image_id: Option<String>,
    /// Why the file was rejected; null unless `status` is `failed`.
    pub error: Option<String>,
    /// A form with which a browser can send the file; null in lists, and unless `status` is `open`.
    pub post: Option<PostView>,
    /// A request that sends the file, for storages that do not accept forms; null in lists, and unless `status` is `open`.
    pub put: Option<PutView>,
}

/// A form: send `fields`, and after them the file as `file`, as `multipart/form-data` to `url`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadPost)]
pub struct PostView {
    /// The address of the bucket.
    pub url: String,
    /// The names and values of the fields.
    pub fields: BTreeMap<&'static str, String>,
}

/// A request: send the file with `PUT` to `url`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadPut)]
pub struct PutView {
    /// A presigned URL.
    pub url: String,
    /// The headers that the request must have. Browsers set `Content-Length` by themselves.
    pub headers: BTreeMap<&'static str, String>,
}

/// How a file is sent. `direct`: to the storage. `tus`: in pieces to `/uploads/tus/{id}`. `resumable_form`: as a form in pieces to
/// `/uploads/resumable/{id}`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = UploadMethod)]
#[serde(rename_all = "snake_case")]
pub enum SendingMethod {
    Direct,
    Tus,
    ResumableForm,
}

impl From<DraftMethod> for SendingMethod {
    fn from(method: DraftMethod) -> Self {
        match method {
            DraftMethod::Direct => Self::Direct,
            DraftMethod::Tus => Self::Tus,
            DraftMethod::Form => Self::ResumableForm,
        }
    }
}

/// The progress of an upload. `open`: the file can be sent. `complete`: it is an image. `failed`: the file was rejected.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadStatus {
    Open,
    Complete,
    Failed,
}

/// A page of uploads, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadPage {
    /// The uploads on this page.
    pub uploads: Vec<UploadView>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// Create a direct upload
///
/// For clients that send the file to the storage instead of the service. The response has a form and a presigned URL; send the file
/// with either of them, and then call `POST /uploads/{id}/complete`. Until then there is no image. The size of the file counts
/// towards the quota of the owner from now on, until the upload expires or is deleted. The number and total size of a user's open
/// uploads are limited.
#[utoipa::path(post, path = "/uploads", tag = "uploads",
    request_body(content = CreateUploadBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = UploadView, headers(("Location" = String, description = "The absolute URL of the upload."))), QuotaOrForbidden, OpenUploadLimitReached))]
pub async fn create_upload(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    app.service.require_uploader(&identity.caller)?;
    let new = read_new(&app, &identity, JsonFields::read(&headers, body).await?)?;
    let (draft, requests) = app.service.create_direct_upload(&identity.caller, new).await?;
    let location = format!("{}/uploads/{}", app.config.link_base, draft.id);
    let location = HeaderValue::from_str(&location).map_err(Error::internal)?;
    let view = UploadView::new(&draft, Some(requests));
    Ok((StatusCode::CREATED, [(header::LOCATION, location), NO_STORE], Json(view)).into_response())
}

/// Complete a direct upload
///
/// Call this when the file has been sent. The service reads the file from the storage, checks it like any other, and stores it under
/// another key; what is sent afterwards has no effect. The response is that of `POST /images`, also when the request is repeated. A file
/// that differs from what was announced, or that is rejected for another reason, cannot be replaced: create another upload.
#[utoipa::path(post, path = "/uploads/{id}/complete", tag = "uploads",
    params(("id" = Uuid, Path, description = "The upload's id.")),
    responses((status = 200, description = "Uploaded.", body = UploadedImage), InvalidUpload, QuotaOrForbidden, NotFound, UploadConflict,
        Gone, UnsupportedImage))]
pub async fn complete_upload(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    identity: Identity,
    PathParam(id): PathParam<UploadId>,
) -> Result<Response, ApiError> {
    let uploaded = app.service.complete_direct_upload(&caller, identity.turn_key(), id).await;
    let uploaded =
        uploaded.map_err(ApiError::from).inspect_err(|error| count_refusal(&app, UploadMethod::Direct, error.failure()))?;
    uploaded_response(&uploaded)
}

/// Get an upload
///
/// The owner only. An upload that has expired or was deleted does not exist.
#[utoipa::path(get, path = "/uploads/{id}", tag = "uploads",
    params(("id" = Uuid, Path, description = "The upload's id.")),
    responses((status = 200, description = "The upload.", body = UploadView), NotFound))]
pub async fn get_upload(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<UploadId>,
) -> Result<Response, ApiError> {
    let draft = app.service.find_draft(&caller, id).await?;
    let requests = app.service.direct_requests(&draft).await?;
    Ok(([NO_STORE], Json(UploadView::new(&draft, requests))).into_response())
}

/// List your uploads
///
/// Newest first: uploads in several requests that have not expired.
#[utoipa::path(get, path = "/uploads", tag = "uploads", params(PageQuery),
    responses((status = 200, description = "A page of uploads.", body = UploadPage)))]
pub async fn list_uploads(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_drafts(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |drafts, next_page_token, has_more| {
        let uploads = drafts.iter().map(|draft| UploadView::new(draft, None)).collect();
        UploadPage { uploads, next_page_token, has_more }
    })
}

/// Delete an upload
///
/// The owner only. The file is removed, and no longer counts towards the quota. If the upload is complete, its image stays.
#[utoipa::path(delete, path = "/uploads/{id}", tag = "uploads",
    params(("id" = Uuid, Path, description = "The upload's id.")),
    responses((status = 204, description = "Deleted."), NotFound))]
pub async fn delete_upload(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<UploadId>,
) -> Result<StatusCode, ApiError> {
    app.service.cancel_draft(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The signed requests are secret, and an upload changes.
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

fn read_new(app: &AppState, identity: &Identity, mut fields: JsonFields) -> Result<NewDraft, Error> {
    fields.errors.add_all(identity.invalid_fields.clone());
    let names_user = fields.has("user_id");
    let body = CreateUploadBody::take(&mut fields);
    let errors = &mut fields.errors;
    let default_user = if names_user { None } else { errors.check("user_id", identity.default_user_id()) };
    if let Some(body) = &body {
        let limits = app.service.limits();
        let range = limits.min_file_bytes..=limits.max_file_bytes;
        if !range.contains(&body.file_size) {
            errors.add("file_size", format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        if let Some(keep) = body.keep_location {
            errors.check("keep_location", app.service.may_keep_location(keep));
        }
    }
    fields.finish()?;
    let body = required(body)?;
    Ok(NewDraft {
        user_id: required(body.user_id.or(default_user))?,
        length: body.file_size,
        is_length_known: true,
        content_type: body.content_type,
        sha256: body.sha256,
        properties: UploadProperties {
            title: body.title,
            description: body.description,
            tags: body.tags,
            visibility: body.visibility.unwrap_or_default(),
            keep_location: body.keep_location.unwrap_or_default(),
            file_name: body.file_name,
        },
        tus_metadata: None,
    })
}

fn read_size(value: Value) -> Result<u64, String> {
    integer(0, u64::MAX >> 11)(value).map_err(|_| "must be a whole number of bytes".to_owned())
}

fn read_content_type(value: Value) -> Result<String, String> {
    let sent = text(value)?;
    let known = Format::ALL.map(Format::content_type);
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(sent.trim()));
    found.map(|known| (*known).to_owned()).ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

const MAX_NAME_CHARS: usize = 1024;

fn read_file_name(value: Value) -> Result<String, String> {
    let name = text(value)?;
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(format!("must have at most {MAX_NAME_CHARS} characters"));
    }
    if name.contains('\0') { Err("must not contain U+0000".to_owned()) } else { Ok(name) }
}

fn read_sha256(value: Value) -> Result<[u8; 32], String> {
    let hash = hex::decode(text(value)?).ok().and_then(|hash| hash.try_into().ok());
    hash.ok_or_else(|| "must have 64 hexadecimal digits".to_owned())
}

impl FromPath for UploadId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(Error::no_such_upload)
    }
}

impl UploadView {
    fn new(draft: &Draft, requests: Option<DirectRequests>) -> Self {
        let (post, put_url) = requests.map(|requests| (requests.post, requests.put_url)).unzip();
        let headers = [("Content-Type", draft.content_type.clone()), ("Content-Length", draft.length.to_string())];
        let (status, image_id, error) = match &draft.state {
            DraftState::Complete(image) => (UploadStatus::Complete, Some(image.to_string()), None),
            DraftState::Failed(failure) => (UploadStatus::Failed, None, Some(explain(failure))),
            _ => (UploadStatus::Open, None, None),
        };
        Self {
            id: draft.id.to_string(),
            method: draft.method.into(),
            status,
            file_name: draft.properties.file_name.clone(),
            file_size: draft.is_length_known.then_some(draft.length),
            content_type: draft.content_type.clone(),
            created_at: time(draft.id.created_at()),
            expires_at: time(draft.expires_at),
            image_id,
            error,
            post: post.map(|post| PostView { url: post.url, fields: post.fields.into_iter().collect() }),
            put: put_url.map(|url| PutView { url, headers: headers.into() }),
        }
    }
}

fn explain(failure: &DraftFailure) -> String {
    Error::from(failure.clone()).to_string()
}

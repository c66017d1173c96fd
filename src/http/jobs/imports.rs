//! Import jobs: create, get, list, and cancel.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::images::{read_tags, read_visibility};
use crate::http::openapi::error_responses::{IdempotencyConflict, ImportLimitReached, NotFound};
use crate::http::request::authorization::User;
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::fields::{FieldErrors, header as one_header};
use crate::http::request::json;
use crate::http::request::json_fields::{JsonFields, boolean, or_null, required, text};
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::caller::UserId;
use crate::model::image::Visibility;
use crate::model::job::{Item, ItemState, Job, JobId, JobStatus};
use crate::model::tag::Tag;
use crate::service::error::Error;
use crate::service::images::idempotency_key::IdempotencyKey;
use crate::service::jobs::imports::{ImportRequest, ImportUrl};

/// One hundred URLs of the maximum length, even if each character takes two bytes.
const MAX_BODY_BYTES: usize = 512 * 1024;

request_fields! {
    /// The URLs to import, and the metadata of their images.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateImportRequest, example = json!({"urls": ["https://example.org/cover.jpg", "https://example.org/logo.png"], "user_id": "user123", "tags": ["covers"]}))]
    pub struct CreateImportBody from JsonFields {
        /// HTTP(S) URLs without user names and passwords, each of at most 2048 characters. Equivalent URLs are imported once.
        #[schema(schema_with = crate::http::openapi::urls_schema, required = true)]
        urls: Option<Vec<Value>> = take(read_list),
        /// The user id of the owner. Defaults to the authenticated caller; behind a trusted gateway, that is the user in `X-User-Id`.
        /// Unauthenticated callers must send it. Authenticated callers can import only for themselves.
        #[schema(value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]+$")]
        user_id: Option<UserId> = take(|value| UserId::parse(&text(value)?)),
        /// The tags of the images: up to ten, each of up to 50 letters, digits, spaces, hyphens and underscores. A string of tags
        /// separated by commas is accepted, too.
        #[schema(value_type = Option<Vec<String>>, nullable, max_items = 10)]
        tags: Vec<Tag> = take(|value| read_tags(&value)) or Vec::new(),
        /// Who can see the images. Defaults to `public`.
        #[schema(value_type = Option<crate::http::openapi::enums::VisibilitySchema>)]
        visibility: Option<Visibility> = take(or_null(|value| read_visibility(&value))) or None,
        /// Whether to store the files byte for byte, with their location metadata and Content Credentials. `true` is rejected unless
        /// the operator sets `ALLOW_KEEP_LOCATION` or `KEEP_LOCATION`. With `false`, the default, the location metadata is removed
        /// unless the operator sets `KEEP_LOCATION`.
        #[schema(value_type = Option<bool>)]
        keep_location: Option<bool> = take(or_null(boolean)) or None,
    }
}

/// A new import job.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedImport {
    /// The id of the job; `GET /imports/{jobId}` returns it as `id`.
    #[serde(rename = "jobId")]
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub job_id: String,
}

/// An import job and its results.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportJob)]
pub struct ImportView {
    /// The job's id, a UUIDv7.
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub id: String,
    /// When the job was created, to the millisecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created: String,
    /// When the job was completed, to the millisecond; null until `status` is `complete`.
    #[schema(format = DateTime, example = "2026-01-31T12:00:03.456Z")]
    pub finished: Option<String>,
    /// The progress of the job.
    pub status: ImportStatus,
    /// The URLs and images of the job.
    pub uploaded: ImportResults,
    /// For each failed URL, the reason.
    #[schema(example = json!({"https://example.org/page.html": "the response is not a JPEG, PNG, GIF or WebP image; its Content-Type is text/html"}))]
    pub errors: BTreeMap<String, String>,
}

/// The URLs of a job, in the order of the request. Each URL is in exactly one of the lists.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ImportResults {
    /// URLs that are not finished: waiting, being fetched, or waiting for a retry.
    pub pending: Vec<String>,
    /// Public links of the imported images.
    #[schema(example = json!(["http://localhost:8000/i/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17"]))]
    pub complete: Vec<String>,
    /// URLs that could not be imported.
    pub failed: Vec<String>,
}

/// The progress of a job. `pending`: not started. `in-progress`: started. `complete`: all URLs have been processed, even if some
/// failed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportStatus {
    Pending,
    InProgress,
    Complete,
}

/// An import job without its URLs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportJobSummary {
    /// The job's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// When the job was created, to the millisecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created: String,
    /// When the job was completed, to the millisecond; null until `status` is `complete`.
    #[schema(format = DateTime, example = "2026-01-31T12:00:03.456Z")]
    pub finished: Option<String>,
    /// The progress of the job.
    pub status: ImportStatus,
    /// Number of URLs in each state.
    pub counts: ImportCounts,
}

/// Number of URLs of a job in each state.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportCounts {
    /// URLs that are not finished.
    pub pending: u32,
    /// URLs that were imported.
    pub complete: u32,
    /// URLs that could not be imported.
    pub failed: u32,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportJobPage {
    /// The jobs on this page.
    pub imports: Vec<ImportJobSummary>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// Import images from URLs
///
/// Responds immediately and fetches the files afterwards, under the same rules as uploads. The service contacts only hosts with
/// public addresses. Transient errors (no response, 429, 5xx) are retried a few times. With an `Idempotency-Key`, repeating the
/// request within 24 hours returns the first response and fetches nothing twice. The number of a user's unfinished URLs is
/// limited: see `max_pending_imports` of `GET /limits`.
#[utoipa::path(post, path = "/imports", tag = "imports",
    params(("Idempotency-Key" = Option<String>, Header, description = "A unique key that makes it safe to repeat the request.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = CreateImportBody, content_type = "application/json"),
    responses((status = 202, description = "Accepted.", body = CreatedImport, headers(("Location" = String, description = "The absolute URL of the job."))), IdempotencyConflict, ImportLimitReached))]
pub async fn create_import(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    app.service.require_uploader(&identity.caller)?;
    // The bytes of the body, and the strings that they are parsed into.
    let memory_bytes = 2 * json::announced_length(&headers, MAX_BODY_BYTES);
    let _memory = app.service.receive_body(identity.turn_key(), memory_bytes as u64).await?;
    let fields = JsonFields::from_object(json::read_object(&headers, body, MAX_BODY_BYTES).await?);
    let order = read_fields(&app, &identity, fields, &headers)?;
    let id = app.service.create_import(&identity.caller, &order).await?;
    let location = HeaderValue::from_str(&format!("{}/imports/{id}", app.config.link_base)).map_err(Error::internal)?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(CreatedImport { job_id: id.to_string() })).into_response())
}

fn read_fields(app: &AppState, identity: &Identity, mut fields: JsonFields, headers: &HeaderMap) -> Result<ImportRequest, Error> {
    fields.errors.add_all(identity.invalid_fields.clone());
    let (has_urls, names_user) = (fields.has("urls"), fields.has("user_id"));
    // `urls` is checked here, so that the service's own rules on other fields are checked even without it.
    let CreateImportBody { urls, user_id, tags, visibility, keep_location } = required(CreateImportBody::take(&mut fields))?;
    let errors = &mut fields.errors;
    if !has_urls {
        errors.add("urls", "is required");
    }
    let default_user = if names_user { None } else { errors.check("user_id", identity.default_user_id()) };
    let idempotency_key = one_header(headers, "Idempotency-Key", errors)
        .and_then(|key| errors.check("Idempotency-Key", IdempotencyKey::parse(key)));
    let urls = urls.and_then(|urls| read_urls(app, urls, errors));
    let keep_location = keep_location.and_then(|keep| errors.check("keep_location", app.service.may_keep_location(keep)));
    fields.finish()?;
    Ok(ImportRequest {
        user_id: required(user_id.or(default_user))?,
        tags,
        visibility: visibility.unwrap_or_default(),
        keep_location: keep_location.unwrap_or_default(),
        urls: required(urls)?,
        idempotency_key,
    })
}

fn read_list(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(urls) if (1..=ImportRequest::MAX_URLS).contains(&urls.len()) => Ok(urls),
        Value::Array(_) => Err(format!("must have 1 to {} URLs", ImportRequest::MAX_URLS)),
        _ => Err("must be a list of strings".to_owned()),
    }
}

fn read_urls(app: &AppState, urls: Vec<Value>, errors: &mut FieldErrors) -> Option<Vec<ImportUrl>> {
    let parse = |(number, url)| {
        let parsed = text(url).and_then(|url| app.service.parse_import_url(url));
        errors.check(&format!("urls[{number}]"), parsed)
    };
    let parsed: Vec<Option<ImportUrl>> = urls.into_iter().enumerate().map(parse).collect();
    parsed.into_iter().collect()
}

/// Get an import job
///
/// The owner only; with `AUTH_MODE=trusted` also unauthenticated callers who know the job's id.
#[utoipa::path(get, path = "/imports/{jobId}", tag = "imports",
    params(("jobId" = Uuid, Path, description = "The job's id.")),
    responses((status = 200, description = "The job.", body = ImportView), NotFound))]
pub async fn get_import(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<JobId>,
) -> Result<Response, ApiError> {
    let (job, items) = app.service.find_import(&caller, id).await?;
    Ok(import_response(&app, &job, items))
}

/// Cancel an import job
///
/// The owner only. URLs that wait for their fetch or a retry fail. Fetches in progress continue, and imported images stay.
/// Cancelling a job that is cancelled or complete changes nothing.
#[utoipa::path(delete, path = "/imports/{jobId}", tag = "imports",
    params(("jobId" = Uuid, Path, description = "The job's id.")),
    responses((status = 200, description = "The cancelled job.", body = ImportView), NotFound))]
pub async fn cancel_import(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<JobId>,
) -> Result<Response, ApiError> {
    let (job, items) = app.service.cancel_import(&caller, id).await?;
    Ok(import_response(&app, &job, items))
}

/// List your import jobs
///
/// Newest first.
#[utoipa::path(get, path = "/imports", tag = "imports", params(PageQuery),
    responses((status = 200, description = "A page of jobs.", body = ImportJobPage)))]
pub async fn list_imports(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_imports(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |imports, next_page_token, has_more| {
        let imports = imports.iter().map(ImportJobSummary::new).collect();
        ImportJobPage { imports, next_page_token, has_more }
    })
}

impl FromPath for JobId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(|| Error::NotFound { what: "such import".to_owned() })
    }
}

fn import_response(app: &AppState, job: &Job, items: Vec<Item>) -> Response {
    // A job changes by itself, so caches must not keep it.
    const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([NO_STORE], Json(ImportView::new(app, job, items))).into_response()
}

impl ImportView {
    fn new(app: &AppState, job: &Job, items: Vec<Item>) -> Self {
        let mut uploaded = ImportResults::default();
        let mut errors = BTreeMap::new();
        for Item { url, state } in items {
            match state {
                ItemState::Pending => uploaded.pending.push(url),
                ItemState::Complete(image_id) => uploaded.complete.push(app.config.public_link(image_id)),
                ItemState::Failed(reason) => {
                    uploaded.failed.push(url.clone());
                    errors.insert(url, reason);
                }
            }
        }
        Self {
            id: job.id.to_string(),
            created: time(job.id.created_at()),
            finished: job.finished_at.map(time),
            status: job.status().into(),
            uploaded,
            errors,
        }
    }
}

impl ImportJobSummary {
    fn new(job: &Job) -> Self {
        let Job { total, complete, failed, .. } = *job;
        Self {
            id: job.id.to_string(),
            created: time(job.id.created_at()),
            finished: job.finished_at.map(time),
            status: job.status().into(),
            counts: ImportCounts { pending: total.saturating_sub(complete + failed), complete, failed },
        }
    }
}

impl From<JobStatus> for ImportStatus {
    fn from(status: JobStatus) -> Self {
        match status {
            JobStatus::Pending => Self::Pending,
            JobStatus::InProgress => Self::InProgress,
            JobStatus::Complete => Self::Complete,
        }
    }
}

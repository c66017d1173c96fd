//! Imports: order, look up, list, cancel.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::AppState;
use super::error::{
    ApiError, BadRequest, Conflict, Forbidden, InternalServerError, NotFound, PayloadTooLarge, RequestTimeout,
    ServiceUnavailable, Unauthorized, UnsupportedMediaType, ValidationError,
};
use super::extract::{Address, CallerOf, FieldErrors, Identity, Query, Segment, header as one_header};
use super::images::{PageQuery, read_tags, read_visibility, take_page};
use super::json;
use super::links::link;
use crate::model::caller::UserId;
use crate::model::job::{Item, ItemState, Job, JobId, JobStatus};
use crate::service::error::Error;
use crate::service::idempotency::IdempotencyKey;
use crate::service::imports::{Order, Source};

/// A hundred URLs of the greatest length, also where their characters take two bytes each.
const MAX_BODY_BYTES: usize = 512 * 1024;

/// What is to be imported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateImportRequest, example = json!({"urls": ["https://example.org/cover.jpg", "https://example.org/logo.png"], "user_id": "user123", "tags": ["covers"]}))]
#[expect(dead_code, reason = "it describes what `read_order` reads")]
pub struct ImportOrderBody {
    /// http(s) URLs without user names and passwords, each of at most 2048 characters. Those that lead to the same are taken once.
    #[schema(schema_with = super::openapi::urls_schema)]
    urls: Vec<String>,
    /// Who will own the images: the caller. Needed where the caller does not come in by an account.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._@:-]+$", example = "user123")]
    user_id: String,
    /// Tags of the images: comma-separated, or a list.
    #[schema(nullable, schema_with = super::openapi::tags_schema)]
    tags: Option<Vec<String>>,
    /// What the images are to be; `public` if absent.
    #[schema(value_type = Option<super::words::VisibilityWord>)]
    visibility: Option<String>,
}

/// A job that was taken on.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedImport {
    #[serde(rename = "jobId")]
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub job_id: String,
}

/// A job, and what has become of its URLs. Each URL is in one of the lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportJob)]
pub struct ImportView {
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub id: String,
    /// RFC 3339 in UTC, to the millisecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created: String,
    /// RFC 3339 in UTC, to the millisecond; null until `status` is `complete`.
    #[schema(format = DateTime, example = "2026-01-31T12:00:03.456Z")]
    pub finished: Option<String>,
    pub status: ImportStatus,
    pub uploaded: ImportResults,
    /// By failed URL, why.
    #[schema(example = json!({"https://example.org/page.html": "what it gives is no JPEG, PNG, GIF or WebP picture, and says that it is text/html"}))]
    pub errors: BTreeMap<String, String>,
}

/// The URLs of a job, in the order in which they were given.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ImportResults {
    /// URLs that are not done: in the queue, being fetched, or to be tried again.
    pub pending: Vec<String>,
    /// Public links of the images that URLs have become.
    #[schema(example = json!(["http://localhost:8000/i/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17"]))]
    pub complete: Vec<String>,
    /// URLs that gave no image.
    pub failed: Vec<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportStatus {
    /// No URL has been begun.
    Pending,
    InProgress,
    /// Nothing is left to do, though URLs may have failed.
    Complete,
}

/// A job in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportJobSummary {
    #[schema(format = Uuid)]
    pub id: String,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created: String,
    #[schema(format = DateTime, example = "2026-01-31T12:00:03.456Z")]
    pub finished: Option<String>,
    pub status: ImportStatus,
    pub counts: ImportCounts,
}

/// Numbers of URLs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportCounts {
    pub pending: u32,
    pub complete: u32,
    pub failed: u32,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportJobPage {
    pub imports: Vec<ImportJobSummary>,
    /// Opaque; null on the last page.
    pub next_page_token: Option<String>,
    pub has_more: bool,
}

/// Import images from URLs
///
/// Answers at once; the pictures are fetched afterwards, each held to the same rules as an upload. Only hosts with public
/// addresses are asked. What may pass (a host that does not answer, 429, 5xx) is tried again a few times. With an
/// `Idempotency-Key`, the same request from the same user within 24 hours is answered as the first one was, and fetches
/// nothing twice.
#[utoipa::path(post, path = "/imports", tag = "imports",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating the request safe.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = ImportOrderBody, content_type = "application/json"),
    responses((status = 202, description = "It is taken on.", body = CreatedImport, headers(("Location" = String, description = "Where the job is"))), BadRequest, Forbidden,
        RequestTimeout, Conflict, PayloadTooLarge, UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_import(
    State(app): State<AppState>,
    identity: Identity,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_uploader(&identity.caller)?;
    // Its bytes, and the texts that they become when they are read.
    let _admitted = app.service.admit_body(2 * MAX_BODY_BYTES as u64).await?;
    let fields = json::read_object(&headers, body, MAX_BODY_BYTES).await?;
    let order = read_order(&app, &identity, fields, &headers)?;
    let id = app.service.order_import(&identity.caller, &order).await?;
    let location = HeaderValue::from_str(&format!("/imports/{id}")).map_err(Error::internal)?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(CreatedImport { job_id: id.to_string() })).into_response())
}

fn read_order(app: &AppState, identity: &Identity, mut fields: Map<String, Value>, headers: &HeaderMap) -> Result<Order, Error> {
    let mut errors = FieldErrors::default();
    errors.add_all(identity.broken.clone());
    let urls = match fields.remove("urls") {
        Some(urls) => read_urls(app, urls, &mut errors),
        None => errors.check("urls", Err("is required".to_owned())),
    };
    let user_id = match fields.remove("user_id") {
        Some(Value::String(user_id)) => errors.check("user_id", UserId::parse(&user_id)),
        Some(_) => errors.check("user_id", Err("must be a text".to_owned())),
        None => errors.check("user_id", identity.own_user()),
    };
    let visibility = fields.remove("visibility").filter(|value| !value.is_null());
    let visibility = visibility.and_then(|value| errors.check("visibility", read_visibility(&value)));
    let tags = fields.remove("tags").and_then(|tags| errors.check("tags", read_tags(&tags))).unwrap_or_default();
    let idempotency_key = one_header(headers, "Idempotency-Key", &mut errors)
        .and_then(|key| errors.check("Idempotency-Key", IdempotencyKey::parse(key)));
    for name in fields.keys() {
        errors.add_unknown(name, "a field");
    }
    errors.finish()?;
    let (Some(urls), Some(user_id)) = (urls, user_id) else {
        return Err(Error::internal("a required field is missing, and no rule said so"));
    };
    Ok(Order { user_id, tags, visibility: visibility.unwrap_or_default(), urls, idempotency_key })
}

fn read_urls(app: &AppState, urls: Value, errors: &mut FieldErrors) -> Option<Vec<Source>> {
    let Value::Array(urls) = urls else { return errors.check("urls", Err("must be a list of texts".to_owned())) };
    if !(1..=Order::MAX_URLS).contains(&urls.len()) {
        return errors.check("urls", Err(format!("must have 1 to {} URLs", Order::MAX_URLS)));
    }
    let source = |(number, url)| {
        let source = match url {
            Value::String(url) => app.service.read_source(url),
            _ => Err("must be a text".to_owned()),
        };
        errors.check(&format!("urls[{number}]"), source)
    };
    let sources: Vec<Option<Source>> = urls.into_iter().enumerate().map(source).collect();
    sources.into_iter().collect()
}

/// Look up an import
///
/// To its owner; behind a gateway that names no user (`AUTH_MODE=trusted`), to anybody who knows the job's id.
#[utoipa::path(get, path = "/imports/{jobId}", tag = "imports",
    params(("jobId" = Uuid, Path, description = "The job.")),
    responses((status = 200, description = "The job.", body = ImportView), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_import(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let (job, items) = app.service.find_import(&caller, job_id(&id)?).await?;
    Ok(answer(&app, &job, items))
}

/// Cancel an import
///
/// The owner only. URLs that have not begun, or wait to be tried again, fail; what is being fetched goes on, and images
/// stay. Doing so again, or when nothing is left to cancel, changes nothing.
#[utoipa::path(delete, path = "/imports/{jobId}", tag = "imports",
    params(("jobId" = Uuid, Path, description = "The job.")),
    responses((status = 200, description = "The job as it is now.", body = ImportView), Unauthorized, NotFound, ValidationError, InternalServerError,
        ServiceUnavailable))]
pub async fn cancel_import(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    caller.user().ok_or(Error::Unauthenticated)?;
    let (job, items) = app.service.cancel_import(&caller, job_id(&id)?).await?;
    Ok(answer(&app, &job, items))
}

/// List your imports
///
/// The caller's, newest first.
#[utoipa::path(get, path = "/imports", tag = "imports", params(PageQuery),
    responses((status = 200, description = "A page of jobs.", body = ImportJobPage), BadRequest, Unauthorized, ValidationError, InternalServerError,
        ServiceUnavailable))]
pub async fn list_imports(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
) -> Result<Json<ImportJobPage>, ApiError> {
    let (limit, token) = take_page(Query::of(&uri))?;
    let page = app.service.list_imports(&caller, limit, token.as_deref()).await?;
    let imports = page.items.iter().map(ImportJobSummary::new).collect();
    Ok(Json(ImportJobPage { imports, has_more: page.next.is_some(), next_page_token: page.next }))
}

/// What is not an id names no job.
fn job_id(text: &str) -> Result<JobId, Error> {
    JobId::parse(text).ok_or_else(|| Error::NotFound { what: "such import".to_owned() })
}

fn answer(app: &AppState, job: &Job, items: Vec<Item>) -> Response {
    // A job changes by itself: caches must not keep it.
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
                ItemState::Complete(image_id) => uploaded.complete.push(link(app, image_id)),
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

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

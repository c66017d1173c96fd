//! Plans: what accounts are given.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::error::{
    ApiError, BadRequest, Conflict, InternalServerError, NotFound, PayloadTooLarge, RequestTimeout, ServiceUnavailable,
    UnsupportedMediaType, ValidationError,
};
use super::extract::{Address, CallerOf, Query, Segment};
use super::json_fields::{JsonFields, boolean, integer, needed, or_null, text};
use crate::model::image::ThumbnailSize;
use crate::model::plan::{Features, Plan, PlanName};
use crate::service::error::Error;

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    #[schema(example = "Premium")]
    pub name: String,
    /// Whether it came with the service; such a plan can be changed, but not deleted.
    pub built_in: bool,
    /// Which thumbnails are given: `small`, `medium`, heights in pixels.
    #[schema(example = json!(["small", "medium", "200", "400"]))]
    pub thumbnails: Vec<String>,
    /// Whether originals can be downloaded and linked to.
    pub original: bool,
    pub expiring_links: bool,
    /// Whether pictures of any size can be asked for.
    pub custom_sizes: bool,
    /// Whether pictures can be imported from URLs.
    pub imports: bool,
    /// Bytes of all originals together; null is no limit.
    pub max_bytes: Option<u64>,
    /// Null is no limit.
    pub max_images: Option<u64>,
}

/// What a plan gives. What is absent is not given, and a limit that is absent is none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdatePlanRequest, example = json!({"thumbnails": ["small", "medium", "200"], "original": true, "max_images": 1000}))]
#[expect(dead_code, reason = "it describes what `read_features` reads")]
pub struct PlanBody {
    #[schema(schema_with = super::openapi::thumbnails_schema)]
    thumbnails: Option<Vec<String>>,
    #[schema(nullable = false)]
    original: Option<bool>,
    /// Needs `original`.
    #[schema(nullable = false)]
    expiring_links: Option<bool>,
    #[schema(nullable = false)]
    custom_sizes: Option<bool>,
    #[schema(nullable = false)]
    imports: Option<bool>,
    #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_000_u64)]
    max_bytes: Option<u64>,
    #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_u64)]
    max_images: Option<u64>,
}

/// A plan to be made: its name, and what it gives.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreatePlanRequest, example = json!({"name": "Studio", "thumbnails": ["small", "medium", "200"], "original": true, "max_images": 1000}))]
#[expect(dead_code, reason = "it describes what `create_plan` reads")]
pub struct NewPlanBody {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    name: String,
    #[schema(schema_with = super::openapi::thumbnails_schema)]
    thumbnails: Option<Vec<String>>,
    #[schema(nullable = false)]
    original: Option<bool>,
    /// Needs `original`.
    #[schema(nullable = false)]
    expiring_links: Option<bool>,
    #[schema(nullable = false)]
    custom_sizes: Option<bool>,
    #[schema(nullable = false)]
    imports: Option<bool>,
    #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_000_u64)]
    max_bytes: Option<u64>,
    #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_u64)]
    max_images: Option<u64>,
}

/// All plans.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanList {
    pub plans: Vec<PlanView>,
}

/// List plans
///
/// All of them, by name; to whoever is known.
#[utoipa::path(get, path = "/plans", tag = "accounts",
    responses((status = 200, description = "The plans.", body = PlanList), ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_plans(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
) -> Result<Json<PlanList>, ApiError> {
    Query::of(&uri).finish()?;
    let plans = app.service.list_plans(&caller).await?.iter().map(PlanView::new).collect();
    Ok(Json(PlanList { plans }))
}

/// Look up a plan
#[utoipa::path(get, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    responses((status = 200, description = "The plan.", body = PlanView), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_plan(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(name): Segment,
    Address(uri): Address,
) -> Result<Json<PlanView>, ApiError> {
    Query::of(&uri).finish()?;
    caller.user().ok_or(Error::Unauthenticated)?;
    Ok(Json(PlanView::new(&app.service.find_plan(&caller, &plan_name(&name)?).await?)))
}

/// Make a plan
///
/// Administrators only.
#[utoipa::path(post, path = "/plans", tag = "accounts", request_body(content = NewPlanBody, content_type = "application/json"),
    responses((status = 201, description = "It is made.", body = PlanView), BadRequest, RequestTimeout, Conflict, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_plan(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let name = fields.need("name", |value| PlanName::parse(&text(value)?));
    let features = read_features(&mut fields);
    fields.finish()?;
    let plan = app.service.create_plan(&caller, needed(name)?, features).await?;
    Ok((StatusCode::CREATED, Json(PlanView::new(&plan))).into_response())
}

/// Change a plan
///
/// Administrators only. All that the plan gives is replaced, for all who have it, at once.
#[utoipa::path(put, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    request_body(content = PlanBody, content_type = "application/json"),
    responses((status = 200, description = "The plan as it is now.", body = PlanView), BadRequest, NotFound, RequestTimeout, PayloadTooLarge,
        UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn update_plan(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(name): Segment,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PlanView>, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    let name = plan_name(&name)?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let features = read_features(&mut fields);
    fields.finish()?;
    Ok(Json(PlanView::new(&app.service.change_plan(&caller, &name, features).await?)))
}

/// Delete a plan
///
/// Administrators only; one that no account has and that did not come with the service.
#[utoipa::path(delete, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    responses((status = 204, description = "It is deleted."), NotFound, Conflict, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn delete_plan(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(name): Segment,
    Address(uri): Address,
) -> Result<StatusCode, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    app.service.delete_plan(&caller, &plan_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What cannot be a name names no plan.
fn plan_name(text: &str) -> Result<PlanName, Error> {
    PlanName::parse(text).map_err(|_| Error::NotFound { what: "such plan".to_owned() })
}

fn read_features(fields: &mut JsonFields) -> Features {
    let mut flag = |name: &str| fields.take(name, boolean).unwrap_or(false);
    let (original, expiring_links) = (flag("original"), flag("expiring_links"));
    let (custom_sizes, imports) = (flag("custom_sizes"), flag("imports"));
    Features {
        thumbnails: fields.take("thumbnails", read_sizes).unwrap_or_default(),
        original,
        expiring_links,
        custom_sizes,
        imports,
        max_bytes: fields.take("max_bytes", or_null(integer(0, 1_000_000_000_000_000))).flatten(),
        max_images: fields.take("max_images", or_null(integer(0, 1_000_000_000_000))).flatten(),
    }
}

fn read_sizes(value: Value) -> Result<Vec<ThumbnailSize>, String> {
    let rule = || "must be a list of up to 10 of small, medium and heights from 16 to 2000 pixels, as texts".to_owned();
    let Value::Array(values) = value else { return Err(rule()) };
    if values.len() > 10 {
        return Err(rule());
    }
    let mut sizes = Vec::new();
    for value in values {
        let size = read_size(&text(value).map_err(|_| rule())?).ok_or_else(rule)?;
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    Ok(sizes)
}

fn read_size(name: &str) -> Option<ThumbnailSize> {
    let shown = ThumbnailSize::SHOWN.into_iter().find(|size| size.name() == name);
    let plain = !name.starts_with(['0', '+']);
    shown.or_else(|| {
        let height = name.parse().ok().filter(|height| plain && (16..=2000).contains(height));
        height.map(ThumbnailSize::Height)
    })
}

impl PlanView {
    pub fn new(plan: &Plan) -> Self {
        let Features { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images } = &plan.features;
        let name = |size: &ThumbnailSize| match size {
            ThumbnailSize::Height(height) => height.to_string(),
            shown => shown.name().into_owned(),
        };
        Self {
            name: plan.name.to_string(),
            built_in: plan.built_in,
            thumbnails: thumbnails.iter().map(name).collect(),
            original: *original,
            expiring_links: *expiring_links,
            custom_sizes: *custom_sizes,
            imports: *imports,
            max_bytes: *max_bytes,
            max_images: *max_images,
        }
    }
}

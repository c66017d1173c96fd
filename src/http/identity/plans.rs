//! Plans: the features and quotas of accounts.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::{AlreadyExists, Conflict, NotFound};
use crate::http::request::authorization::{Admin, User};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::CallerOf;
use crate::http::request::json_fields::{JsonBody, JsonFields, boolean, integer, or_null, text};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::image::ThumbnailSize;
use crate::model::plan::{Features, Plan, PlanName};
use crate::service::error::Error;

/// A plan: the features and quotas of accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    /// The name of the plan.
    #[schema(example = "Premium")]
    pub name: String,
    /// Whether the plan is built in. Built-in plans can be updated but not deleted.
    pub built_in: bool,
    /// The thumbnails that the plan includes: `small`, `medium`, and heights in pixels.
    #[schema(example = json!(["small", "medium", "200", "400"]))]
    pub thumbnails: Vec<String>,
    /// Whether originals can be downloaded and linked to.
    pub original: bool,
    /// Whether share links can be created.
    pub expiring_links: bool,
    /// Whether resized images can be requested.
    pub custom_sizes: bool,
    /// Whether images can be imported from URLs.
    pub imports: bool,
    /// Quota for the total size of originals and resized images, in bytes; null means no limit. Resized images are removed to
    /// make space for originals.
    pub max_bytes: Option<u64>,
    /// Quota for the number of images; null means no limit.
    pub max_images: Option<u64>,
}

/// Declares a body with the features and quotas of a plan, after other fields.
macro_rules! plan_body {
    ($(#[$meta:meta])* $name:ident { $($others:tt)* }) => {
        request_fields! {
            #[derive(Debug, ToSchema)]
            $(#[$meta])*
            pub struct $name from JsonFields {
            $($others)*
            /// The thumbnails that the plan includes: `small`, `medium`, and heights in pixels from 16 to 2000. Defaults to none.
            #[schema(required = false, max_items = 10)]
            thumbnails: Vec<ThumbnailSizeName> = take(read_sizes) or Vec::new(),
            /// Whether originals can be downloaded and linked to. Defaults to false.
            #[schema(value_type = Option<bool>, nullable = false)]
            original: bool = take(boolean) or false,
            /// Whether share links can be created; requires `original`. Defaults to false.
            #[schema(value_type = Option<bool>, nullable = false)]
            expiring_links: bool = take(boolean) or false,
            /// Whether resized images can be requested. Defaults to false.
            #[schema(value_type = Option<bool>, nullable = false)]
            custom_sizes: bool = take(boolean) or false,
            /// Whether images can be imported from URLs. Defaults to false.
            #[schema(value_type = Option<bool>, nullable = false)]
            imports: bool = take(boolean) or false,
            /// Quota for the total size of originals and resized images, in bytes. Resized images are removed to make space for
            /// originals. Defaults to null, which means no limit.
            #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_000_u64)]
            max_bytes: Option<u64> = take(or_null(integer(0, 1_000_000_000_000_000))) or None,
            /// Quota for the number of images. Defaults to null, which means no limit.
            #[schema(nullable, minimum = 0, maximum = 1_000_000_000_000_u64)]
            max_images: Option<u64> = take(or_null(integer(0, 1_000_000_000_000))) or None,
            }
        }

        impl $name {
            fn features(self) -> Features {
                let Self { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images, .. } = self;
                let thumbnails = thumbnails.into_iter().map(|ThumbnailSizeName(size)| size).collect();
                Features { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images }
            }
        }
    };
}

plan_body! {
    /// The features and quotas of a plan. They replace the previous ones: omitted features are not included, and omitted quotas mean
    /// no limit.
    #[schema(as = UpdatePlanRequest, example = json!({"thumbnails": ["small", "medium", "200"], "original": true, "max_images": 1000}))]
    PlanBody {}
}

plan_body! {
    /// The plan to create. Omitted features are not included, and omitted quotas mean no limit.
    #[schema(as = CreatePlanRequest, example = json!({"name": "Studio", "thumbnails": ["small", "medium", "200"], "original": true, "max_images": 1000}))]
    NewPlanBody {
        /// The name of the plan.
        #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        name: PlanName = require(|value| PlanName::parse(&text(value)?)),
    }
}

/// The name of a thumbnail size: `small`, `medium`, or a height in pixels from 16 to 2000.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = r"^(small|medium|1[6-9]|[2-9][0-9]|[1-9][0-9]{2}|1[0-9]{3}|2000)$", example = "small")]
pub struct ThumbnailSizeName(ThumbnailSize);

/// All plans.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanList {
    /// The plans, by name.
    pub plans: Vec<PlanView>,
}

/// List plans
///
/// Lists all plans by name. Requires authentication of any kind.
#[utoipa::path(get, path = "/plans", tag = "accounts",
    responses((status = 200, description = "The plans.", body = PlanList)))]
pub async fn list_plans(State(app): State<AppState>, _: NoQuery, CallerOf(caller): CallerOf) -> Result<Json<PlanList>, ApiError> {
    let plans = app.service.list_plans(&caller).await?.iter().map(PlanView::new).collect();
    Ok(Json(PlanList { plans }))
}

/// Get a plan
///
/// Requires authentication of any kind.
#[utoipa::path(get, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    responses((status = 200, description = "The plan.", body = PlanView), NotFound))]
pub async fn get_plan(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(name): PathParam<PlanName>,
) -> Result<Json<PlanView>, ApiError> {
    Ok(Json(PlanView::new(&app.service.find_plan(&caller, &name).await?)))
}

/// Create a plan
///
/// Administrators only.
#[utoipa::path(post, path = "/plans", tag = "accounts", request_body(content = NewPlanBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = PlanView), AlreadyExists))]
pub async fn create_plan(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    JsonBody(new): JsonBody<NewPlanBody>,
) -> Result<Response, ApiError> {
    let plan = app.service.create_plan(&caller, new.name.clone(), new.features()).await?;
    Ok((StatusCode::CREATED, Json(PlanView::new(&plan))).into_response())
}

/// Replace the features of a plan
///
/// Administrators only. Takes effect immediately for all accounts with this plan.
#[utoipa::path(put, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    request_body(content = PlanBody, content_type = "application/json"),
    responses((status = 200, description = "The updated plan.", body = PlanView), NotFound))]
pub async fn update_plan(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    PathParam(name): PathParam<PlanName>,
    JsonBody(plan): JsonBody<PlanBody>,
) -> Result<Json<PlanView>, ApiError> {
    Ok(Json(PlanView::new(&app.service.change_plan(&caller, &name, plan.features()).await?)))
}

/// Delete a plan
///
/// Administrators only. Built-in plans and plans that accounts use cannot be deleted.
#[utoipa::path(delete, path = "/plans/{name}", tag = "accounts", params(("name" = String, Path, description = "The plan's name.")),
    responses((status = 204, description = "Deleted."), NotFound, Conflict))]
pub async fn delete_plan(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    PathParam(name): PathParam<PlanName>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_plan(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromPath for PlanName {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).map_err(|_| Error::NotFound { what: "such plan".to_owned() })
    }
}

fn read_sizes(value: Value) -> Result<Vec<ThumbnailSizeName>, String> {
    let rule = || "must be a list of up to 10 strings: small, medium, or heights from 16 to 2000 pixels".to_owned();
    let Value::Array(values) = value else { return Err(rule()) };
    if values.len() > 10 {
        return Err(rule());
    }
    let mut sizes = Vec::new();
    for value in values {
        let size = ThumbnailSizeName::parse(&text(value).map_err(|_| rule())?).ok_or_else(rule)?;
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    Ok(sizes)
}

impl ThumbnailSizeName {
    fn parse(name: &str) -> Option<Self> {
        let named = ThumbnailSize::STANDARD.into_iter().find(|size| size.public_name() == name);
        let plain = !name.starts_with(['0', '+']);
        let size = named.or_else(|| {
            let height = name.parse().ok().filter(|height| plain && (16..=2000).contains(height));
            height.map(ThumbnailSize::Height)
        });
        size.map(Self)
    }
}

impl PlanView {
    pub fn new(plan: &Plan) -> Self {
        let Features { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images } = &plan.features;
        Self {
            name: plan.name.to_string(),
            built_in: plan.built_in,
            thumbnails: thumbnails.iter().map(|size| size.public_name().into_owned()).collect(),
            original: *original,
            expiring_links: *expiring_links,
            custom_sizes: *custom_sizes,
            imports: *imports,
            max_bytes: *max_bytes,
            max_images: *max_images,
        }
    }
}

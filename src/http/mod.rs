//! Floor 4: the way in for requests. The route table, then the layers.
//!
//! Handlers read a request, call one function of the service, and write its answer; they decide nothing. Wire types
//! live here and nowhere else.

pub mod error;
pub mod identity;
pub mod images;
pub mod jobs;
pub mod maintenance;
pub mod openapi;
pub mod request;
pub mod server;
pub mod sharing;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderName, HeaderValue, Method, Uri};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::model::id::ImageId;
use crate::service::Service;
pub use error::ApiError;

/// What of the way in can be set.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins whose pages may use the API from a browser; `*` is any.
    pub cors_origins: Vec<String>,
    pub body: request::body::BodyLimits,
    /// The address that clients reach, for the OpenAPI document.
    pub public_url: Option<String>,
    /// What public links start with, without a slash at its end.
    pub link_base: String,
    /// How long caches may keep what a public link gives.
    pub link_max_age_seconds: u32,
    /// Who may name users, and whose `X-Forwarded-For` is believed.
    pub gateway: identity::gateway::Gateway,
    /// Whether `/health`, `/ready` and `/metrics` are on a port of their own.
    pub has_admin_port: bool,
    /// Whether log lines tell the address that a request came from.
    pub log_client_address: bool,
}

impl HttpConfig {
    /// Returns the public link of an image.
    fn public_link(&self, id: ImageId) -> String {
        format!("{}/i/{id}", self.link_base)
    }
}

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct AppState {
    pub service: Arc<Service>,
    pub config: Arc<HttpConfig>,
}

/// The whole API as a router.
pub fn router(service: Arc<Service>, config: HttpConfig) -> Router {
    let routes = if config.has_admin_port { api_routes() } else { routes() };
    let (routes, document) = routes.split_for_parts();
    let document = maintenance::limits::describe(openapi::complete(document), &maintenance::limits::Limits::of(service.limits()));
    let document = openapi::for_server(document, config.public_url.as_deref());
    let state = AppState { service, config: Arc::new(config) };
    let routes = routes.route_layer(axum::middleware::from_fn_with_state(state.clone(), identity::authentication::authenticate));
    without_last_slash(with_layers(Router::new().merge(routes).merge(openapi::docs::routes(document)), state))
}

/// The same routes for addresses with a slash at their end, as some programs pass links on. A redirect would do for reading, but not every
/// client sends a body twice. The documentation's pages have links relative to their own address.
fn without_last_slash(routes: Router) -> Router {
    let trim = tower::util::MapRequestLayer::new(|mut request: axum::extract::Request| {
        if let Some(uri) = without_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(tower::Layer::layer(&trim, routes))
}

/// The address without the slash at the end of its path; `None` where it stays as it is.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))?;
    if path == "/docs" || path.starts_with("/docs/") || path.starts_with("/redoc") {
        return None;
    }
    let path_and_query = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// What ADMIN_PORT serves: the routes that machines of the operator ask.
pub fn admin_router(service: Arc<Service>, config: HttpConfig) -> Router {
    let (routes, _) = admin_routes().split_for_parts();
    with_layers(routes, AppState { service, config: Arc::new(config) })
}

/// Routes with what holds for every request around them: ids, logs, numbers, and one shape for all errors.
pub fn with_layers(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(async || ApiError::no_such_route())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(CatchPanicLayer::custom(ApiError::panicked))
        .layer(option_layer(cors(&state.config.cors_origins)))
        .layer(axum::middleware::from_fn_with_state(state.clone(), server::middleware::observe))
        .with_state(state)
}

/// The route table, which is also the OpenAPI document.
pub fn routes() -> OpenApiRouter<AppState> {
    api_routes().merge(admin_routes())
}

fn admin_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(maintenance::health::check_health))
        .routes(routes!(maintenance::health::check_readiness))
        .routes(routes!(maintenance::health::get_metrics))
}

fn api_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(images::list_images, images::uploads::upload_image))
        .routes(routes!(images::get_image, images::update_image, images::delete_image))
        .routes(routes!(images::get_download_url))
        .routes(routes!(images::restore_image))
        .routes(routes!(images::create_caption))
        .routes(routes!(images::thumbnails::get_thumbnail))
        .routes(routes!(images::thumbnails::get_resized_image))
        .routes(routes!(images::resize_urls::create_resize_urls))
        .routes(routes!(sharing::public_links::get_original))
        .routes(routes!(sharing::public_links::get_named_original))
        .routes(routes!(sharing::public_links::list_public_links))
        .routes(routes!(jobs::imports::list_imports, jobs::imports::create_import))
        .routes(routes!(jobs::imports::get_import, jobs::imports::cancel_import))
        .routes(routes!(images::list_user_images))
        .routes(routes!(images::list_tag_images))
        .routes(routes!(sharing::expiring_links::list_expiring_links, sharing::expiring_links::create_expiring_link))
        .routes(routes!(sharing::expiring_links::delete_expiring_link))
        .routes(routes!(sharing::expiring_links::open_expiring_link))
        .routes(routes!(sharing::collections::list_collections, sharing::collections::create_collection))
        .routes(routes!(
            sharing::collections::get_collection,
            sharing::collections::update_collection,
            sharing::collections::delete_collection
        ))
        .routes(routes!(sharing::collections::list_collection_images))
        .routes(routes!(
            sharing::collections::get_collection_image,
            sharing::collections::add_collection_image,
            sharing::collections::remove_collection_image
        ))
        .routes(routes!(sharing::collections::get_public_collection))
        .routes(routes!(identity::tokens::log_in))
        .routes(routes!(identity::tokens::refresh_tokens))
        .routes(routes!(identity::accounts::list_accounts, identity::accounts::create_account))
        .routes(routes!(identity::accounts::get_my_account))
        .routes(routes!(identity::accounts::change_my_password))
        .routes(routes!(identity::sessions::list_my_sessions, identity::sessions::end_my_sessions))
        .routes(routes!(identity::sessions::end_my_session))
        .routes(routes!(identity::accounts::get_account, identity::accounts::update_account, identity::accounts::delete_account))
        .routes(routes!(identity::api_keys::list_api_keys, identity::api_keys::create_api_key))
        .routes(routes!(identity::api_keys::get_api_key, identity::api_keys::update_api_key, identity::api_keys::delete_api_key))
        .routes(routes!(identity::plans::list_plans, identity::plans::create_plan))
        .routes(routes!(identity::plans::get_plan, identity::plans::update_plan, identity::plans::delete_plan))
        .routes(routes!(identity::audit::list_audit_entries))
        .routes(routes!(maintenance::stats::get_stats))
        .routes(routes!(maintenance::limits::get_limits))
}

/// Without origins there is no layer at all: one would answer every `OPTIONS` request, whatever its address.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(ALLOWED_HEADERS.map(HeaderName::from_static))
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE);
    match origins {
        [] => None,
        [any] if any == "*" => Some(layer.allow_origin(AllowOrigin::any())),
        some => Some(layer.allow_origin(AllowOrigin::list(some.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())))),
    }
}

/// What pages may send: the API's own headers, those of conditional requests and ranges, and what upload widgets and tracing add
/// without asking.
const ALLOWED_HEADERS: [&str; 20] = [
    "accept",
    "authorization",
    "baggage",
    "cache-control",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "pragma",
    "range",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-api-key",
    "x-file-name",
    "x-request-id",
    "x-requested-with",
    "x-user-id",
];

/// What pages may read, beside what they always may.
const EXPOSED_HEADERS: [&str; 14] = [
    "accept-ranges",
    "allow",
    "content-disposition",
    "content-length",
    "content-range",
    "etag",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-request-id",
];

/// For two hours, the most that Chromium keeps; without it every upload is preceded by a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7200);

//! The HTTP layer: the route table and the middleware stack.
//!
//! A handler parses the request, calls one function of the service, and writes the response. It makes no decisions. Wire types
//! exist only in this layer.

mod cors;
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

use axum::Router;
use http::Uri;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::model::id::ImageId;
use crate::model::share::ShareToken;
use crate::service::Service;
pub use error::ApiError;

/// The configuration of the HTTP layer.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins whose pages can use the API from a browser; `*` means any origin.
    pub cors_origins: Vec<String>,
    pub body: request::body::BodyLimits,
    /// The public base URL, for the OpenAPI document.
    pub public_url: Option<String>,
    /// The base URL of public links, without a trailing slash.
    pub link_base: String,
    /// How long caches can keep the response of a public link.
    pub link_max_age_seconds: u32,
    /// Which peers can set `X-User-Id`, and whose `X-Forwarded-For` is trusted.
    pub gateway: identity::gateway::Gateway,
    /// Whether a separate port serves `/health`, `/ready` and `/metrics`.
    pub has_admin_port: bool,
    /// Whether request logs include the client's address.
    pub log_client_address: bool,
    /// Whether uploads get 104 responses.
    pub sends_104: bool,
    /// Whether the service serves web pages for people, other than its documentation.
    pub serves_pages: bool,
    /// Whether the pages of shares and collections ask search engines not to list them.
    pub noindex: bool,
}

impl HttpConfig {
    /// Returns the public link of an image.
    fn public_link(&self, id: ImageId) -> String {
        format!("{}/i/{id}", self.link_base)
    }

    /// Returns the link of a share.
    pub fn share_link(&self, token: &ShareToken) -> String {
        format!("{}/s/{}", self.link_base, token.as_str())
    }
}

/// The state that handlers share.
#[derive(Debug, Clone)]
pub struct AppState {
    pub service: Arc<Service>,
    pub config: Arc<HttpConfig>,
    pub image_json: Arc<images::json_cache::ImageJsonCache>,
}

impl AppState {
    pub fn new(service: Arc<Service>, config: HttpConfig) -> Self {
        let image_json = Arc::new(images::json_cache::ImageJsonCache::new(service.limits().cache_bytes));
        Self { service, config: Arc::new(config), image_json }
    }
}

/// Returns the routes of the API, and the OpenAPI document for clients of this server.
pub fn api(state: &AppState) -> (Router<AppState>, OpenApi) {
    let (service, config) = (&state.service, &state.config);
    let routes = if config.has_admin_port { api_routes() } else { routes() };
    let (routes, document) = routes.split_for_parts();
    let document = maintenance::limits::describe(openapi::complete(document), &maintenance::limits::Limits::of(service.limits()));
    let document = openapi::for_server(document, config.public_url.as_deref());
    let routes = authenticated(routes, state).merge(images::uploads::tus::routes(state.clone()));
    (routes.merge(images::uploads::resumable::routes(state.clone())), document)
}

/// Adds rate limits and authentication to routes.
pub fn authenticated(routes: Router<AppState>, state: &AppState) -> Router<AppState> {
    let authenticate = axum::middleware::from_fn_with_state(state.clone(), identity::authentication::authenticate);
    Router::new().merge(routes.route_layer(authenticate))
}

/// Returns the router that serves these routes.
pub fn router(routes: Router<AppState>, state: AppState) -> Router {
    without_last_slash(with_layers(routes, state))
}

/// Serves the same routes for paths with a trailing slash, which some programs append to links. A redirect would work for reads,
/// but not every client sends a body twice. Web pages keep the slash, because their links are relative to their own URL.
fn without_last_slash(routes: Router) -> Router {
    let trim = tower::util::MapRequestLayer::new(|mut request: axum::extract::Request| {
        if let Some(uri) = without_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(tower::Layer::layer(&trim, routes))
}

/// Returns the URI without the trailing slash of its path; `None` if the URI stays unchanged.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))?;
    let is_page = ["/app", "/docs"].iter().any(|page| path == *page || path.starts_with(&format!("{page}/")));
    // Below a share, cookies and redirects depend on the number of segments.
    let is_in_share = path.strip_prefix("/s/").is_some_and(|rest| rest.contains('/'));
    if is_page || is_in_share || path.starts_with("/redoc") {
        return None;
    }
    let path_and_query = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Returns the router for ADMIN_PORT: the endpoints that the operator's machines call.
pub fn admin_router(service: Arc<Service>, config: HttpConfig) -> Router {
    let (routes, _) = admin_routes().split_for_parts();
    with_layers(routes, AppState::new(service, config))
}

/// Adds the middleware that every request passes: request ids, logs, metrics, and one shape for all errors.
pub fn with_layers(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(async || ApiError::no_such_route())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(CatchPanicLayer::custom(ApiError::panicked))
        .layer(option_layer(cors::layer(&state.config.cors_origins)))
        .layer(axum::middleware::from_fn_with_state(state.clone(), server::middleware::observe))
        .with_state(state)
}

/// Returns the route table, which is also the OpenAPI document.
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
        .routes(routes!(images::listing::list_images, images::uploads::upload_image))
        .routes(routes!(images::uploads::direct::list_uploads, images::uploads::direct::create_upload))
        .routes(routes!(images::uploads::direct::get_upload, images::uploads::direct::delete_upload))
        .routes(routes!(images::uploads::direct::complete_upload))
        .routes(routes!(images::get_image, images::update_image, images::delete_image))
        .routes(routes!(images::get_download_url))
        .routes(routes!(images::restore_image))
        .routes(routes!(images::trash::list_trash))
        .routes(routes!(images::create_caption))
        .routes(routes!(images::thumbnails::get_thumbnail))
        .routes(routes!(images::thumbnails::get_resized_image))
        .routes(routes!(images::resize_urls::create_resize_urls))
        .routes(routes!(sharing::public_links::get_original))
        .routes(routes!(sharing::public_links::get_named_original))
        .routes(routes!(sharing::public_links::list_public_links))
        .routes(routes!(jobs::imports::list_imports, jobs::imports::create_import))
        .routes(routes!(jobs::imports::get_import, jobs::imports::cancel_import))
        .routes(routes!(images::listing::list_user_images))
        .routes(routes!(images::listing::list_tag_images))
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
            sharing::collections::move_collection_image,
            sharing::collections::remove_collection_image
        ))
        .routes(routes!(sharing::collections::get_public_collection))
        .routes(routes!(sharing::shares::list_shares, sharing::shares::create_share))
        .routes(routes!(sharing::shares::get_share, sharing::shares::update_share, sharing::shares::delete_share))
        .routes(routes!(sharing::shared_images::get_shared))
        .routes(routes!(sharing::shared_images::enter_share))
        .routes(routes!(sharing::shared_images::add_shared_image))
        .routes(routes!(sharing::shared_images::get_shared_original))
        .routes(routes!(sharing::shared_images::get_shared_thumbnail))
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

//! The web layer: pages for people, next to the API that programs use.
//!
//! Its handlers use the HTTP layer's request parsing, authentication and errors, and call the service and nothing below it. The
//! pages are templates and ES modules that are part of the binary. They load nothing from other servers, and contain no inline
//! scripts.
//!
//! All their URLs are relative, so they also work below a path that a reverse proxy strips.

mod assets;
mod bundle;
mod collections;
mod docs;
mod first_page;
mod home;
mod messages;
mod negotiation;
mod originals;
mod pages;
mod preview;
mod sessions;
mod shared_pages;
mod tiles;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};

use crate::http::maintenance::limits;
use crate::http::{self as api, AppState, HttpConfig};
use crate::service::Service;

/// Returns the router of the whole service: the API, its documentation, and the pages.
pub fn router(service: Arc<Service>, config: HttpConfig) -> Router {
    LazyLock::force(&assets::ASSETS);
    let state = AppState::new(service, config);
    let (routes, document) = api::api(&state);
    let routes = routes.merge(docs::routes(document)).merge(home::routes(state.config.serves_pages));
    let routes = if state.config.serves_pages { routes.merge(page_routes(&state)) } else { routes };
    let serves_pages = state.config.serves_pages;
    let router = api::router(routes, state);
    if serves_pages { router.layer(axum::middleware::from_fn(negotiation::prefer_pages)) } else { router }
}

fn page_routes(state: &AppState) -> Router<AppState> {
    let authenticated = Router::new()
        .route("/app/", get(pages::show_gallery))
        .route("/app/images/{image_id}", get(pages::show_image))
        .route("/app/tiles", get(tiles::list_tiles))
        .route("/app/tiles/{image_id}", get(tiles::get_tile))
        .route("/app/tiles/{image_id}/original", get(originals::get_original))
        .route("/app/trash", get(pages::show_page))
        .route("/app/trash/tiles", get(tiles::list_trash))
        .route("/app/collections", get(pages::show_page))
        .route("/app/collections/{name}", get(pages::show_collection))
        .route("/app/collections/{name}/images/{image_id}", get(pages::show_collection_image))
        .route("/app/collections/{name}/tiles", get(collections::list_tiles))
        .route("/app/collection-cards", get(collections::list_cards))
        .route("/app/account", get(pages::show_page))
        .route("/app/admin/accounts", get(pages::show_administration))
        .route("/app/admin/plans", get(pages::show_administration))
        .route("/app/admin/audit", get(pages::show_administration))
        .route("/s/{token}/page", get(shared_pages::show_share))
        .route("/s/{token}/tiles", get(shared_pages::list_share_tiles))
        .route("/s/{token}/tiles/{image_id}", get(shared_pages::get_share_tile))
        .route("/s/{token}/enter", post(shared_pages::enter_share))
        .route("/s/oembed", get(preview::get_oembed))
        .route("/c/{name}/page", get(shared_pages::show_collection))
        .route("/c/{name}/tiles", get(shared_pages::list_collection_tiles))
        .route("/c/{name}/tiles/{image_id}", get(shared_pages::get_collection_tile))
        .route("/app/session/start", post(sessions::start_session))
        .route("/app/session/refresh", post(sessions::refresh_session))
        .route("/app/session/end", post(sessions::end_session))
        .route("/app/pass", post(sessions::issue_page_pass).delete(sessions::forget_page_pass));
    api::authenticated(authenticated, state)
        .route("/app", get(async || redirect("app/")))
        .route("/app/assets/{digest}/{*file}", get(assets::get_asset))
        // As `/limits`: the pages of shares request only what is below `/s/`.
        .route("/s/limits", get(limits::get_limits))
        .route("/s/{token}/slash", get(negotiation::remove_slash_of_share))
        .route("/c/{name}/slash", get(negotiation::remove_slash_of_collection))
        .route("/s/assets/{digest}/{*file}", get(assets::get_asset))
        .route("/app/{*path}", get(messages::no_such_page))
}

/// Redirects to a location relative to the request's URL, as the browser sees it (RFC 9110, 10.2.2).
fn redirect(location: &'static str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, HeaderValue::from_static(location))]).into_response()
}

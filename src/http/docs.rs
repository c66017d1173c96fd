//! The pages for people: Swagger UI at `/docs`, ReDoc at `/redoc`. Both are inside the binary and load nothing from elsewhere.

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, header};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::AppState;

/// ReDoc's page, and its script.
const REDOC_PAGE: &str = include_str!("docs/redoc.html");
const REDOC_SCRIPT: &str = include_str!("docs/redoc.standalone.js");

/// ReDoc's script would fetch its maker's logo from elsewhere.
const OWN_PICTURES: [(HeaderName, &str); 1] = [(header::CONTENT_SECURITY_POLICY, "img-src 'self' data:")];

pub fn routes(document: OpenApi) -> Router<AppState> {
    let swagger = SwaggerUi::new("/docs").url("/openapi.json", document).config(Config::default().try_it_out_enabled(true));
    Router::new()
        .merge(swagger)
        .route("/", get(async || Redirect::temporary("/docs")))
        .route("/redoc", get(async || (OWN_PICTURES, asset("text/html; charset=utf-8", REDOC_PAGE))))
        .route("/redoc/redoc.standalone.js", get(async || asset("text/javascript; charset=utf-8", REDOC_SCRIPT)))
}

fn asset(content_type: &'static str, body: &'static str) -> Response {
    let cache = HeaderValue::from_static("public, max-age=3600");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (header::CACHE_CONTROL, cache)], body).into_response()
}

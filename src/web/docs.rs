//! The documentation pages: Swagger UI at `/docs`, ReDoc at `/redoc`. Both are part of the binary and load nothing from other
//! servers.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderName, HeaderValue, header};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::assets::{self, ASSETS};
use super::redirect;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::yaml;
use crate::service::error::Error;

/// ReDoc's page.
#[derive(Template)]
#[template(path = "redoc.html", config = "src/web/askama.toml")]
struct RedocPage<'a> {
    /// The digest in the URL of its script.
    digest: &'a str,
}

/// Both pages run only their own scripts and cannot be framed. They set inline styles. ReDoc searches in a worker, and its script
/// would load its vendor's logo from another server. "Try it out" calls the server that the document names.
const PAGE_POLICY: [(HeaderName, &str); 1] = [(
    header::CONTENT_SECURITY_POLICY,
    "default-src 'self'; connect-src *; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)];

/// The library provides Swagger UI's page; this goes after its first line. Without a viewport, phones lay out the page 980 pixels
/// wide. The rules stack what Swagger UI puts side by side, and let long words break.
const SWAGGER_HEAD_START: &str = r#"<meta charset="UTF-8">"#;
const SWAGGER_HEAD: &str = include_str!("templates/swagger_head.html");

/// The title of the browser tab.
const SWAGGER_TITLE: &str = "<title>Swagger UI</title>";
const TITLE: &str = "<title>Image Service</title>";

pub fn routes(document: OpenApi) -> Router<AppState> {
    let yaml = document_as_yaml(&document);
    let document = Arc::new(document);
    let swagger = Arc::new(Config::new(["../openapi.json"]).try_it_out_enabled(true).persist_authorization(true));
    let page = Arc::clone(&swagger);
    Router::new()
        .route("/openapi.yaml", get(async move || yaml))
        .route("/openapi.json", get(async move || Json(&*document).into_response()))
        .route("/docs", get(async || redirect("docs/")))
        .route("/docs/", get(async move || swagger_file("index.html", Arc::clone(&page))))
        .route("/docs/{*file}", get(async move |Path(file): Path<String>| swagger_file(&file, Arc::clone(&swagger))))
        .route("/redoc/", get(async || redirect("../redoc")))
        .route("/redoc", get(show_redoc))
        .route("/redoc/assets/{digest}/{*file}", get(assets::get_asset))
}

/// Serialises the document once, when the service starts.
fn document_as_yaml(document: &OpenApi) -> Result<impl IntoResponse + Clone + use<>, ApiError> {
    let yaml = yaml::to_yaml(document).map_err(Error::internal)?;
    // RFC 9512.
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"))], yaml))
}

async fn show_redoc() -> Result<Response, ApiError> {
    let page = RedocPage { digest: &ASSETS.digest }.render().map_err(Error::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((PAGE_POLICY, headers, page).into_response())
}

fn swagger_file(name: &str, config: Arc<Config<'static>>) -> Result<Response, ApiError> {
    let file = utoipa_swagger_ui::serve(name, config).map_err(|error| Error::internal(error.to_string()))?;
    let SwaggerFile { bytes, content_type, gzpipped, .. } = file.ok_or_else(ApiError::no_such_route)?;
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_str(&content_type).map_err(Error::internal)?)];
    let mut response = match name {
        "index.html" => (PAGE_POLICY, content_type, with_head(&bytes)?).into_response(),
        _ => (content_type, bytes.into_owned()).into_response(),
    };
    if gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn with_head(page: &[u8]) -> Result<Vec<u8>, Error> {
    let page = std::str::from_utf8(page).map_err(Error::internal)?;
    let page = page.replacen(SWAGGER_HEAD_START, &format!("{SWAGGER_HEAD_START}\n{SWAGGER_HEAD}"), 1);
    Ok(page.replacen(SWAGGER_TITLE, TITLE, 1).into_bytes())
}

//! Addresses that are a page for browsers, and JSON for other clients: shares and public collections.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri, header};

use crate::http::ApiError;
use crate::http::request::negotiation::names;
use crate::http::request::parameters::PathParam;
use crate::service::error::Error;

/// Leads requests of browsers for `/s/{token}` and `/c/{name}` to the route of the page. Every response says that it depends on
/// `Accept`, errors too, so that caches keep both.
pub async fn prefer_pages(mut request: Request, next: Next) -> Response {
    if !is_negotiable(request.uri().path()) {
        return next.run(request).await;
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read
        && names(request.headers(), &header::ACCEPT, "text/html")
        && let Some(uri) = page(request.uri())
    {
        *request.uri_mut() = uri;
    }
    let mut response = next.run(request).await;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Redirects to the address without the slash, to which the links of the page are relative.
pub async fn remove_slash(PathParam(name): PathParam<String>) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(&format!("../{name}")).map_err(Error::internal)?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}

/// Returns whether a path, with or without a slash at its end, is that of a page.
fn is_negotiable(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let name = path.strip_prefix("/s/").or_else(|| path.strip_prefix("/c/"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/')) && path != OEMBED
}

/// It describes pages, and is none.
const OEMBED: &str = "/s/oembed";

/// Returns the URI of the page, or of the redirect to it.
fn page(uri: &Uri) -> Option<Uri> {
    let path = match uri.path().strip_suffix('/') {
        Some(path) => format!("{path}/slash"),
        None => format!("{}/page", uri.path()),
    };
    let path_and_query = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

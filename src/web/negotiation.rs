//! Addresses that are a page for browsers, and JSON for other clients: shares and public collections.

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri, header};

use crate::http::ApiError;
use crate::http::request::negotiation::names;
use crate::http::request::parameters::PathParam;
use crate::http::request::previewers::is_from_previewer;
use crate::model::collection::CollectionName;
use crate::model::share::ShareToken;
use crate::service::error::Error;

/// Marks a request that was led to the route of a page. That route has no address of its own.
#[derive(Debug, Clone, Copy)]
pub struct Negotiated;

impl<S: Sync> FromRequestParts<S> for Negotiated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().copied().ok_or_else(ApiError::no_such_route)
    }
}

/// Leads requests of browsers for `/s/{token}` and `/c/{name}` to the route of the page; those of programs that make link previews
/// too, which often accept anything. Every response says what it depends on, errors too, so that caches keep both.
pub async fn prefer_pages(mut request: Request, next: Next) -> Response {
    if !is_negotiable(request.uri().path()) {
        return next.run(request).await;
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let prefers_page = names(request.headers(), &header::ACCEPT, "text/html") || is_from_previewer(request.headers());
    if is_read
        && prefers_page
        && let Some(uri) = page(request.uri())
    {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(Negotiated);
    }
    let mut response = next.run(request).await;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept, user-agent"));
    response
}

/// Redirects to the address of a share without the slash, to which the links of the page are relative.
pub async fn remove_slash_of_share(_: Negotiated, PathParam(token): PathParam<String>, uri: Uri) -> Result<Response, ApiError> {
    let token = ShareToken::parse(&token).ok_or_else(Error::no_such_share)?;
    redirect_to(token.as_str(), &uri)
}

/// As [`remove_slash_of_share`], for a collection.
pub async fn remove_slash_of_collection(
    _: Negotiated,
    PathParam(name): PathParam<CollectionName>,
    uri: Uri,
) -> Result<Response, ApiError> {
    redirect_to(name.as_str(), &uri)
}

fn redirect_to(name: &str, uri: &Uri) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(&format!("../{name}{}", query_of(uri))).map_err(Error::internal)?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}

/// Returns whether a path, with or without a slash at its end, is that of a page.
fn is_negotiable(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let name = path.strip_prefix("/s/").or_else(|| path.strip_prefix("/c/"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/')) && !OTHERS.contains(&path)
}

/// Other resources for the pages.
const OTHERS: [&str; 2] = ["/s/oembed", "/s/limits"];

/// Returns the URI of the page, or of the redirect to it.
fn page(uri: &Uri) -> Option<Uri> {
    let path = match uri.path().strip_suffix('/') {
        Some(path) => format!("{path}/slash"),
        None => format!("{}/page", uri.path()),
    };
    let path_and_query = format!("{path}{}", query_of(uri));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// Returns the query of a URI with its question mark; empty if there is none.
pub fn query_of(uri: &Uri) -> String {
    uri.query().map(|query| format!("?{query}")).unwrap_or_default()
}

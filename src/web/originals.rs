//! The originals of private animated images: the gallery shows them by signed URLs, because an image element sends no credentials.
//! Programs use `GET /images/{image_id}/download` or `GET /i/{image_id}`.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::thumbnails::{cache_until_expiry, read_signature};
use crate::http::request::extractors::{RequestUri, TurnKeyOf};
use crate::http::request::fields::Query;
use crate::http::request::parameters::PathParam;
use crate::http::sharing::public_links::{OriginalHeaders, file_response};
use crate::model::id::ImageId;
use crate::service::error::Error;
use crate::service::images::thumbnails::SendOptions;
use crate::service::sharing::public_links::RangeRequest;

/// Only the pages of the service show these files, unlike those of public links.
const RESOURCE_POLICY: HeaderValue = HeaderValue::from_static("same-origin");

pub async fn get_original(
    State(app): State<AppState>,
    TurnKeyOf(key): TurnKeyOf,
    PathParam(id): PathParam<ImageId>,
    RequestUri(uri): RequestUri,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let signature = read_signature(&Query::of(&uri)).ok_or_else(|| Error::forbidden("This URL requires a signature."))?;
    let signed = app.service.check_signature(id, &signature).await?;
    let OriginalHeaders { if_none_match, range, if_range } = OriginalHeaders::of(&method, &headers);
    let sending =
        SendOptions { is_known: &|etag| if_none_match.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    let original = app.service.signed_original(id, signed, &RangeRequest { range, if_range }, &sending).await?;
    let caching = cache_until_expiry(&signed, app.service.clock().now(), original.image.visibility);
    let mut response = file_response(original, &caching)?;
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert("cross-origin-resource-policy", RESOURCE_POLICY);
    Ok(response)
}

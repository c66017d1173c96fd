//! Share links, which expire: owners create, list and revoke them; anyone who has one can open it.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::public_links::{OriginalHeaders, file_response};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::identity::tokens::NO_STORE;
use crate::http::openapi::error_responses::{FileMissing, LimitReached, LinkExpired, NotFound, RangeNotSatisfiable};
use crate::http::request::authorization::User;
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, TurnKeyOf};
use crate::http::request::json_fields::{JsonBody, JsonFields, or_null, small_integer};
use crate::http::request::parameters::{NoQuery, PathParam, PathParams};
use crate::http::request::previewers::is_from_previewer;
use crate::model::account::ExpiringLink;
use crate::model::id::ImageId;
use crate::service::images::thumbnails::SendOptions;
use crate::service::sharing::public_links::RangeRequest;

request_fields! {
    /// The lifetime of the share link to create.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateExpiringLinkRequest, example = json!({"expires_in": 3600}))]
    pub struct NewLinkBody from JsonFields {
        /// Lifetime in seconds.
        #[schema(minimum = 300, maximum = 30000)]
        expires_in: u32 = require(small_integer(300, 30_000)),
        /// Maximum number of views; null means no limit.
        #[schema(nullable, minimum = 1, maximum = 1_000_000)]
        max_views: Option<u32> = take(or_null(small_integer(1, 1_000_000))) or None,
    }
}

/// A new share link.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedExpiringLink {
    /// The link's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// The link itself. It is shown only once.
    #[schema(example = "http://localhost:8000/view/3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    pub link: String,
    /// When the link expires.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Maximum number of views; null means no limit.
    pub max_views: Option<u32>,
}

/// A share link, without the link itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExpiringLink)]
pub struct LinkView {
    /// The link's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// When the link was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the link expires.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Maximum number of views; null means no limit.
    pub max_views: Option<u32>,
    /// Number of views so far.
    pub views: u32,
    /// Whether the link has expired: its lifetime is over, or it has reached `max_views`.
    pub expired: bool,
}

/// The share links of an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiringLinkList {
    /// The links, newest first. Expired links are listed for a week.
    pub links: Vec<LinkView>,
}

/// Create a share link
///
/// Anyone who has the link can open the original, even if the image is private. The owner only, if the plan includes share links.
/// The link stops working when its lifetime is over, it has reached `max_views`, the image is deleted, or the link is revoked.
#[utoipa::path(post, path = "/images/{image_id}/links", tag = "links", params(("image_id" = Uuid, Path, description = "The image's id.")),
    request_body(content = NewLinkBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = CreatedExpiringLink), NotFound, LimitReached))]
pub async fn create_expiring_link(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
    JsonBody(body): JsonBody<NewLinkBody>,
) -> Result<Response, ApiError> {
    let NewLinkBody { expires_in, max_views } = body;
    let (link, token) = app.service.create_link(&caller, id, expires_in, max_views).await?;
    let created = CreatedExpiringLink {
        id: link.id.to_string(),
        link: format!("{}/view/{token}", app.config.link_base),
        expires_at: time(link.expires_at),
        max_views: link.max_views,
    };
    Ok((StatusCode::CREATED, [NO_STORE], Json(created)).into_response())
}

/// List an image's share links
///
/// The owner only. The service stores only hashes of links, so it cannot show the links themselves again.
#[utoipa::path(get, path = "/images/{image_id}/links", tag = "links", params(("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The links.", body = ExpiringLinkList), NotFound))]
pub async fn list_expiring_links(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
) -> Result<Json<ExpiringLinkList>, ApiError> {
    let now = app.service.clock().now();
    let view = |link: &ExpiringLink| LinkView {
        id: link.id.to_string(),
        created_at: time(link.id.created_at()),
        expires_at: time(link.expires_at),
        max_views: link.max_views,
        views: link.views,
        expired: link.is_expired(now),
    };
    let links = app.service.list_expiring_links(&caller, id).await?.iter().map(view).collect();
    Ok(Json(ExpiringLinkList { links }))
}

/// Revoke a share link
///
/// The owner only. The link stops working immediately.
#[utoipa::path(delete, path = "/images/{image_id}/links/{token}", tag = "links",
    params(("image_id" = Uuid, Path, description = "The image's id."), ("token" = String, Path, description = "The part of the link after `/view/`, or the link's id.")),
    responses((status = 204, description = "Revoked."), NotFound))]
pub async fn delete_expiring_link(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParams(id, token): PathParams<ImageId, String>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_link(&caller, id, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Open a share link
///
/// No authentication. 403 if the link has expired; 404 if it is unknown or revoked, or the image was deleted. Each response with
/// the file counts as a view. Range requests together count as one view until they add up to the file's size. `HEAD`, 304 and
/// link previews do not count; link previews cannot open a link with `max_views` (403).
#[utoipa::path(get, path = "/view/{token}", tag = "links", params(("token" = String, Path, description = "The part of the link after `/view/`.")),
    responses(
        (status = 200, description = "The original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 206, description = "The requested part of the original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 304, description = "Not modified. Does not count as a view."),
        LinkExpired, NotFound, RangeNotSatisfiable, FileMissing))]
pub async fn open_expiring_link(
    State(app): State<AppState>,
    CallerOf(_): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathParam(token): PathParam<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let OriginalHeaders { if_none_match, range, if_range } = OriginalHeaders::of(&method, &headers);
    let sending =
        SendOptions { is_known: &|etag| if_none_match.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    let part = RangeRequest { range, if_range };
    let original = app.service.open_link(&token, &part, is_preview(&headers), &sending).await?;
    let mut response = file_response(original, "no-store")?;
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// Returns whether the request is a link preview or a prefetch: no user views the response.
fn is_preview(headers: &HeaderMap) -> bool {
    let purposes = ["purpose", "sec-purpose", "x-purpose", "x-moz"].into_iter().flat_map(|name| headers.get_all(name));
    let ahead = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        [&b"prefetch"[..], b"preview", b"prerender"].iter().any(|word| memchr::memmem::find(&value, word).is_some())
    };
    purposes.into_iter().any(ahead) || is_from_previewer(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_recognised_by_their_headers() {
        let is_preview = |name: &'static str, value: &str| {
            is_preview(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        for (name, value) in [
            ("user-agent", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"),
            ("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
            ("user-agent", "WhatsApp/2.23.20.0"),
            ("user-agent", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"),
            ("user-agent", "TelegramBot (like TwitterBot)"),
            ("purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("x-moz", "prefetch"),
        ] {
            assert!(is_preview(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("user-agent", "curl/7.88.1"),
            ("purpose", "navigate"),
            ("sec-fetch-mode", "navigate"),
        ] {
            assert!(!is_preview(name, value), "{name}: {value}");
        }
    }
}

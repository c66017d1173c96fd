//! The tiles of the gallery. The JSON is for the scripts of this version's own pages, and can change with them; programs use
//! `GET /images`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::listing::ListRequest;
use crate::http::images::views::{Base64, Text, Time};
use crate::http::request::authorization::User;
use crate::http::request::extractors::{CallerOf, RequestUri, TurnKeyOf};
use crate::http::request::paging::PageRequest;
use crate::http::request::parameters::{NoQuery, PathParam};
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::text::Title;
use crate::service::images::resize_urls::ResizeUrl;
use crate::service::images::tiles::{Tile, TilePage};

/// A page of tiles.
#[derive(Debug, Serialize)]
pub(super) struct TilePageView<'a, T> {
    tiles: Vec<T>,
    total: u64,
    next: Option<&'a str>,
}

/// An image of the gallery.
#[derive(Debug, Serialize)]
pub(super) struct TileView<'a> {
    id: Text<ImageId>,
    /// The size of the original in pixels, as displayed.
    width: u32,
    height: u32,
    /// The title, or else the caption.
    title: Option<&'a str>,
    file_name: &'a str,
    user_id: &'a str,
    private: bool,
    /// Whether the original is animated and its public link works.
    animated: bool,
    created_at: Text<Time>,
    /// A ThumbHash in base64.
    placeholder: Text<Base64<'a>>,
    /// The stored sizes, narrowest first.
    sizes: Vec<SizeView<'a>>,
    /// The sizes that are created when they are first requested.
    large: Vec<SizeView<'a>>,
}

/// A resized image.
#[derive(Debug, Serialize)]
struct SizeView<'a> {
    width: u32,
    height: u32,
    /// The signed query of `images/{id}/thumbnail`.
    query: &'a str,
}

pub async fn list_tiles(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let ListRequest { filter, collection, limit, token } = ListRequest::of(&uri)?;
    let page = app.service.list_tiles(&caller, &key, filter, collection.as_ref(), limit, token.as_deref()).await?;
    Ok(Json(TilePageView::new(&page)).into_response())
}

pub async fn get_tile(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<ImageId>,
) -> Result<Response, ApiError> {
    let tile = app.service.find_tile(&caller, id).await?;
    Ok(Json(TileView::new(&tile)).into_response())
}

/// An image in the trash.
#[derive(Debug, Serialize)]
struct TrashedTileView<'a> {
    #[serde(flatten)]
    tile: TileView<'a>,
    deleted_at: Text<Time>,
    purged_after: Text<Time>,
}

pub async fn list_trash(
    State(app): State<AppState>,
    User(caller): User,
    PageRequest { limit, token, .. }: PageRequest,
) -> Result<Response, ApiError> {
    let (page, total) = app.service.list_trash_tiles(&caller, limit, token.as_deref()).await?;
    let tiles = page.items.iter().map(|(tile, trashed)| TrashedTileView {
        tile: TileView::new(tile),
        deleted_at: Text(Time(trashed.deleted_at)),
        purged_after: Text(Time(trashed.purged_after)),
    });
    Ok(Json(TilePageView { tiles: tiles.collect(), total, next: page.next.as_deref() }).into_response())
}

impl<'a> TilePageView<'a, TileView<'a>> {
    pub(super) fn new(page: &'a TilePage) -> Self {
        Self { tiles: page.tiles.iter().map(TileView::new).collect(), total: page.total, next: page.next.as_deref() }
    }
}

impl<'a> TileView<'a> {
    pub(super) fn new(tile: &'a Tile) -> Self {
        let image = &tile.image;
        Self {
            id: Text(image.id),
            width: image.width,
            height: image.height,
            title: image.title.as_ref().map(Title::as_str).or(image.caption.text.as_deref()),
            file_name: image.file_name.as_str(),
            user_id: image.user_id.as_str(),
            private: image.visibility == Visibility::Private,
            animated: image.metadata.animated && image.plan_includes_original(),
            created_at: Text(Time(image.id.created_at())),
            placeholder: Text(Base64(&image.placeholder)),
            sizes: sizes(&tile.thumbnails),
            large: sizes(&tile.large),
        }
    }
}

fn sizes(urls: &[ResizeUrl]) -> Vec<SizeView<'_>> {
    urls.iter().map(|url| SizeView { width: url.width, height: url.height, query: &url.query }).collect()
}

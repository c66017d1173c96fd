//! The tiles of the gallery. The JSON is for the scripts of this version's own pages, and can change with them; programs use
//! `GET /images`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::listing::ListRequest;
use crate::http::images::views::{self as api, Base64, Text, Time};
use crate::http::request::authorization::User;
use crate::http::request::extractors::{CallerOf, RequestUri, TurnKeyOf};
use crate::http::request::paging::PageRequest;
use crate::http::request::parameters::{NoQuery, PathParam};
use crate::http::sharing::shared_images::SharedSizes;
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::model::share::Share;
use crate::model::text::{Description, Title};
use crate::service::images::resize_urls::ResizeUrl;
use crate::service::images::tiles::{Tile, TilePage};

/// A page of tiles.
#[derive(Debug, Serialize)]
pub struct TilePageView<'a, T> {
    pub tiles: Vec<T>,
    pub total: u64,
    pub next: Option<&'a str>,
}

/// An image of the gallery.
#[derive(Debug, Serialize)]
pub struct TileView<'a> {
    id: Text<ImageId>,
    /// The size of the original in pixels, as displayed.
    pub width: u32,
    pub height: u32,
    /// The title, or else the caption.
    title: Option<&'a str>,
    description: Option<&'a str>,
    file_name: &'a str,
    /// Empty in a share.
    user_id: &'a str,
    private: bool,
    animated: bool,
    /// The URL of the original, if the page can show it without credentials: public ones, and signed for private animated ones.
    original: Option<String>,
    created_at: Text<Time>,
    /// A ThumbHash in base64.
    placeholder: Text<Base64<'a>>,
    /// The stored sizes, narrowest first.
    pub sizes: Vec<SizeView>,
    /// The sizes that are created when they are first requested.
    large: Vec<SizeView>,
}

/// A resized image.
#[derive(Debug, Serialize)]
pub struct SizeView {
    pub width: u32,
    pub height: u32,
    /// Relative to the base URL of the service.
    pub url: String,
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

/// A page of the trash.
#[derive(Debug, Serialize)]
struct TrashView<'a> {
    #[serde(flatten)]
    page: TilePageView<'a, TrashedTileView<'a>>,
    taken_down: TakenDownView<'a>,
}

/// The images that administrators have taken down, of which their owner sees only the names.
#[derive(Debug, Serialize)]
struct TakenDownView<'a> {
    /// Titles, captions or file names, the most recently deleted first.
    names: Vec<&'a str>,
    has_more: bool,
}

/// The most names in a page of the trash.
const TAKEN_DOWN: u32 = 10;

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
    let page = TilePageView { tiles: tiles.collect(), total, next: page.next.as_deref() };
    let taken_down = app.service.list_taken_down(&caller, TAKEN_DOWN + 1).await?;
    let names = taken_down.iter().map(|image| title_of(image).unwrap_or(image.file_name.as_str()));
    let mut taken_down = TakenDownView { names: names.collect(), has_more: taken_down.len() > TAKEN_DOWN as usize };
    taken_down.names.truncate(TAKEN_DOWN as usize);
    Ok(Json(TrashView { page, taken_down }).into_response())
}

impl<'a> TilePageView<'a, TileView<'a>> {
    pub(super) fn new(page: &'a TilePage) -> Self {
        Self { tiles: page.tiles.iter().map(TileView::new).collect(), total: page.total, next: page.next.as_deref() }
    }
}

impl<'a> TileView<'a> {
    pub fn new(tile: &'a Tile) -> Self {
        let image = &tile.image;
        let signed = tile.original.as_ref().map(|query| format!("app/tiles/{}/original?{query}", image.id));
        let original = signed.or_else(|| has_public_link(image).then(|| format!("i/{}", image.id)));
        let (sizes, large) = (sizes(image.id, &tile.thumbnails), sizes(image.id, &tile.large));
        let private = image.visibility == Visibility::Private;
        Self { user_id: image.user_id.as_str(), private, ..Self::of(image, original, sizes, large) }
    }

    fn of(image: &'a Image, original: Option<String>, sizes: Vec<SizeView>, large: Vec<SizeView>) -> Self {
        Self {
            id: Text(image.id),
            width: image.width,
            height: image.height,
            title: title_of(image),
            description: image.description.as_ref().map(Description::as_str),
            file_name: image.file_name.as_str(),
            user_id: "",
            private: false,
            animated: image.metadata.animated,
            original,
            created_at: Text(Time(image.id.created_at())),
            placeholder: Text(Base64(&image.placeholder)),
            sizes,
            large,
        }
    }

    /// Returns the tile of an image of a share. Visitors do not learn whose it is, and who else can see it.
    pub fn of_share(app: &AppState, share: &Share, image: &'a Image) -> Self {
        let base = format!("s/{}", share.token.as_str());
        let view = |(size, path): (api::SizeView, String)| SizeView {
            width: size.width,
            height: size.height,
            url: format!("{base}/{path}"),
        };
        let SharedSizes { stored, large } = SharedSizes::of(&app.service, image);
        let original = image.plan_includes_original().then(|| format!("{base}/images/{}", image.id));
        Self::of(image, original, stored.into_iter().map(view).collect(), large.into_iter().map(view).collect())
    }
}

fn title_of(image: &Image) -> Option<&str> {
    image.title.as_ref().map(Title::as_str).or(image.caption.text.as_deref())
}

fn has_public_link(image: &Image) -> bool {
    image.visibility == Visibility::Public && image.plan_includes_original()
}

fn sizes(id: ImageId, urls: &[ResizeUrl]) -> Vec<SizeView> {
    let view = |ResizeUrl { query, width, height }: &ResizeUrl| SizeView {
        width: *width,
        height: *height,
        url: format!("images/{id}/thumbnail?{query}"),
    };
    urls.iter().map(view).collect()
}

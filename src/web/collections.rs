//! The collections of the user and their tiles. As in `tiles.rs`, the JSON is for the pages only; programs use
//! `GET /collections`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::tiles::{TilePageView, TileView};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::views::Text;
use crate::http::request::authorization::User;
use crate::http::request::paging::PageRequest;
use crate::http::request::parameters::PathParam;
use crate::model::collection::CollectionName;
use crate::model::id::ImageId;
use crate::service::sharing::collection_tiles::CollectionCard;

/// A page of collections, newest first.
#[derive(Debug, Serialize)]
struct CardPageView<'a> {
    cards: Vec<CardView<'a>>,
    next: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct CardView<'a> {
    name: &'a str,
    visibility: &'a str,
    /// The number of images that the user sees.
    count: u64,
    /// The first of them.
    cover: Option<TileView<'a>>,
}

/// A page of the tiles of a collection, in its order.
#[derive(Debug, Serialize)]
struct CollectionTilesView<'a> {
    #[serde(flatten)]
    page: TilePageView<'a, TileView<'a>>,
    visibility: &'a str,
    /// The last image of the collection, on whatever page it is.
    last: Option<Text<ImageId>>,
}

pub async fn list_cards(
    State(app): State<AppState>,
    User(caller): User,
    PageRequest { limit, token, .. }: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_collection_cards(&caller, limit, token.as_deref()).await?;
    let cards = page.items.iter().map(CardView::new).collect();
    Ok(Json(CardPageView { cards, next: page.next.as_deref() }).into_response())
}

pub async fn list_tiles(
    State(app): State<AppState>,
    User(caller): User,
    PathParam(name): PathParam<CollectionName>,
    PageRequest { limit, token, .. }: PageRequest,
) -> Result<Response, ApiError> {
    let found = app.service.list_collection_tiles(&caller, &name, limit, token.as_deref()).await?;
    let view = CollectionTilesView {
        page: TilePageView::new(&found.page),
        visibility: found.collection.visibility.name(),
        last: found.last.map(Text),
    };
    Ok(Json(view).into_response())
}

impl<'a> CardView<'a> {
    fn new(card: &'a CollectionCard) -> Self {
        Self {
            name: card.collection.name.as_str(),
            visibility: card.collection.visibility.name(),
            count: card.image_count,
            cover: card.cover.as_ref().map(TileView::new),
        }
    }
}

//! The list of deleted images.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::views::{ImageView, Text, Time};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::authorization::User;
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::service::images::trash::TrashedImage;

/// An image in the trash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrashedImage)]
pub struct TrashedImageView<'a> {
    /// The image. It has no URLs until it is restored.
    #[schema(value_type = ImageView)]
    pub image: ImageView<'a>,
    /// When the image was deleted, to the millisecond.
    #[schema(value_type = String, format = DateTime)]
    pub deleted_at: Text<Time>,
    /// When the image is purged at the earliest, unless the trash exceeds its limit before.
    #[schema(value_type = String, format = DateTime)]
    pub purged_after: Text<Time>,
}

/// A page of the trash, most recently deleted first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrashPage)]
pub struct TrashPageView<'a> {
    /// The images on this page.
    pub images: Vec<TrashedImageView<'a>>,
    /// Exact number of images in the trash.
    pub total_count: u64,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List your deleted images
///
/// Most recently deleted first. They can be restored until they are purged. Images that an administrator has deleted are not listed.
#[utoipa::path(get, path = "/trash", tag = "images", params(PageQuery),
    responses((status = 200, description = "A page of deleted images.", body = TrashPageView)))]
pub async fn list_trash(State(app): State<AppState>, request: PageRequest, User(caller): User) -> Result<Response, ApiError> {
    let (page, total_count) = app.service.list_trash(&caller, request.limit, request.token.as_deref()).await?;
    let next_page_token = page.next.as_deref();
    let images = page.items.iter().map(TrashedImageView::new).collect();
    let view = TrashPageView { images, total_count, next_page_token, has_more: next_page_token.is_some() };
    Ok(with_next(&app, &request.uri, next_page_token, Json(&view).into_response())?)
}

impl<'a> TrashedImageView<'a> {
    fn new(trashed: &'a TrashedImage) -> Self {
        let &TrashedImage { ref image, deleted_at, purged_after } = trashed;
        Self { image: ImageView::new(image, None), deleted_at: Text(Time(deleted_at)), purged_after: Text(Time(purged_after)) }
    }
}

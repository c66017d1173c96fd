//! Image metadata for public pages, with links to this service that do not expire.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::views::{SizeView, Texts};
use crate::http::openapi::error_responses::NotFound;
use crate::http::request::json;
use crate::http::request::parameters::FromPath;
use crate::model::caller::Caller;
use crate::model::color::Color;
use crate::model::id::ImageId;
use crate::model::image::{Image, ThumbnailSize};
use crate::model::text::{Description, Title};
use crate::objects::layout;

/// The metadata of an image for public pages, with links that do not expire.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicImage<'a> {
    /// Always `image`.
    #[serde(rename = "type")]
    #[schema(example = "image")]
    pub kind: &'static str,
    /// The public link to the original; null if the owner's plan does not include originals.
    pub url: Option<String>,
    /// The key of the original in the bucket.
    pub s3_key: String,
    /// The title; null if there is none.
    pub title: Option<&'a str>,
    /// The description; null if there is none.
    pub description: Option<&'a str>,
    /// The dimensions of the original.
    pub size: SizeView,
    /// About five dominant colours, most common first.
    #[schema(value_type = Vec<String>, example = json!(["#1a5276", "#f4d03f"]))]
    pub colors: Texts<'a, Color>,
    /// A thumbnail of each size that the service offers and the owner's plan includes, smallest first.
    pub thumbs: Vec<PublicThumbnail>,
}

/// A thumbnail with a link that does not expire.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicThumbnail {
    /// The dimensions of the thumbnail.
    pub size: SizeView,
    /// The URL of the thumbnail.
    pub url: String,
}

/// Get public image metadata
///
/// No authentication. A private image is visible only to its owner.
#[utoipa::path(get, path = "/i/{image_id}.json", tag = "links", params(("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The image's public metadata.", body = PublicImage), NotFound))]
pub async fn get_public_image(app: &AppState, caller: &Caller, id: &str) -> Result<Response, ApiError> {
    let image = app.service.find_image(caller, ImageId::from_path(id)?).await?;
    json::response(&PublicImage::new(app, &image), PublicImage::SIZE_BYTES)
}

impl<'a> PublicImage<'a> {
    /// Approximate size of an image as JSON.
    pub const SIZE_BYTES: usize = 1024;

    pub fn new(app: &AppState, image: &'a Image) -> Self {
        let (id, size) = (image.id, (image.width, image.height));
        // The sizes that clients can request now, stored or not. The configured sizes may have changed since the upload.
        let offered = app.service.thumbnail_sizes().filter(|(_, size)| image.plan_includes_thumbnail(*size));
        let thumb = |(name, thumbnail): (String, ThumbnailSize)| PublicThumbnail {
            size: SizeView::of(thumbnail.of(size)),
            url: format!("{}/images/{id}/thumbnails/{name}", app.config.link_base),
        };
        let mut thumbs: Vec<PublicThumbnail> = offered.map(thumb).collect();
        thumbs.sort_by_key(|thumb| u64::from(thumb.size.width) * u64::from(thumb.size.height));
        Self {
            kind: "image",
            url: image.plan_includes_original().then(|| app.config.public_link(id)),
            s3_key: layout::stored_key(image, layout::ORIGINAL),
            title: image.title.as_ref().map(Title::as_str),
            description: image.description.as_ref().map(Description::as_str),
            size: SizeView::of(size),
            colors: Texts(&image.colors),
            thumbs,
        }
    }
}

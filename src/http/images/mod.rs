//! Images: get, download, update, delete, and restore.

pub mod json_cache;
pub mod listing;
pub mod page_view;
pub mod resize_urls;
pub mod thumbnails;
pub mod trash;
pub mod uploads;
pub mod views;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use self::views::ImageView;
use super::AppState;
use super::error::ApiError;
use super::openapi::error_responses::{Conflict, Gone, NotFound, QuotaOrForbidden};
use super::request::extractors::CallerOf;
use super::request::fields::{Query, boolean, integer};
use super::request::json;
use crate::http::request::authorization::User;
use crate::http::request::declared::request_fields;
use crate::http::request::json_fields::{JsonBody, JsonFields};
use crate::http::request::parameters::{NoQuery, PathParam, QueryParams};
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::images::ImageChange;
use crate::service::images::presigned_urls::{Disposition, Links};

request_fields! {
    /// What the response with an image includes.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct GetImageQuery from Query {
        /// Whether to include presigned URLs. Defaults to true.
        #[param(value_type = Option<bool>)]
        include_url: bool = take(boolean) or true,
        /// Maximum number of seconds to wait for a `pending` caption. Defaults to 0.
        #[param(value_type = Option<u32>, minimum = 0, maximum = 30)]
        wait: u32 = take(integer(0..=30)) or 0,
    }
}

/// Get an image
///
/// Returns the image's metadata. Send `wait` to wait for its caption.
#[utoipa::path(get, path = "/images/{image_id}", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id."), GetImageQuery),
    responses((status = 200, description = "The image.", body = ImageView), NotFound))]
pub async fn get_image(
    State(app): State<AppState>,
    QueryParams(GetImageQuery { include_url, wait }): QueryParams<GetImageQuery>,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<ImageId>,
) -> Result<Response, ApiError> {
    let wait = Duration::from_secs(wait.into());
    let image = app.service.find_captioned_image(&caller, id, wait).await?;
    if !include_url {
        return image_response(&image, None);
    }
    let json = app.image_json.get(&image, &mut app.service.link_signer().await?)?;
    json::response(&json, json.length())
}

pub(super) fn image_response(image: &Image, links: Option<&Links>) -> Result<Response, ApiError> {
    json::response(&ImageView::new(image, links), ImageView::SIZE_BYTES)
}

request_fields! {
    /// The presigned URL to create.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct DownloadQuery from Query {
        /// Lifetime of the URL in seconds. Defaults to 3600.
        #[param(value_type = Option<u32>, minimum = 60, maximum = 86400)]
        expires_in: u32 = take(integer(60..=86_400)) or 3600,
        /// Whether browsers save the file instead of displaying it. Defaults to false.
        #[param(value_type = Option<bool>)]
        attachment: bool = take(boolean) or false,
    }
}

/// A presigned URL of an original.
#[derive(Debug, Serialize, ToSchema)]
pub struct DownloadUrl {
    /// The image's id.
    #[schema(format = Uuid)]
    pub image_id: String,
    /// The presigned URL. Anyone who has it can download the original, with its media type and file name.
    pub download_url: String,
    /// Lifetime of the URL in seconds.
    pub expires_in: u32,
    /// The media type of the original.
    #[schema(example = "image/jpeg")]
    pub content_type: String,
    /// Size of the original in bytes.
    pub file_size: u64,
}

/// Get a download URL
///
/// Returns a presigned URL of the original. It works without authentication until it expires or the image is deleted.
#[utoipa::path(get, path = "/images/{image_id}/download", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id."), DownloadQuery),
    responses((status = 200, description = "A presigned URL.", body = DownloadUrl), NotFound))]
pub async fn get_download_url(
    State(app): State<AppState>,
    QueryParams(DownloadQuery { expires_in, attachment }): QueryParams<DownloadQuery>,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<ImageId>,
) -> Result<Json<DownloadUrl>, ApiError> {
    let how = if attachment { Disposition::Attachment } else { Disposition::Inline };
    let download = app.service.download(&caller, id, expires_in, how).await?;
    Ok(Json(DownloadUrl {
        image_id: download.image.id.to_string(),
        download_url: download.url,
        expires_in,
        content_type: download.image.format.content_type().to_owned(),
        file_size: download.image.file_size,
    }))
}

request_fields! {
    /// The fields of an image to change. Omitted fields keep their value.
    #[derive(Debug, ToSchema)]
    #[schema(as = UpdateImageRequest, example = json!({"title": "Dusk", "description": null, "tags": ["sea", "evening"]}))]
    pub struct ImageChangeBody from JsonFields {
        /// The title. U+0000 is not allowed. Null removes the title.
        #[schema(value_type = Option<String>, max_length = 200, nullable)]
        title: Option<Option<Title>> = take(|value| Title::parse(&text_or_null(value)?)),
        /// The description. U+0000 is not allowed. Null removes the description.
        #[schema(value_type = Option<String>, max_length = 1000, nullable)]
        description: Option<Option<Description>> = take(|value| Description::parse(&text_or_null(value)?)),
        /// The tags, which replace the previous ones: up to ten, each of up to 50 letters, digits, spaces, hyphens and underscores.
        /// Null removes all tags. A string of tags separated by commas is accepted, too.
        #[schema(value_type = Option<Vec<String>>, nullable, max_items = 10)]
        tags: Option<Vec<Tag>> = take(|value| read_tags(&value)),
        /// Who can see the image.
        #[schema(value_type = super::openapi::enums::VisibilitySchema, required = false)]
        visibility: Option<Visibility> = take(|value| read_visibility(&value)),
    }
}

/// Update an image
///
/// The owner only. A new visibility takes effect immediately, but presigned URLs that were issued before stay valid until they
/// expire, and caches can keep what they were permitted to keep.
#[utoipa::path(patch, path = "/images/{image_id}", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id.")),
    request_body(content = ImageChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated image.", body = ImageView), NotFound))]
pub async fn update_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
    JsonBody(body): JsonBody<ImageChangeBody>,
) -> Result<Response, ApiError> {
    let ImageChangeBody { title, description, tags, visibility } = body;
    let change = ImageChange { title, description, tags, visibility };
    let (image, links) = app.service.update_image(&caller, id, change).await?;
    image_response(&image, Some(&links))
}

pub(super) fn text_or_null(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(String::new()),
        _ => Err("must be a string or null".to_owned()),
    }
}

pub(super) fn read_visibility(value: &Value) -> Result<Visibility, String> {
    match value {
        Value::String(text) => Visibility::parse(text),
        _ => Visibility::parse(""),
    }
}

pub(super) fn read_tags(value: &Value) -> Result<Vec<Tag>, String> {
    let rule = || "must be a list of strings, a string of tags separated by commas, or null".to_owned();
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Tag::parse_list(text),
        // Counts empty and equal tags, too, although they would be dropped: the length of the list must be limited.
        Value::Array(items) if items.len() > Tag::MAX_PER_IMAGE => Err(format!("must have at most {} tags", Tag::MAX_PER_IMAGE)),
        Value::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().ok_or_else(rule)).collect::<Result<Vec<_>, _>>()?;
            Tag::parse_all(texts)
        }
        _ => Err(rule()),
    }
}

/// The confirmation that an image was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedImage {
    /// A confirmation for people.
    #[schema(example = "Image deleted successfully")]
    pub message: &'static str,
    /// The image's id.
    #[schema(format = Uuid)]
    pub image_id: String,
}

request_fields! {
    /// How to delete an image.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct DeleteImageQuery from Query {
        /// Whether to purge the image immediately, so that it cannot be restored. The owner only. Also works for images that are
        /// already deleted. Defaults to false.
        #[param(value_type = Option<bool>)]
        purge: bool = take(boolean) or false,
    }
}

/// Delete an image
///
/// The owner or an administrator. The image can be restored until it is purged. Presigned URLs that were issued before stop
/// working, unless the operator has decided otherwise for deletions by owners. A restored image has new ones.
#[utoipa::path(delete, path = "/images/{image_id}", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id."), DeleteImageQuery),
    responses((status = 200, description = "Deleted.", body = DeletedImage), NotFound, Gone))]
pub async fn delete_image(
    State(app): State<AppState>,
    QueryParams(query): QueryParams<DeleteImageQuery>,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
) -> Result<Json<DeletedImage>, ApiError> {
    let message = if query.purge {
        app.service.purge_image(&caller, id).await?;
        "Image purged successfully"
    } else {
        app.service.delete_image(&caller, id).await?;
        "Image deleted successfully"
    };
    Ok(Json(DeletedImage { message, image_id: id.to_string() }))
}

/// Restore a deleted image
///
/// Works until the image is purged. The owner only; administrators can restore images that an administrator has deleted.
#[utoipa::path(post, path = "/images/{image_id}/restore", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "Restored.", body = ImageView),
        (status = 204, description = "Restored. No body, because administrators cannot view private images."), QuotaOrForbidden, NotFound, Conflict))]
pub async fn restore_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
) -> Result<Response, ApiError> {
    match app.service.restore_image(&caller, id).await? {
        Some((image, links)) => image_response(&image, Some(&links)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Create a caption
///
/// Queues the image for captioning. `caption_status` is `pending` until the caption is ready; an existing caption stays until
/// then. The owner only.
#[utoipa::path(post, path = "/images/{image_id}/caption", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 202, description = "Accepted.", body = ImageView), NotFound, Conflict))]
pub async fn create_caption(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ImageId>,
) -> Result<Response, ApiError> {
    let (image, links) = app.service.request_caption(&caller, id).await?;
    Ok((StatusCode::ACCEPTED, image_response(&image, Some(&links))?).into_response())
}

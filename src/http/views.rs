//! What images look like to clients. Nothing but shapes, and how they are filled.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::image::{Image, Metadata, Thumbnail, ThumbnailSize};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::images::ImagePage;
use crate::service::presign::Links;

/// An image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub struct ImageView {
    /// A UUIDv7, lower case with hyphens.
    #[schema(format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub image_id: String,
    /// RFC 3339 in UTC, to the millisecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created_at: String,
    /// RFC 3339 in UTC, to the microsecond.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.123456Z")]
    pub updated_at: String,
    pub user_id: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// The client's name of the file.
    pub file_name: String,
    /// Of the stored original, in bytes.
    pub file_size: u64,
    #[schema(example = "image/jpeg")]
    pub content_type: String,
    /// In pixels, as displayed.
    pub width: u32,
    /// In pixels, as displayed.
    pub height: u32,
    #[schema(example = "jpeg")]
    pub format: String,
    /// Presigned; null with `include_url=false`.
    pub download_url: Option<String>,
    /// Presigned, of the `small` thumbnail; null with `include_url=false`.
    pub thumbnail_url: Option<String>,
    pub thumbnails: ThumbnailsView,
    /// About five dominant colours, most common first.
    #[schema(example = json!(["#1a5276", "#f4d03f"]))]
    pub colors: Vec<String>,
    /// A ThumbHash (<https://evanw.github.io/thumbhash/>) in base64.
    pub placeholder: String,
    /// Of the stored original, in hexadecimal.
    pub sha256: String,
    pub metadata: MetadataView,
    /// Null: no captions are made yet.
    pub caption: Option<String>,
    /// Seconds that decoding and thumbnails took.
    #[schema(example = 0.043)]
    pub processing_time: f64,
}

/// The thumbnails made at upload: the picture within 128×128 and within 512×512 pixels, never enlarged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnails)]
pub struct ThumbnailsView {
    pub small: Option<ThumbnailView>,
    pub medium: Option<ThumbnailView>,
}

/// A thumbnail: JPEG, or WebP where the picture has transparency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnail)]
pub struct ThumbnailView {
    pub width: u32,
    pub height: u32,
    /// Presigned; null with `include_url=false`.
    pub url: Option<String>,
}

/// What the file says of itself, and nothing that tells where it was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metadata)]
pub struct MetadataView {
    /// When the picture was taken, as the file says; with an offset only if the file has one.
    #[schema(example = "2019-04-16T18:19:50")]
    pub created_at: Option<String>,
    pub modified_at: Option<String>,
    pub camera: Option<String>,
    /// EXIF orientation; already applied to `width`, `height` and the thumbnails.
    #[schema(minimum = 1, maximum = 8)]
    pub orientation: u8,
    pub has_alpha: bool,
    pub animated: bool,
    pub frames: u32,
}

/// A page of images, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagePage)]
pub struct ImagePageView {
    pub images: Vec<ImageView>,
    /// Exact number of images that match the filters, on all pages.
    pub total_count: u64,
    /// Opaque, and bound to the filters; null on the last page.
    pub next_page_token: Option<String>,
    pub has_more: bool,
}

impl ImageView {
    pub fn new(image: &Image, links: Option<&Links>) -> Self {
        let thumbnail = |size| ThumbnailView::new(image, links, size);
        Self {
            image_id: image.id.to_string(),
            created_at: time(image.id.created_at()),
            updated_at: time(image.updated_at),
            user_id: image.user_id.to_string(),
            title: image.title.as_ref().map(Title::as_str).map(str::to_owned),
            description: image.description.as_ref().map(Description::as_str).map(str::to_owned),
            tags: image.tags.iter().map(Tag::to_string).collect(),
            file_name: image.file_name.to_string(),
            file_size: image.file_size,
            content_type: image.format.content_type().to_owned(),
            width: image.width,
            height: image.height,
            format: image.format.to_string(),
            download_url: links.map(|links| links.original.clone()),
            thumbnail_url: links.and_then(|links| links.thumbnail(image, ThumbnailSize::Small)).map(str::to_owned),
            thumbnails: ThumbnailsView { small: thumbnail(ThumbnailSize::Small), medium: thumbnail(ThumbnailSize::Medium) },
            colors: image.colors.iter().map(ToString::to_string).collect(),
            placeholder: STANDARD.encode(&image.placeholder),
            sha256: hex::encode(image.sha256),
            metadata: MetadataView::new(&image.metadata),
            caption: None,
            processing_time: image.processing_time.as_secs_f64(),
        }
    }
}

impl ThumbnailView {
    fn new(image: &Image, links: Option<&Links>, size: ThumbnailSize) -> Option<Self> {
        let &Thumbnail { width, height, .. } = image.thumbnails.iter().find(|thumbnail| thumbnail.size == size)?;
        let url = links.and_then(|links| links.thumbnail(image, size)).map(str::to_owned);
        Some(Self { width, height, url })
    }
}

impl MetadataView {
    fn new(metadata: &Metadata) -> Self {
        let Metadata { created_at, modified_at, camera, orientation, has_alpha, animated, frames } = metadata.clone();
        Self { created_at, modified_at, camera, orientation, has_alpha, animated, frames }
    }
}

impl ImagePageView {
    pub fn new(page: &ImagePage) -> Self {
        Self {
            images: page.images.iter().map(|(image, links)| ImageView::new(image, Some(links))).collect(),
            total_count: page.total,
            has_more: page.next.is_some(),
            next_page_token: page.next.clone(),
        }
    }
}

/// With as many digits as the time needs: none, three or six.
fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

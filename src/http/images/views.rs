//! What images look like to clients. Nothing but shapes, and how they are filled.
//!
//! Texts are borrowed, and what has to be spelled is spelled into the body as it is written: twenty images have a
//! thousand texts, and copying each was a third of a page's cost.

use std::fmt::{self, Display};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::model::color::Color;
use crate::model::id::ImageId;
use crate::model::image::{self, Image, Metadata, PixelSize, Thumbnail, ThumbnailSize};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::images::ImagePage;
use crate::service::images::presigned_urls::Links;

/// The metadata of an image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image, example = crate::http::openapi::examples::image)]
pub struct ImageView<'a> {
    /// The image's id, a UUIDv7 in lower case with hyphens.
    #[schema(value_type = String, format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub image_id: Text<ImageId>,
    /// When the image was uploaded, to the millisecond.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub created_at: Text<Time>,
    /// When the metadata was last changed, to the millisecond.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.123Z")]
    pub updated_at: Text<Time>,
    /// The user id of the owner.
    #[schema(example = "user123")]
    pub user_id: &'a str,
    /// Who can see the image.
    #[schema(value_type = crate::http::openapi::enums::VisibilityWord)]
    pub visibility: &'a str,
    /// The title; null if there is none.
    pub title: Option<&'a str>,
    /// The description; null if there is none.
    pub description: Option<&'a str>,
    /// The tags, in lower case.
    #[schema(value_type = Vec<String>)]
    pub tags: Texts<'a, Tag>,
    /// The name of the uploaded file.
    pub file_name: &'a str,
    /// Size of the stored original in bytes.
    pub file_size: u64,
    /// The media type of the stored original.
    #[schema(example = "image/jpeg")]
    pub content_type: &'a str,
    /// Width in pixels, as displayed.
    pub width: u32,
    /// Height in pixels, as displayed.
    pub height: u32,
    /// The file format of the original.
    #[schema(value_type = crate::http::openapi::enums::ImageFormatWord)]
    pub format: &'a str,
    /// Presigned URL of the original; null with `include_url=false`, or if the owner's plan does not include originals.
    pub download_url: Option<&'a str>,
    /// Presigned URL of the `small` thumbnail; null with `include_url=false`, or if the owner's plan does not include it.
    pub thumbnail_url: Option<&'a str>,
    /// The thumbnails created during the upload.
    pub thumbnails: ThumbnailsView<'a>,
    /// About five dominant colours, most common first.
    #[schema(value_type = Vec<String>, example = json!(["#1a5276", "#f4d03f"]))]
    pub colors: Texts<'a, Color>,
    /// A ThumbHash (<https://evanw.github.io/thumbhash/>) in base64.
    #[schema(value_type = String)]
    pub placeholder: Text<Base64<'a>>,
    /// SHA-256 of the stored original, in hexadecimal.
    #[schema(value_type = String)]
    pub sha256: Text<Hex<'a>>,
    /// The metadata in the file.
    pub metadata: MetadataView<'a>,
    /// A description of the content, written by a model; null until one is ready.
    #[schema(example = "a red circle on a blue background")]
    pub caption: Option<&'a str>,
    /// The state of the caption.
    #[schema(value_type = crate::http::openapi::enums::CaptionStatusWord)]
    pub caption_status: &'static str,
    /// The model that wrote `caption`; null if there is none.
    pub caption_model: Option<&'a str>,
    /// Why no caption could be created; null unless `caption_status` is `failed`.
    pub caption_error: Option<&'a str>,
    /// Seconds that decoding and thumbnails took.
    #[schema(example = 0.043)]
    pub processing_time: f64,
}

/// The thumbnails created during the upload, never enlarged. A thumbnail is null if the owner's plan does not include it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnails)]
pub struct ThumbnailsView<'a> {
    /// Within 128×128 pixels.
    pub small: Option<ThumbnailView<'a>>,
    /// Within 512×512 pixels.
    pub medium: Option<ThumbnailView<'a>>,
}

/// A thumbnail: JPEG, or WebP if the image has transparency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnail)]
pub struct ThumbnailView<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Presigned URL; null with `include_url=false`.
    pub url: Option<&'a str>,
}

/// The metadata in the file. The location is not part of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metadata)]
pub struct MetadataView<'a> {
    /// When the photo was taken, according to the file; with an offset only if the file has one.
    #[schema(example = "2019-04-16T18:19:50")]
    pub created_at: Option<&'a str>,
    /// When the file was last modified, according to the file.
    pub modified_at: Option<&'a str>,
    /// The make and model of the camera.
    pub camera: Option<&'a str>,
    /// The EXIF orientation. It is already applied to `width`, `height` and the thumbnails.
    #[schema(minimum = 1, maximum = 8)]
    pub orientation: u8,
    /// Whether the image has an alpha channel.
    pub has_alpha: bool,
    /// Whether the image is animated.
    pub animated: bool,
    /// Number of frames; 1 unless the image is animated.
    pub frames: u32,
    /// What became of the file's Content Credentials (C2PA); null for images stored before this was recorded.
    pub credentials: Option<Credentials>,
    /// The original size of an image that was scaled down to the limits of the service; null for all others.
    pub shrunk_from: Option<SizeView>,
}

/// What became of the Content Credentials (C2PA) of a file when it was stored. They are not validated.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// The stored file has them as they came: a manifest, or the address of one.
    Kept,
    /// They named the place where the picture was taken, or removing the location from the file made them invalid.
    Removed,
    /// The file had none.
    None,
}

/// A width and a height, as displayed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Dimensions)]
pub struct SizeView {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl SizeView {
    pub fn of((width, height): (u32, u32)) -> Self {
        Self { width, height }
    }
}

/// A page of images, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagePage, example = crate::http::openapi::examples::image_page)]
pub struct ImagePageView<'a> {
    /// The images on this page.
    pub images: Vec<ImageView<'a>>,
    /// Exact number of images that match the filters, on all pages.
    pub total_count: u64,
    /// The `page_token` of the next page, valid with the same filters; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

impl<'a> ImageView<'a> {
    /// Bytes that one takes as JSON, or a little less: most of them are presigned URLs.
    pub const SIZE_BYTES: usize = 4096;

    pub fn new(image: &'a Image, links: Option<&'a Links>) -> Self {
        let thumbnail = |size| ThumbnailView::new(image, links, size);
        Self {
            image_id: Text(image.id),
            created_at: Text(Time(image.id.created_at())),
            updated_at: Text(Time(image.updated_at)),
            user_id: image.user_id.as_str(),
            visibility: image.visibility.name(),
            title: image.title.as_ref().map(Title::as_str),
            description: image.description.as_ref().map(Description::as_str),
            tags: Texts(&image.tags),
            file_name: image.file_name.as_str(),
            file_size: image.file_size,
            content_type: image.format.content_type(),
            width: image.width,
            height: image.height,
            format: image.format.name(),
            download_url: links.and_then(|links| links.original.as_deref()),
            thumbnail_url: links.and_then(|links| links.thumbnail(ThumbnailSize::Small)),
            thumbnails: ThumbnailsView { small: thumbnail(ThumbnailSize::Small), medium: thumbnail(ThumbnailSize::Medium) },
            colors: Texts(&image.colors),
            placeholder: Text(Base64(&image.placeholder)),
            sha256: Text(Hex(&image.sha256)),
            metadata: MetadataView::new(&image.metadata),
            caption: image.caption.text.as_deref(),
            caption_status: image.caption.status.name(),
            caption_model: image.caption.model.as_deref(),
            caption_error: image.caption.error.as_deref(),
            processing_time: image.processing_time.as_secs_f64(),
        }
    }
}

impl<'a> ThumbnailView<'a> {
    fn new(image: &'a Image, links: Option<&'a Links>, size: ThumbnailSize) -> Option<Self> {
        let &Thumbnail { width, height, .. } = image.thumbnails.iter().find(|thumbnail| thumbnail.size == size)?;
        image.plan_includes_thumbnail(size).then(|| Self { width, height, url: links.and_then(|links| links.thumbnail(size)) })
    }
}

impl<'a> MetadataView<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let &Metadata {
            ref created_at,
            ref modified_at,
            ref camera,
            orientation,
            has_alpha,
            animated,
            frames,
            credentials,
            shrunk_from,
        } = metadata;
        let (created_at, modified_at, camera) = (created_at.as_deref(), modified_at.as_deref(), camera.as_deref());
        let credentials = credentials.map(Credentials::from);
        let shrunk_from = shrunk_from.map(|PixelSize { width, height }| SizeView::of((width, height)));
        Self { created_at, modified_at, camera, orientation, has_alpha, animated, frames, credentials, shrunk_from }
    }
}

impl From<image::Credentials> for Credentials {
    fn from(credentials: image::Credentials) -> Self {
        match credentials {
            image::Credentials::Kept => Self::Kept,
            image::Credentials::Removed => Self::Removed,
            image::Credentials::None => Self::None,
        }
    }
}

impl<'a> ImagePageView<'a> {
    pub fn new(page: &'a ImagePage) -> Self {
        Self {
            images: page.images.iter().map(|(image, links)| ImageView::new(image, Some(links))).collect(),
            total_count: page.total,
            has_more: page.next.is_some(),
            next_page_token: page.next.as_deref(),
        }
    }

    /// See [`ImageView::SIZE_BYTES`].
    pub fn size_bytes(&self) -> usize {
        256 + self.images.len() * ImageView::SIZE_BYTES
    }
}

/// What is written as the text that it shows itself as.
#[derive(Debug)]
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of such.
#[derive(Debug)]
pub struct Texts<'a, T>(pub &'a [T]);

impl<T: Display> Serialize for Texts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Text))
    }
}

/// Thirty-two bytes in hexadecimal.
#[derive(Debug)]
pub struct Hex<'a>(pub &'a [u8; 32]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

#[derive(Debug)]
pub struct Base64<'a>(pub &'a [u8]);

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(self.0, &STANDARD).fmt(f)
    }
}

/// RFC 3339 in UTC, cut to the millisecond: every time on the wire has the same three digits, so that texts sort as times do.
#[derive(Debug)]
pub struct Time(pub DateTime<Utc>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

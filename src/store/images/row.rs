//! How a row of the `images` table is read.
//!
//! The columns are read by position: a page has hundreds of values, and looking up each by its name took as long as decoding
//! it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{ColumnIndex, Decode, FromRow, Type};
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::caption::{Caption, CaptionStatus};
use crate::model::color::Color;
use crate::model::id::ImageId;
use crate::model::image::{Credentials, Format, Image, Metadata, PixelSize, TakenDown, Thumbnail, ThumbnailSize, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, FileName, Title};
use crate::store::database::error::Error;
use crate::store::database::names::deserialize_name;
use crate::store::identity::plans::FeaturesRow;

/// The columns that [`Row`] reads from `images`. A statement may select further columns after them. The plan of the owner is
/// read in the same statement, so that an image is never served by an outdated plan.
macro_rules! columns {
    () => {
        "id, user_id, visibility, title, description, tags, file_name, file_size, format, width, height, sha256, thumbnails, colors, \
         placeholder, metadata, processing_us, updated_at, deleted_at, taken_down, object_prefix, \
         caption_status, caption, caption_model, caption_error, \
         (select p.features from accounts a join plans p on p.name = a.plan where a.user_id = images.user_id) as features"
    };
}
pub(in crate::store) use columns;

/// A row as both databases return it.
#[derive(Debug)]
pub(in crate::store) struct Row(Result<Image, Error>);

impl Row {
    /// # Errors
    /// Another version wrote a value that this version cannot read.
    pub fn image(self) -> Result<Image, Error> {
        self.0
    }
}

impl<'r, R: sqlx::Row> FromRow<'r, R> for Row
where
    usize: ColumnIndex<R>,
    Uuid: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    DateTime<Utc>: Decode<'r, R::Database> + Type<R::Database>,
    Json<Vec<String>>: Decode<'r, R::Database> + Type<R::Database>,
    Json<Vec<ThumbnailRow>>: Decode<'r, R::Database> + Type<R::Database>,
    Json<Vec<ColorRow>>: Decode<'r, R::Database> + Type<R::Database>,
    Json<MetadataRow>: Decode<'r, R::Database> + Type<R::Database>,
    Json<FeaturesRow>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let values = Values {
            id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            visibility: row.try_get(2)?,
            title: row.try_get(3)?,
            description: row.try_get(4)?,
            tags: row.try_get(5)?,
            file_name: row.try_get(6)?,
            file_size: row.try_get(7)?,
            format: row.try_get(8)?,
            width: row.try_get(9)?,
            height: row.try_get(10)?,
            sha256: row.try_get(11)?,
            thumbnails: row.try_get(12)?,
            colors: row.try_get(13)?,
            placeholder: row.try_get(14)?,
            metadata: row.try_get(15)?,
            processing_us: row.try_get(16)?,
            updated_at: row.try_get(17)?,
            deleted_at: row.try_get(18)?,
            taken_down: row.try_get(19)?,
            object_prefix: row.try_get(20)?,
            caption_status: row.try_get(21)?,
            caption: row.try_get(22)?,
            caption_model: row.try_get(23)?,
            caption_error: row.try_get(24)?,
            features: row.try_get(25)?,
        };
        Ok(Self(Image::try_from(values)))
    }
}

/// The values of a row. Names are borrowed from it.
struct Values<'r> {
    id: Uuid,
    user_id: &'r str,
    visibility: &'r str,
    title: Option<String>,
    description: Option<String>,
    tags: Json<Vec<String>>,
    file_name: String,
    file_size: i64,
    format: &'r str,
    width: i64,
    height: i64,
    sha256: &'r [u8],
    thumbnails: Json<Vec<ThumbnailRow>>,
    colors: Json<Vec<ColorRow>>,
    placeholder: &'r [u8],
    metadata: Json<MetadataRow>,
    processing_us: i64,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    taken_down: Option<&'r str>,
    object_prefix: String,
    caption_status: &'r str,
    caption: Option<String>,
    caption_model: Option<String>,
    caption_error: Option<String>,
    features: Option<Json<FeaturesRow>>,
}

#[derive(Debug, serde::Deserialize)]
pub(in crate::store) struct ThumbnailRow {
    #[serde(deserialize_with = "deserialize_name")]
    size: ThumbnailSize,
    width: u32,
    height: u32,
    #[serde(deserialize_with = "deserialize_name")]
    format: Format,
}

#[derive(Debug, serde::Deserialize)]
pub(in crate::store) struct ColorRow(#[serde(deserialize_with = "deserialize_name")] Color);

#[derive(Debug, serde::Deserialize)]
pub(in crate::store) struct MetadataRow {
    created_at: Option<String>,
    modified_at: Option<String>,
    camera: Option<String>,
    orientation: u8,
    has_alpha: bool,
    animated: bool,
    frames: u32,
    /// `None` in rows from before this was recorded.
    credentials: Option<String>,
    shrunk_from: Option<PixelSizeRow>,
}

#[derive(Debug, serde::Deserialize)]
pub(in crate::store) struct PixelSizeRow {
    width: u32,
    height: u32,
}

impl TryFrom<Values<'_>> for Image {
    type Error = Error;

    fn try_from(row: Values<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: ImageId::from(row.id),
            updated_at: row.updated_at,
            user_id: UserId::parse(row.user_id).map_err(|_| unreadable("user_id", row.user_id))?,
            visibility: Visibility::parse(row.visibility).map_err(|_| unreadable("visibility", row.visibility))?,
            features: row.features.map(|Json(features)| features.into()),
            title: row.title.map(Title::from_stored),
            description: row.description.map(Description::from_stored),
            tags: row.tags.0.into_iter().map(Tag::from_stored).collect(),
            file_name: FileName::from_stored(row.file_name),
            file_size: from_integer("file_size", row.file_size)?,
            format: Format::parse(row.format).ok_or_else(|| unreadable("format", row.format))?,
            width: from_integer("width", row.width)?,
            height: from_integer("height", row.height)?,
            sha256: row.sha256.try_into().map_err(|_| unreadable("sha256", &hex::encode(row.sha256)))?,
            thumbnails: row.thumbnails.0.into_iter().map(Thumbnail::from).collect(),
            colors: row.colors.0.into_iter().map(|ColorRow(color)| color).collect(),
            placeholder: row.placeholder.to_vec(),
            metadata: row.metadata.0.into(),
            caption: Caption {
                status: CaptionStatus::parse(row.caption_status)
                    .ok_or_else(|| unreadable("caption_status", row.caption_status))?,
                text: row.caption,
                model: row.caption_model,
                error: row.caption_error,
            },
            processing_time: Duration::from_micros(from_integer("processing_us", row.processing_us)?),
            deleted_at: row.deleted_at,
            taken_down: row.taken_down.and_then(TakenDown::parse),
            object_prefix: row.object_prefix,
        })
    }
}

impl From<ThumbnailRow> for Thumbnail {
    fn from(row: ThumbnailRow) -> Self {
        let ThumbnailRow { size, width, height, format } = row;
        Self { size, width, height, format }
    }
}

impl From<MetadataRow> for Metadata {
    fn from(row: MetadataRow) -> Self {
        let MetadataRow { created_at, modified_at, camera, orientation, has_alpha, animated, frames, credentials, shrunk_from } =
            row;
        let credentials = credentials.as_deref().and_then(Credentials::parse);
        let shrunk_from = shrunk_from.map(|PixelSizeRow { width, height }| PixelSize { width, height });
        Self { created_at, modified_at, camera, orientation, has_alpha, animated, frames, credentials, shrunk_from }
    }
}

fn from_integer<T: TryFrom<i64>>(column: &'static str, value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| unreadable(column, &value.to_string()))
}

fn unreadable(column: &'static str, value: &str) -> Error {
    Error::Unreadable { column, value: value.to_owned() }
}

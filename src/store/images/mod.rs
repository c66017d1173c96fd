//! The `images` table: one row per image. Deleted images keep their row until they are purged.

pub mod cache;
pub mod counters;
pub mod idempotency;
pub mod intents;
pub mod lists;
pub mod object_moves;
pub mod tags;
pub mod variants;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::database::db::{Run, Sql, Tx};
use super::database::error::Error;
use super::database::names::deserialize_name;
use super::identity::plans::FeaturesRow;
use crate::model::caller::UserId;
use crate::model::caption::{Caption, CaptionStatus};
use crate::model::color::Color;
use crate::model::id::ImageId;
use crate::model::image::{Credentials, Format, Image, Metadata, PixelSize, TakenDown, Thumbnail, ThumbnailSize, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, FileName, Title};
use crate::store::database::row::row;

/// The columns of [`Row`], for every `select` and `returning` from `images`. The plan of the owner is read in the same statement,
/// so that an image is never served by an outdated plan.
macro_rules! columns {
    () => {
        "id, user_id, visibility, title, description, tags, file_name, file_size, format, width, height, sha256, thumbnails, colors, \
         placeholder, metadata, processing_us, updated_at, deleted_at, taken_down, object_prefix, \
         caption_status, caption, caption_model, caption_error, \
         (select p.features from accounts a join plans p on p.name = a.plan where a.user_id = images.user_id) as features"
    };
}
pub(super) use columns;

pub async fn insert(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into images (id, user_id, visibility, title, description, tags, file_name, file_size, format, width, height, sha256, \
         thumbnails, colors, placeholder, metadata, processing_us, updated_at, deleted_at, caption_status) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(image.id.uuid())
    .bind(image.user_id.as_str())
    .bind(image.visibility.name())
    .bind(image.title.as_ref().map(|title| title.as_str().to_owned()))
    .bind(image.description.as_ref().map(|description| description.as_str().to_owned()))
    .bind(tags_to_json(&image.tags))
    .bind(image.file_name.as_str())
    .bind(to_integer(image.file_size))
    .bind(image.format.name())
    .bind(image.width)
    .bind(image.height)
    .bind(image.sha256.to_vec())
    .bind(thumbnails_to_json(&image.thumbnails))
    .bind(image.colors.iter().map(|color| json!(color.to_string())).collect::<serde_json::Value>())
    .bind(image.placeholder.clone())
    .bind(metadata_to_json(&image.metadata))
    .bind(to_integer(u64::try_from(image.processing_time.as_micros()).unwrap_or(u64::MAX)))
    .bind(image.updated_at)
    .bind(image.deleted_at)
    .bind(image.caption.status.name());
    tx.execute(sql).await.map(drop)
}

/// Returns the image, deleted or not.
pub async fn find(run: impl Run, id: ImageId) -> Result<Option<Image>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), " from images where id = $1")).bind(id.uuid());
    run.fetch_optional::<Row>(sql).await?.map(Image::try_from).transpose()
}

/// Marks an image as imported, so that its public link is listed.
pub async fn mark_imported(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("update images set imported = true where id = $1").bind(id.uuid())).await.map(drop)
}

/// Locks the row until the transaction ends; returns the image.
pub async fn lock(tx: &mut Tx, id: ImageId) -> Result<Option<Image>, Error> {
    // An update locks the row on both databases; `for update` exists only on PostgreSQL.
    let sql = Sql::new(concat!("update images set updated_at = updated_at where id = $1 returning ", columns!()));
    tx.fetch_optional::<Row>(sql.bind(id.uuid())).await?.map(Image::try_from).transpose()
}

/// Updates the changeable fields of an image.
pub async fn update(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    let sql =
        Sql::new("update images set title = $2, description = $3, tags = $4, updated_at = $5, visibility = $6 where id = $1")
            .bind(image.id.uuid())
            .bind(image.title.as_ref().map(|title| title.as_str().to_owned()))
            .bind(image.description.as_ref().map(|description| description.as_str().to_owned()))
            .bind(tags_to_json(&image.tags))
            .bind(image.updated_at)
            .bind(image.visibility.name());
    tx.execute(sql).await.map(drop)
}

/// Updates the caption and its status.
pub async fn set_caption(tx: &mut Tx, id: ImageId, caption: &Caption, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update images set caption_status = $2, caption = $3, caption_model = $4, caption_error = $5, updated_at = $6 \
         where id = $1",
    );
    let sql = sql.bind(id.uuid()).bind(caption.status.name()).bind(caption.text.clone());
    tx.execute(sql.bind(caption.model.clone()).bind(caption.error.clone()).bind(now)).await.map(drop)
}

/// Marks an image as deleted, by its owner or by an administrator, or as live with `None`.
pub async fn set_deleted_at(
    tx: &mut Tx,
    id: ImageId,
    deleted_at: Option<DateTime<Utc>>,
    taken_down: Option<TakenDown>,
) -> Result<(), Error> {
    let sql = Sql::new("update images set deleted_at = $2, taken_down = $3 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(deleted_at).bind(taken_down.map(|before| before.name().to_owned()))).await.map(drop)
}

/// Records the new prefix of the image's objects.
pub async fn set_object_prefix(tx: &mut Tx, id: ImageId, object_prefix: &str) -> Result<(), Error> {
    let sql = Sql::new("update images set object_prefix = $2 where id = $1").bind(id.uuid()).bind(object_prefix);
    tx.execute(sql).await.map(drop)
}

/// Returns the image that was deleted first, if that was at or before `cutoff`.
pub async fn find_expired(run: impl Run, cutoff: DateTime<Utc>) -> Result<Option<ImageId>, Error> {
    let sql = Sql::new("select id from images where deleted_at <= $1 order by deleted_at limit 1").bind(cutoff);
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.map(|(id,)| ImageId::from(id)))
}

/// As [`find_expired`], among the images that a user has deleted.
pub async fn find_oldest_in_trash(run: impl Run, user: &UserId, cutoff: DateTime<Utc>) -> Result<Option<ImageId>, Error> {
    let sql = Sql::new(
        "select id from images where user_id = $1 and deleted_at is not null and taken_down is null and deleted_at <= $2 \
         order by deleted_at limit 1",
    );
    Ok(run.fetch_optional::<(Uuid,)>(sql.bind(user.as_str()).bind(cutoff)).await?.map(|(id,)| ImageId::from(id)))
}

row! {
    /// The data needed to purge an image. Nothing else of the row is read, so that a row that this version cannot read does not
    /// block the purge of others.
    #[derive(Debug)]
    pub struct Expired {
        pub user_id: String,
        pub file_size: i64,
        pub taken_down: Option<String>,
        pub object_prefix: String,
        thumbnails: Json<Vec<serde_json::Value>>,
    }
}

impl Expired {
    /// Returns the names of the thumbnails.
    pub fn thumbnails(&self) -> impl Iterator<Item = &str> {
        self.thumbnails.0.iter().filter_map(|thumbnail| thumbnail["size"].as_str())
    }
}

/// Locks an image that has been deleted since `cutoff` or longer; returns `None` if it was restored or purged in the meantime.
pub async fn lock_expired(tx: &mut Tx, id: ImageId, cutoff: DateTime<Utc>) -> Result<Option<Expired>, Error> {
    let sql = Sql::new(
        "update images set updated_at = updated_at where id = $1 and deleted_at <= $2 \
         returning user_id, file_size, taken_down, object_prefix, thumbnails",
    );
    tx.fetch_optional::<Expired>(sql.bind(id.uuid()).bind(cutoff)).await
}

/// Deletes the row of a locked image that nothing refers to.
pub async fn purge(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from images where id = $1").bind(id.uuid())).await.map(drop)
}

/// Returns up to `limit` images after `last`, oldest first, including deleted ones, to iterate over all images.
pub async fn walk(run: impl Run, last: Option<ImageId>, limit: u32) -> Result<Vec<Image>, Error> {
    let mut sql = Sql::new(concat!("select ", columns!(), " from images"));
    if let Some(last) = last {
        sql.push(" where id > ").push_bind(last.uuid());
    }
    sql.push(" order by id").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Image::try_from).collect()
}

row! {
    /// A row as both databases return it.
    #[derive(Debug)]
    pub(super) struct Row {
        id: Uuid,
        user_id: String,
        visibility: String,
        title: Option<String>,
        description: Option<String>,
        tags: Json<Vec<String>>,
        file_name: String,
        file_size: i64,
        format: String,
        width: i64,
        height: i64,
        sha256: Vec<u8>,
        thumbnails: Json<Vec<ThumbnailRow>>,
        colors: Json<Vec<ColorRow>>,
        placeholder: Vec<u8>,
        metadata: Json<MetadataRow>,
        processing_us: i64,
        updated_at: DateTime<Utc>,
        deleted_at: Option<DateTime<Utc>>,
        taken_down: Option<String>,
        object_prefix: String,
        caption_status: String,
        caption: Option<String>,
        caption_model: Option<String>,
        caption_error: Option<String>,
        features: Option<Json<FeaturesRow>>,
    }
}

#[derive(Debug, serde::Deserialize)]
struct ThumbnailRow {
    #[serde(deserialize_with = "deserialize_name")]
    size: ThumbnailSize,
    width: u32,
    height: u32,
    #[serde(deserialize_with = "deserialize_name")]
    format: Format,
}

#[derive(Debug, serde::Deserialize)]
struct ColorRow(#[serde(deserialize_with = "deserialize_name")] Color);

#[derive(Debug, serde::Deserialize)]
struct MetadataRow {
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
struct PixelSizeRow {
    width: u32,
    height: u32,
}

impl TryFrom<Row> for Image {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: ImageId::from(row.id),
            updated_at: row.updated_at,
            user_id: UserId::parse(&row.user_id).map_err(|_| unreadable("user_id", &row.user_id))?,
            visibility: Visibility::parse(&row.visibility).map_err(|_| unreadable("visibility", &row.visibility))?,
            features: row.features.map(|Json(features)| features.into()),
            title: row.title.map(Title::from_stored),
            description: row.description.map(Description::from_stored),
            tags: row.tags.0.into_iter().map(Tag::from_stored).collect(),
            file_name: FileName::from_stored(row.file_name),
            file_size: from_integer("file_size", row.file_size)?,
            format: parse_format(&row.format)?,
            width: from_integer("width", row.width)?,
            height: from_integer("height", row.height)?,
            sha256: row.sha256.try_into().map_err(|bytes: Vec<u8>| unreadable("sha256", &hex::encode(bytes)))?,
            thumbnails: row.thumbnails.0.into_iter().map(Thumbnail::from).collect(),
            colors: row.colors.0.into_iter().map(|ColorRow(color)| color).collect(),
            placeholder: row.placeholder,
            metadata: row.metadata.0.into(),
            caption: Caption {
                status: CaptionStatus::parse(&row.caption_status)
                    .ok_or_else(|| unreadable("caption_status", &row.caption_status))?,
                text: row.caption,
                model: row.caption_model,
                error: row.caption_error,
            },
            processing_time: Duration::from_micros(from_integer("processing_us", row.processing_us)?),
            deleted_at: row.deleted_at,
            taken_down: row.taken_down.as_deref().and_then(TakenDown::parse),
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

fn parse_format(name: &str) -> Result<Format, Error> {
    Format::parse(name).ok_or_else(|| unreadable("format", name))
}

fn tags_to_json(tags: &[Tag]) -> serde_json::Value {
    tags.iter().map(Tag::as_str).collect()
}

fn thumbnails_to_json(thumbnails: &[Thumbnail]) -> serde_json::Value {
    let one = |Thumbnail { size, width, height, format }: &Thumbnail| json!({"size": size.name(), "width": width, "height": height, "format": format.name()});
    thumbnails.iter().map(one).collect()
}

fn metadata_to_json(metadata: &Metadata) -> serde_json::Value {
    let Metadata { created_at, modified_at, camera, orientation, has_alpha, animated, frames, credentials, shrunk_from } =
        metadata;
    json!({
        "created_at": created_at, "modified_at": modified_at, "camera": camera, "orientation": orientation,
        "has_alpha": has_alpha, "animated": animated, "frames": frames, "credentials": credentials.map(Credentials::name),
        "shrunk_from": shrunk_from.map(|PixelSize { width, height }| json!({"width": width, "height": height})),
    })
}

fn to_integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_integer<T: TryFrom<i64>>(column: &'static str, value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| unreadable(column, &value.to_string()))
}

fn unreadable(column: &'static str, value: &str) -> Error {
    Error::Unreadable { column, value: value.to_owned() }
}

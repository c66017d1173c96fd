//! The `images` table: one row per image. Deleted images keep their row until they are purged.

pub mod adopted_objects;
pub mod cache;
pub mod counters;
pub mod idempotency;
pub mod intents;
pub mod lists;
pub mod object_moves;
mod row;
pub mod tags;
pub mod trash;
pub mod uploads;
pub mod variants;
mod versions;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::database::db::{Run, Sql, Tx};
use super::database::error::Error;
use crate::model::caller::UserId;
use crate::model::caption::Caption;
use crate::model::id::ImageId;
use crate::model::image::{Credentials, Image, Metadata, PixelSize, TakenDown, Thumbnail};
use crate::model::tag::Tag;
use crate::store::database::row::row;
pub(super) use row::{Row, columns};

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
    run.fetch_optional::<Row>(sql).await?.map(Row::image).transpose()
}

/// Marks an image as imported, so that its public link is listed.
pub async fn mark_imported(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("update images set imported = true where id = $1").bind(id.uuid())).await.map(drop)
}

/// Locks the row until the transaction ends; returns the image.
pub async fn lock(tx: &mut Tx, id: ImageId) -> Result<Option<Image>, Error> {
    // An update locks the row on both databases; `for update` exists only on PostgreSQL.
    let sql = Sql::new(concat!("update images set updated_at = updated_at where id = $1 returning ", columns!()));
    tx.fetch_optional::<Row>(sql.bind(id.uuid())).await?.map(Row::image).transpose()
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
    /// The data needed to purge an image. Nothing else of the row is read, so that a row that this version cannot read does not block
    /// the purge of others.
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
    run.fetch::<Row>(sql).await?.into_iter().map(Row::image).collect()
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

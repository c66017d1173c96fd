//! The `intents` table: each row says that objects for an image may exist. It ensures that no object becomes unreachable.
//!
//! An intent is `uploading` from before the first object is put until the insertion of the image deletes it. It is `removing`
//! once it is decided that the image will not exist. From then on the upload cannot commit, because the insertion requires that
//! it deletes an `uploading` intent.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::id::ImageId;
use crate::store::database::db::{Db, Run, Sql, Tx};
use crate::store::database::error::Error;

/// Objects to delete, and the image they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub image_id: ImageId,
    /// Object names relative to the image's own prefix.
    pub objects: Vec<String>,
}

/// Announces the objects of an upload, and commits.
pub async fn announce(db: &Db, id: ImageId, objects: &[impl AsRef<str>], now: DateTime<Utc>) -> Result<(), Error> {
    db.execute(insertion(id, "uploading", objects, now)).await.map(drop)
}

/// Announces the removal of objects of an image that has no row.
pub async fn announce_removal(tx: &mut Tx, id: ImageId, objects: &[impl AsRef<str>], now: DateTime<Utc>) -> Result<(), Error> {
    tx.execute(insertion(id, "removing", objects, now)).await.map(drop)
}

fn insertion(id: ImageId, state: &'static str, objects: &[impl AsRef<str>], now: DateTime<Utc>) -> Sql {
    let sql = Sql::new("insert into intents (image_id, state, objects, created_at) values ($1, $2, $3, $4)");
    let objects = objects.iter().map(AsRef::as_ref).collect::<serde_json::Value>();
    sql.bind(id.uuid()).bind(state).bind(objects).bind(now)
}

/// Deletes the intent of an upload; returns `false` if it no longer exists, in which case the upload must not commit.
pub async fn fulfil(tx: &mut Tx, id: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("delete from intents where image_id = $1 and state = 'uploading'").bind(id.uuid());
    Ok(tx.execute(sql).await? == 1)
}

/// Turns the oldest upload intent that was created at or before `cutoff` into a removal, so that the upload can no longer commit.
/// Returns `false` if there is none.
pub async fn abandon_oldest(tx: &mut Tx, cutoff: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update intents set state = 'removing' where state = 'uploading' and image_id = \
         (select i.image_id from intents i where i.state = 'uploading' and i.created_at <= $1 \
         and not exists (select 1 from images where images.id = i.image_id) order by i.created_at limit 1) \
         and not exists (select 1 from images where images.id = intents.image_id)",
    );
    Ok(tx.execute(sql.bind(cutoff)).await? > 0)
}

/// Returns up to `limit` pending removals, oldest first.
pub async fn removals(run: impl Run, limit: u32) -> Result<Vec<Removal>, Error> {
    let sql = Sql::new("select image_id, objects from intents where state = 'removing' order by created_at limit $1").bind(limit);
    let rows = run.fetch::<(Uuid, Json<Vec<String>>)>(sql).await?;
    Ok(rows.into_iter().map(|(id, Json(objects))| Removal { image_id: ImageId::from(id), objects }).collect())
}

/// Moves a removal to the end of the queue, as if it had been announced at `now`.
pub async fn postpone_removal(tx: &mut Tx, id: ImageId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update intents set created_at = $2 where image_id = $1 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(now)).await.map(drop)
}

/// Deletes a removal whose objects are deleted.
pub async fn finish_removal(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from intents where image_id = $1 and state = 'removing'").bind(id.uuid())).await.map(drop)
}

/// Returns the number of intents by state.
pub async fn count_by_state(run: impl Run) -> Result<Vec<(String, i64)>, Error> {
    run.fetch(Sql::new("select state, count(*) from intents group by state")).await
}

/// Returns whether the image has an intent, in any state.
pub async fn exists(run: impl Run, id: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("select image_id from intents where image_id = $1").bind(id.uuid());
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.is_some())
}

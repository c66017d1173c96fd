//! The `intents` table: "objects for this image may exist". It is how no object is ever lost sight of.
//!
//! An intent is `uploading` from before the first object is put until the image's own insertion deletes it, or
//! `removing` from when somebody decided that no such image will be: after that no upload can commit, for the
//! insertion insists on deleting an `uploading` intent.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Objects that must go, and whose they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub image_id: ImageId,
    /// Names of objects below the image's own prefix.
    pub objects: Vec<String>,
}

/// Announces the objects of an upload.
pub async fn announce(tx: &mut Tx, id: ImageId, objects: &[impl AsRef<str>], now: DateTime<Utc>) -> Result<(), Error> {
    insert(tx, id, "uploading", objects, now).await
}

/// Announces that the objects of an image without a row are to go.
pub async fn announce_removal(tx: &mut Tx, id: ImageId, objects: &[impl AsRef<str>], now: DateTime<Utc>) -> Result<(), Error> {
    insert(tx, id, "removing", objects, now).await
}

async fn insert(
    tx: &mut Tx,
    id: ImageId,
    state: &'static str,
    objects: &[impl AsRef<str>],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = Sql::new("insert into intents (image_id, state, objects, created_at) values ($1, $2, $3, $4)");
    let objects = objects.iter().map(AsRef::as_ref).collect::<serde_json::Value>();
    tx.execute(sql.bind(id.uuid()).bind(state).bind(objects).bind(now)).await.map(drop)
}

/// Ends an upload's intent; `false` when it is no longer there, and the upload must not be committed.
pub async fn fulfil(tx: &mut Tx, id: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("delete from intents where image_id = $1 and state = 'uploading'").bind(id.uuid());
    Ok(tx.execute(sql).await? == 1)
}

/// Takes over the oldest upload whose intent is as old as `cutoff`: from now on it can no longer commit.
pub async fn abandon_oldest(tx: &mut Tx, cutoff: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update intents set state = 'removing' where state = 'uploading' and image_id = \
         (select i.image_id from intents i where i.state = 'uploading' and i.created_at <= $1 \
         and not exists (select 1 from images where images.id = i.image_id) order by i.created_at limit 1) \
         and not exists (select 1 from images where images.id = intents.image_id)",
    );
    Ok(tx.execute(sql.bind(cutoff)).await? > 0)
}

/// Up to `limit` removals that wait, oldest first.
pub async fn removals(run: impl Run, limit: u32) -> Result<Vec<Removal>, Error> {
    let sql = Sql::new("select image_id, objects from intents where state = 'removing' order by created_at limit $1").bind(limit);
    let rows = run.fetch::<(Uuid, Json<Vec<String>>)>(sql).await?;
    Ok(rows.into_iter().map(|(id, Json(objects))| Removal { image_id: ImageId::from(id), objects }).collect())
}

/// Puts a removal at the end of the queue, as if it had been announced `now`.
pub async fn postpone_removal(tx: &mut Tx, id: ImageId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update intents set created_at = $2 where image_id = $1 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(now)).await.map(drop)
}

/// Forgets a removal whose objects are gone.
pub async fn finish_removal(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from intents where image_id = $1 and state = 'removing'").bind(id.uuid())).await.map(drop)
}

/// How many intents of each state there are.
pub async fn count_by_state(run: impl Run) -> Result<Vec<(String, i64)>, Error> {
    run.fetch(Sql::new("select state, count(*) from intents group by state")).await
}

/// Whether the image has an intent, of whichever state.
pub async fn exists(run: impl Run, id: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("select image_id from intents where image_id = $1").bind(id.uuid());
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.is_some())
}

//! The `object_moves` table: images whose objects are being copied to new keys, for which no URL was issued.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Announces a move, which the caller should complete before `due_at`. Does nothing if a move is pending.
pub async fn announce(tx: &mut Tx, id: ImageId, to_prefix: &str, due_at: DateTime<Utc>) -> Result<(), Error> {
    let sql =
        Sql::new("insert into object_moves (image_id, to_prefix, due_at) values ($1, $2, $3) on conflict (image_id) do nothing");
    tx.execute(sql.bind(id.uuid()).bind(to_prefix).bind(due_at)).await.map(drop)
}

/// Returns the prefix that the image's objects are being moved to.
pub async fn find(run: impl Run, id: ImageId) -> Result<Option<String>, Error> {
    let sql = Sql::new("select to_prefix from object_moves where image_id = $1").bind(id.uuid());
    Ok(run.fetch_optional::<(String,)>(sql).await?.map(|(to_prefix,)| to_prefix))
}

/// Returns the image whose move has been due longest.
pub async fn find_due(run: impl Run, now: DateTime<Utc>) -> Result<Option<ImageId>, Error> {
    let sql = Sql::new("select image_id from object_moves where due_at <= $1 order by due_at limit 1").bind(now);
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.map(|(id,)| ImageId::from(id)))
}

/// Deletes a move; returns `false` if it has already been completed.
pub async fn finish(tx: &mut Tx, id: ImageId, to_prefix: &str) -> Result<bool, Error> {
    let sql = Sql::new("delete from object_moves where image_id = $1 and to_prefix = $2").bind(id.uuid()).bind(to_prefix);
    Ok(tx.execute(sql).await? == 1)
}

/// Claims a move that is due, until `lease_end`; returns `false` if another process has claimed or completed it.
pub async fn claim(tx: &mut Tx, id: ImageId, now: DateTime<Utc>, lease_end: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new("update object_moves set due_at = $3 where image_id = $1 and due_at <= $2");
    Ok(tx.execute(sql.bind(id.uuid()).bind(now).bind(lease_end)).await? == 1)
}

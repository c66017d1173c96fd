//! The `variants` table: pictures of any size, made when they are first asked for.
//!
//! A row is `making` from before its object is put, `ready` when it can be served, and `removing` when its object is to
//! go. Each making has an object of its own, whose name is never used again: deleting late, or putting late what was given
//! up, can harm no other. What is `removing` stays so until the object is deleted.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::db::{Run, Sql, Tx};
use super::error::Error;
use crate::model::id::ImageId;

/// A variant that is there or being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The object's name below its image's prefix.
    pub object: String,
    /// Otherwise it is being made.
    pub ready: bool,
    /// The end of its maker's lease.
    pub due_at: DateTime<Utc>,
    /// To the day or so.
    pub used_at: DateTime<Utc>,
}

pub async fn find(run: impl Run, id: ImageId, rendering: &str) -> Result<Option<Variant>, Error> {
    type Row = (String, String, DateTime<Utc>, DateTime<Utc>);
    let sql = Sql::new(
        "select object, state, due_at, used_at from variants \
         where image_id = $1 and rendering = $2 and state <> 'removing'",
    );
    let row = run.fetch_optional::<Row>(sql.bind(id.uuid()).bind(rendering)).await?;
    Ok(row.map(|(object, state, due_at, used_at)| Variant { object, ready: state == "ready", due_at, used_at }))
}

/// Takes it on to make a variant, until `lease_end`; `false` when there is one already.
pub async fn claim(
    tx: &mut Tx,
    id: ImageId,
    rendering: &str,
    object: &str,
    lease_end: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let sql = Sql::new(
        "insert into variants (image_id, rendering, object, state, due_at, used_at) values ($1, $2, $3, 'making', $4, $5) \
         on conflict (image_id, rendering) where state <> 'removing' do nothing",
    );
    let sql = sql.bind(id.uuid()).bind(rendering).bind(object).bind(lease_end).bind(now);
    Ok(tx.execute(sql).await? == 1)
}

/// The object is there; `false` when its making was given up meanwhile, and the object is not to be served from it.
pub async fn finish(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql =
        Sql::new("update variants set state = 'ready', used_at = $3 where image_id = $1 and object = $2 and state = 'making'");
    Ok(tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await? == 1)
}

/// Forgets a making of which no object was put.
pub async fn forget(tx: &mut Tx, id: ImageId, object: &str) -> Result<(), Error> {
    let sql = Sql::new("delete from variants where image_id = $1 and object = $2 and state = 'making'");
    tx.execute(sql.bind(id.uuid()).bind(object)).await.map(drop)
}

/// Gives a variant up; its object is deleted after `due_at`.
pub async fn remove(tx: &mut Tx, id: ImageId, object: &str, due_at: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $3 where image_id = $1 and object = $2 and state <> 'removing'",
    );
    tx.execute(sql.bind(id.uuid()).bind(object).bind(due_at)).await.map(drop)
}

/// Gives up all variants of an image: those that are ready now, those being made after `grace_end`.
pub async fn remove_all(tx: &mut Tx, id: ImageId, now: DateTime<Utc>, grace_end: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set due_at = case when state = 'ready' then $2 else $3 end, state = 'removing' \
         where image_id = $1 and state <> 'removing'",
    );
    tx.execute(sql.bind(id.uuid()).bind(now).bind(grace_end)).await.map(drop)
}

/// How many variants of an image there are or are being made.
pub async fn count(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from variants where image_id = $1 and state <> 'removing'").bind(id.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Gives up the variant of an image that was asked for longest ago; `false` when none is ready.
pub async fn remove_least_used(tx: &mut Tx, id: ImageId, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $2 where image_id = $1 and state = 'ready' and object = \
         (select v.object from variants v where v.image_id = $1 and v.state = 'ready' order by v.used_at, v.object limit 1)",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(now)).await? == 1)
}

/// Notes that a variant was asked for.
pub async fn touch(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql =
        Sql::new("update variants set used_at = $3 where image_id = $1 and object = $2 and state = 'ready' and used_at < $3");
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Gives up to `limit` variants up that nobody asked for after `cutoff`; returns how many.
pub async fn remove_unused(tx: &mut Tx, cutoff: DateTime<Utc>, now: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $2 where state = 'ready' and used_at <= $1 and (image_id, object) in \
         (select v.image_id, v.object from variants v where v.state = 'ready' and v.used_at <= $1 order by v.used_at limit $3)",
    );
    tx.execute(sql.bind(cutoff).bind(now).bind(limit)).await
}

/// Gives up to `limit` makings up whose leases ended at or before `cutoff`; returns how many.
pub async fn remove_stale(tx: &mut Tx, cutoff: DateTime<Utc>, now: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $2 where state = 'making' and due_at <= $1 and (image_id, object) in \
         (select v.image_id, v.object from variants v where v.state = 'making' and v.due_at <= $1 order by v.due_at limit $3)",
    );
    tx.execute(sql.bind(cutoff).bind(now).bind(limit)).await
}

/// Up to `limit` objects that are to be deleted by now, longest due first.
pub async fn removals(run: impl Run, now: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql =
        Sql::new("select image_id, object from variants where state = 'removing' and due_at <= $1 order by due_at limit $2");
    let rows = run.fetch::<(Uuid, String)>(sql.bind(now).bind(limit)).await?;
    Ok(rows.into_iter().map(|(id, object)| (ImageId::from(id), object)).collect())
}

/// Sends a removal that failed to the end of the queue.
pub async fn postpone_removal(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update variants set due_at = $3 where image_id = $1 and object = $2 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Forgets a variant whose object is gone.
pub async fn finish_removal(tx: &mut Tx, id: ImageId, object: &str) -> Result<(), Error> {
    let sql = Sql::new("delete from variants where image_id = $1 and object = $2 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(object)).await.map(drop)
}

/// All objects of an image's variants, and whether each is ready. For `doctor`.
pub async fn objects_of(run: impl Run, id: ImageId) -> Result<Vec<(String, bool)>, Error> {
    let sql = Sql::new("select object, state from variants where image_id = $1").bind(id.uuid());
    let rows = run.fetch::<(String, String)>(sql).await?;
    Ok(rows.into_iter().map(|(object, state)| (object, state == "ready")).collect())
}

/// Announces that an object which no row knows is to be deleted. For `doctor`.
pub async fn announce_removal(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into variants (image_id, rendering, object, state, due_at, used_at) values ($1, '', $2, 'removing', $3, $3) \
         on conflict (image_id, object) do nothing",
    );
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

//! The `variants` table: resized images, created on first request.
//!
//! A row is `making` from before its object is put, `ready` when it can be served, and `removing` when its object must be
//! deleted. Each attempt writes an object of its own, whose name is never reused: a late deletion, or a late write by an attempt
//! that was abandoned, cannot affect another object. A `removing` row stays until the object is deleted.
//!
//! A variant counts towards its owner's quota from before its object is put until it is removed. The functions of this module
//! update the owner's byte counter, so that no caller can forget to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::counters;
use crate::model::caller::UserId;
use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx, Value};
use crate::store::database::error::Error;

/// A variant that exists or is being created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Object name relative to the image's prefix.
    pub object: String,
    /// `false` while it is being created.
    pub ready: bool,
    /// When the creator's lease expires.
    pub due_at: DateTime<Utc>,
    /// When it was last requested, to about a day.
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

/// Claims the creation of a variant until `lease_end`; returns `false` if the variant exists.
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

/// Adds the bytes of the object, before it is put, to the usage of the image's owner; returns `false` if the claim was lost.
pub async fn charge(tx: &mut Tx, id: ImageId, object: &str, owner: &UserId, bytes: u64) -> Result<bool, Error> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let sql = Sql::new(
        "update variants set bytes = $3, user_id = $4 where image_id = $1 and object = $2 and state = 'making' and bytes = 0",
    );
    let charged = tx.execute(sql.bind(id.uuid()).bind(object).bind(bytes).bind(owner.as_str())).await? == 1;
    if charged {
        counters::add(tx, id, [(Counter::user_variant_bytes(owner), bytes)]);
    }
    Ok(charged)
}

/// Marks the variant as ready, after its object was put; returns `false` if the claim was lost, in which case the object must not
/// be served.
pub async fn finish(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql =
        Sql::new("update variants set state = 'ready', used_at = $3 where image_id = $1 and object = $2 and state = 'making'");
    Ok(tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await? == 1)
}

// A transaction that removes several variants of one owner locks the image or, if the owner has an account, the image and then
// the account. Otherwise two transactions that take the same rows in different orders would deadlock.

/// Deletes a claim for which no object was put.
pub async fn forget(tx: &mut Tx, id: ImageId, object: &str) -> Result<(), Error> {
    let sql = Sql::new(
        "delete from variants where image_id = $1 and object = $2 and state = 'making' returning image_id, user_id, bytes",
    );
    run_removal(tx, sql.bind(id.uuid()).bind(object)).await.map(drop)
}

/// Removes a variant; its object is deleted after `due_at`.
pub async fn remove(tx: &mut Tx, id: ImageId, object: &str, due_at: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $3 where image_id = $1 and object = $2 and state <> 'removing' \
         returning image_id, user_id, bytes",
    );
    run_removal(tx, sql.bind(id.uuid()).bind(object).bind(due_at)).await.map(drop)
}

/// Removes all variants of an image: ready ones immediately, and those being created after `grace_end`.
pub async fn remove_all(tx: &mut Tx, id: ImageId, now: DateTime<Utc>, grace_end: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set due_at = case when state = 'ready' then $2 else $3 end, state = 'removing' \
         where image_id = $1 and state <> 'removing' returning image_id, user_id, bytes",
    );
    run_removal(tx, sql.bind(id.uuid()).bind(now).bind(grace_end)).await.map(drop)
}

/// The number of removed variants, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub variants: u64,
    pub bytes: u64,
}

/// Runs a statement that removes variants and returns `image_id, user_id, bytes` of each, and subtracts the bytes from their
/// owners' usage.
async fn run_removal(tx: &mut Tx, sql: Sql) -> Result<Removed, Error> {
    let rows = tx.fetch::<(Uuid, Option<String>, i64)>(sql).await?;
    let mut removed = Removed::default();
    for (id, owner, bytes) in rows {
        removed.variants += 1;
        removed.bytes += u64::try_from(bytes).unwrap_or_default();
        // Rows of older versions have no owner yet and were never charged.
        if let Some(key) = owner.filter(|_| bytes > 0) {
            let counter = Counter { kind: CounterKind::UserVariantBytes, key };
            counters::add(tx, ImageId::from(id), [(counter, -bytes)]);
        }
    }
    Ok(removed)
}

/// Returns the number of variants of an image, including those being created.
pub async fn count(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from variants where image_id = $1 and state <> 'removing'").bind(id.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Returns the number of variants of an image that are being created.
pub async fn count_making(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from variants where image_id = $1 and state = 'making'").bind(id.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Returns the bytes of all variants of an image, including those about to be put.
pub async fn bytes_of(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = "select cast(coalesce(sum(bytes), 0) as bigint) from variants where image_id = $1 and state <> 'removing'";
    let (bytes,) = run.fetch_optional::<(i64,)>(Sql::new(sql).bind(id.uuid())).await?.unwrap_or_default();
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// Removes the least recently used variant of an image; returns `false` if none is ready.
pub async fn remove_least_used(tx: &mut Tx, id: ImageId, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $2 where image_id = $1 and state = 'ready' and object = \
         (select v.object from variants v where v.image_id = $1 and v.state = 'ready' order by v.used_at, v.object limit 1) \
         returning image_id, user_id, bytes",
    );
    Ok(run_removal(tx, sql.bind(id.uuid()).bind(now)).await?.variants == 1)
}

/// Removes the least recently used variants of an image until `bytes` are freed, or none are left; returns the number of bytes
/// freed.
pub async fn free_of_image(tx: &mut Tx, id: ImageId, bytes: u64) -> Result<u64, Error> {
    let mut freed = 0;
    while freed < bytes {
        let oldest = "select image_id, object, bytes, used_at from variants where image_id = $1 and state = 'ready' \
                      order by used_at, object limit 100";
        let removed = remove_oldest(tx, oldest, id.uuid().into(), bytes - freed).await?;
        freed += removed.bytes;
        if removed.variants == 0 {
            break;
        }
    }
    Ok(freed)
}

/// As [`free_of_image`], for all images of a user.
pub async fn free_of_user(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<u64, Error> {
    let mut freed = 0;
    while freed < bytes {
        let oldest = "select image_id, object, bytes, used_at from variants where user_id = $1 and state = 'ready' \
                      order by used_at limit 1000";
        let removed = remove_oldest(tx, oldest, user.as_str().into(), bytes - freed).await?;
        freed += removed.bytes;
        if removed.variants == 0 {
            break;
        }
    }
    Ok(freed)
}

/// Removes as many of the variants that `oldest` selects for `$1` as have this many bytes, least recently used first. Their
/// objects are due for deletion immediately.
async fn remove_oldest(tx: &mut Tx, oldest: &'static str, of: Value, bytes: u64) -> Result<Removed, Error> {
    let mut sql = Sql::new(
        "update variants set state = 'removing', due_at = used_at where state = 'ready' and (image_id, object) in \
         (select image_id, object from (select image_id, object, \
         cast(sum(bytes) over (order by used_at, image_id, object) as bigint) - bytes as before from (",
    )
    .bind(of);
    sql.push(oldest).push(") oldest) counted where before < ").push_bind(i64::try_from(bytes).unwrap_or(i64::MAX));
    sql.push(") returning image_id, user_id, bytes");
    run_removal(tx, sql).await
}

/// Records that a variant was requested.
pub async fn touch(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql =
        Sql::new("update variants set used_at = $3 where image_id = $1 and object = $2 and state = 'ready' and used_at < $3");
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Returns up to `limit` variants that were not requested after `cutoff`.
pub async fn unused(run: impl Run, cutoff: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'ready' and used_at <= $1 order by used_at limit $2");
    names(run, sql.bind(cutoff).bind(limit)).await
}

/// Removes a variant, unless it was requested after `cutoff`.
pub async fn remove_unused(
    tx: &mut Tx,
    id: ImageId,
    object: &str,
    cutoff: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $4 where image_id = $1 and object = $2 and state = 'ready' and used_at <= $3 \
         returning image_id, user_id, bytes",
    );
    run_removal(tx, sql.bind(id.uuid()).bind(object).bind(cutoff).bind(now)).await.map(drop)
}

/// Returns up to `limit` variants still being created whose leases expired at or before `cutoff`.
pub async fn stale(run: impl Run, cutoff: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'making' and due_at <= $1 order by due_at limit $2");
    names(run, sql.bind(cutoff).bind(limit)).await
}

/// Removes a variant that is being created, unless it has become ready.
pub async fn remove_stale(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $3 where image_id = $1 and object = $2 and state = 'making' \
         returning image_id, user_id, bytes",
    );
    run_removal(tx, sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Returns up to `limit` variants of older versions, whose bytes are not charged yet.
pub async fn unmeasured(run: impl Run, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'ready' and bytes = 0 order by used_at limit $1");
    names(run, sql.bind(limit)).await
}

/// Charges the image's owner for a variant of an older version.
pub async fn measure(tx: &mut Tx, id: ImageId, object: &str, bytes: u64) -> Result<(), Error> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let sql = Sql::new(
        "update variants set bytes = $3, user_id = (select i.user_id from images i where i.id = variants.image_id) \
         where image_id = $1 and object = $2 and state = 'ready' and bytes = 0 returning user_id",
    );
    let row = tx.fetch_optional::<(Option<String>,)>(sql.bind(id.uuid()).bind(object).bind(bytes)).await?;
    if let Some(key) = row.and_then(|(owner,)| owner) {
        let counter = Counter { kind: CounterKind::UserVariantBytes, key };
        counters::add(tx, id, [(counter, bytes)]);
    }
    Ok(())
}

/// Returns up to `limit` objects that are due for deletion, longest due first.
pub async fn removals(run: impl Run, now: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql =
        Sql::new("select image_id, object from variants where state = 'removing' and due_at <= $1 order by due_at limit $2");
    names(run, sql.bind(now).bind(limit)).await
}

async fn names(run: impl Run, sql: Sql) -> Result<Vec<(ImageId, String)>, Error> {
    let rows = run.fetch::<(Uuid, String)>(sql).await?;
    Ok(rows.into_iter().map(|(id, object)| (ImageId::from(id), object)).collect())
}

/// Moves a failed removal to the end of the queue.
pub async fn postpone_removal(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update variants set due_at = $3 where image_id = $1 and object = $2 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Deletes the row of a variant whose object is deleted.
pub async fn finish_removal(tx: &mut Tx, id: ImageId, object: &str) -> Result<(), Error> {
    let sql = Sql::new("delete from variants where image_id = $1 and object = $2 and state = 'removing'");
    tx.execute(sql.bind(id.uuid()).bind(object)).await.map(drop)
}

/// Returns all objects of an image's variants, each with whether it is ready. For `doctor`.
pub async fn objects_of(run: impl Run, id: ImageId) -> Result<Vec<(String, bool)>, Error> {
    let sql = Sql::new("select object, state from variants where image_id = $1").bind(id.uuid());
    let rows = run.fetch::<(String, String)>(sql).await?;
    Ok(rows.into_iter().map(|(object, state)| (object, state == "ready")).collect())
}

/// Announces the removal of an object without a row: one that `doctor` found, or whose image has moved to other keys.
pub async fn announce_removal(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into variants (image_id, rendering, object, state, due_at, used_at) values ($1, '', $2, 'removing', $3, $3) \
         on conflict (image_id, object) do nothing",
    );
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

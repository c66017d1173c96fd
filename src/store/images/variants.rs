//! The `variants` table: pictures of any size, made when they are first asked for.
//!
//! A row is `making` from before its object is put, `ready` when it can be served, and `removing` when its object is to
//! go. Each making has an object of its own, whose name is never used again: deleting late, or putting late what was given
//! up, can harm no other. What is `removing` stays so until the object is deleted.
//!
//! A file counts for the quota of its image's owner from before it is put until it is given up: the counter of the owner's bytes
//! moves in the functions of this file, so that no caller can forget it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::counters;
use crate::model::caller::UserId;
use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx, Value};
use crate::store::database::error::Error;

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

/// Charges the owner of the image for the file that is about to be put; `false` when its making was given up meanwhile.
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

/// The object is there; `false` when its making was given up meanwhile, and the object is not to be served from it.
pub async fn finish(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql =
        Sql::new("update variants set state = 'ready', used_at = $3 where image_id = $1 and object = $2 and state = 'making'");
    Ok(tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await? == 1)
}

// Whoever gives up several of an owner's variants in one transaction holds the lock of the image or, where the owner has an
// account, of that too (in this order): two who take the same rows in different orders would wait for each other.

/// Forgets a making of which no object was put.
pub async fn forget(tx: &mut Tx, id: ImageId, object: &str) -> Result<(), Error> {
    let sql = Sql::new(
        "delete from variants where image_id = $1 and object = $2 and state = 'making' returning image_id, user_id, bytes",
    );
    give_up(tx, sql.bind(id.uuid()).bind(object)).await.map(drop)
}

/// Gives a variant up; its object is deleted after `due_at`.
pub async fn remove(tx: &mut Tx, id: ImageId, object: &str, due_at: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $3 where image_id = $1 and object = $2 and state <> 'removing' \
         returning image_id, user_id, bytes",
    );
    give_up(tx, sql.bind(id.uuid()).bind(object).bind(due_at)).await.map(drop)
}

/// Gives up all variants of an image: those that are ready now, those being made after `grace_end`.
pub async fn remove_all(tx: &mut Tx, id: ImageId, now: DateTime<Utc>, grace_end: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set due_at = case when state = 'ready' then $2 else $3 end, state = 'removing' \
         where image_id = $1 and state <> 'removing' returning image_id, user_id, bytes",
    );
    give_up(tx, sql.bind(id.uuid()).bind(now).bind(grace_end)).await.map(drop)
}

/// Variants that were given up: how many, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenUp {
    pub variants: u64,
    pub bytes: u64,
}

/// Runs a statement that gives up variants and returns `image_id, user_id, bytes` of each, and charges their owners no more.
async fn give_up(tx: &mut Tx, sql: Sql) -> Result<GivenUp, Error> {
    let rows = tx.fetch::<(Uuid, Option<String>, i64)>(sql).await?;
    let mut given_up = GivenUp::default();
    for (id, owner, bytes) in rows {
        given_up.variants += 1;
        given_up.bytes += u64::try_from(bytes).unwrap_or_default();
        // Rows of older versions have no owner yet, and were not charged.
        if let Some(key) = owner.filter(|_| bytes > 0) {
            let counter = Counter { kind: CounterKind::UserVariantBytes, key };
            counters::add(tx, ImageId::from(id), [(counter, -bytes)]);
        }
    }
    Ok(given_up)
}

/// How many variants of an image there are or are being made.
pub async fn count(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from variants where image_id = $1 and state <> 'removing'").bind(id.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// How many variants of an image are being made.
pub async fn count_making(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from variants where image_id = $1 and state = 'making'").bind(id.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Bytes of the variants of an image, those that are about to be put among them.
pub async fn bytes_of(run: impl Run, id: ImageId) -> Result<u64, Error> {
    let sql = "select cast(coalesce(sum(bytes), 0) as bigint) from variants where image_id = $1 and state <> 'removing'";
    let (bytes,) = run.fetch_optional::<(i64,)>(Sql::new(sql).bind(id.uuid())).await?.unwrap_or_default();
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// Gives up the variant of an image that was asked for longest ago; `false` when none is ready.
pub async fn remove_least_used(tx: &mut Tx, id: ImageId, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $2 where image_id = $1 and state = 'ready' and object = \
         (select v.object from variants v where v.image_id = $1 and v.state = 'ready' order by v.used_at, v.object limit 1) \
         returning image_id, user_id, bytes",
    );
    Ok(give_up(tx, sql.bind(id.uuid()).bind(now)).await?.variants == 1)
}

/// Gives up variants of an image, those first that were asked for longest ago, until this many bytes are free, or all are given up;
/// returns how many bytes are free.
pub async fn free_of_image(tx: &mut Tx, id: ImageId, bytes: u64) -> Result<u64, Error> {
    let mut freed = 0;
    while freed < bytes {
        let oldest = "select image_id, object, bytes, used_at from variants where image_id = $1 and state = 'ready' \
                      order by used_at, object limit 100";
        let given_up = give_up_oldest(tx, oldest, id.uuid().into(), bytes - freed).await?;
        freed += given_up.bytes;
        if given_up.variants == 0 {
            break;
        }
    }
    Ok(freed)
}

/// As [`free_of_image`], of all images of a user.
pub async fn free_of_user(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<u64, Error> {
    let mut freed = 0;
    while freed < bytes {
        let oldest = "select image_id, object, bytes, used_at from variants where user_id = $1 and state = 'ready' \
                      order by used_at limit 1000";
        let given_up = give_up_oldest(tx, oldest, user.as_str().into(), bytes - freed).await?;
        freed += given_up.bytes;
        if given_up.variants == 0 {
            break;
        }
    }
    Ok(freed)
}

/// Gives up as many of the variants that `oldest` selects for `$1` as have this many bytes, in the order of their use. Their objects
/// are due at once.
async fn give_up_oldest(tx: &mut Tx, oldest: &'static str, of: Value, bytes: u64) -> Result<GivenUp, Error> {
    let mut sql = Sql::new(
        "update variants set state = 'removing', due_at = used_at where state = 'ready' and (image_id, object) in \
         (select image_id, object from (select image_id, object, \
         cast(sum(bytes) over (order by used_at, image_id, object) as bigint) - bytes as before from (",
    )
    .bind(of);
    sql.push(oldest).push(") oldest) counted where before < ").push_bind(i64::try_from(bytes).unwrap_or(i64::MAX));
    sql.push(") returning image_id, user_id, bytes");
    give_up(tx, sql).await
}

/// Notes that a variant was asked for.
pub async fn touch(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql =
        Sql::new("update variants set used_at = $3 where image_id = $1 and object = $2 and state = 'ready' and used_at < $3");
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Up to `limit` variants that nobody asked for after `cutoff`.
pub async fn unused(run: impl Run, cutoff: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'ready' and used_at <= $1 order by used_at limit $2");
    names(run, sql.bind(cutoff).bind(limit)).await
}

/// Gives a variant up, unless somebody asked for it after `cutoff`.
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
    give_up(tx, sql.bind(id.uuid()).bind(object).bind(cutoff).bind(now)).await.map(drop)
}

/// Up to `limit` makings whose leases ended at or before `cutoff`.
pub async fn stale(run: impl Run, cutoff: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'making' and due_at <= $1 order by due_at limit $2");
    names(run, sql.bind(cutoff).bind(limit)).await
}

/// Gives a making up, unless it was finished meanwhile.
pub async fn remove_stale(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update variants set state = 'removing', due_at = $3 where image_id = $1 and object = $2 and state = 'making' \
         returning image_id, user_id, bytes",
    );
    give_up(tx, sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

/// Up to `limit` variants that nobody is charged for yet, as older versions left them.
pub async fn unmeasured(run: impl Run, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql = Sql::new("select image_id, object from variants where state = 'ready' and bytes = 0 order by used_at limit $1");
    names(run, sql.bind(limit)).await
}

/// Charges the owner of the image for a variant of an older version.
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

/// Up to `limit` objects that are to be deleted by now, longest due first.
pub async fn removals(run: impl Run, now: DateTime<Utc>, limit: u32) -> Result<Vec<(ImageId, String)>, Error> {
    let sql =
        Sql::new("select image_id, object from variants where state = 'removing' and due_at <= $1 order by due_at limit $2");
    names(run, sql.bind(now).bind(limit)).await
}

async fn names(run: impl Run, sql: Sql) -> Result<Vec<(ImageId, String)>, Error> {
    let rows = run.fetch::<(Uuid, String)>(sql).await?;
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

/// Announces that an object which no row knows is to be deleted: one that `doctor` found, or whose image has moved to other keys.
pub async fn announce_removal(tx: &mut Tx, id: ImageId, object: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into variants (image_id, rendering, object, state, due_at, used_at) values ($1, '', $2, 'removing', $3, $3) \
         on conflict (image_id, object) do nothing",
    );
    tx.execute(sql.bind(id.uuid()).bind(object).bind(now)).await.map(drop)
}

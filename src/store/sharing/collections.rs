//! The `collections` table. A collection without a name is deleted, and only the sweeper uses it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::collection::{Collection, CollectionId, CollectionName};
use crate::model::counter::CounterKind;
use crate::model::image::Visibility;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

/// Inserts a collection; returns `false` if the name exists.
pub async fn insert(tx: &mut Tx, collection: &Collection) -> Result<bool, Error> {
    let sql = Sql::new(
        "insert into collections (id, counter_key, name, user_id, visibility, last_position, updated_at) \
         values ($1, $2, $3, $4, $5, 0, $6) on conflict (name) do nothing",
    )
    .bind(collection.id.uuid())
    .bind(collection.id.to_string())
    .bind(collection.name.as_str())
    .bind(collection.user_id.as_str())
    .bind(collection.visibility.name())
    .bind(collection.updated_at);
    Ok(tx.execute(sql).await? == 1)
}

pub async fn find(run: impl Run, name: &CollectionName) -> Result<Option<Collection>, Error> {
    let sql = Sql::new("select id, name, user_id, visibility, updated_at from collections where name = $1");
    run.fetch_optional::<Row>(sql.bind(name.as_str())).await?.map(Collection::try_from).transpose()
}

/// Locks a collection until the transaction ends; returns it.
pub async fn lock(tx: &mut Tx, name: &CollectionName) -> Result<Option<Collection>, Error> {
    let sql = Sql::new(
        "update collections set updated_at = updated_at where name = $1 returning id, name, user_id, visibility, updated_at",
    );
    tx.fetch_optional::<Row>(sql.bind(name.as_str())).await?.map(Collection::try_from).transpose()
}

/// As [`lock`], by the id.
pub async fn lock_by_id(tx: &mut Tx, id: CollectionId) -> Result<Option<Collection>, Error> {
    let sql = Sql::new(
        "update collections set updated_at = updated_at where id = $1 and name is not null \
         returning id, name, user_id, visibility, updated_at",
    );
    tx.fetch_optional::<Row>(sql.bind(id.uuid())).await?.map(Collection::try_from).transpose()
}

/// Returns up to `limit` collections of a user after `last`, newest first, each with the number of its images that the user can
/// see.
pub async fn page_of_user(
    run: impl Run,
    user: &UserId,
    last: Option<CollectionId>,
    limit: u32,
) -> Result<Vec<(Collection, u64)>, Error> {
    // A single statement text, however many collections there are: connections cache every distinct text.
    let mut sql = Sql::new(
        "select id, name, user_id, visibility, updated_at, cast((select coalesce(sum(n), 0) from counters \
         where kind = 'collection' and key = counter_key or kind = 'private_collection' and key = counter_key || ',' || user_id) \
         as bigint) as image_count from collections where name is not null and user_id = ",
    );
    sql.push_bind(user.as_str());
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    let rows = run.fetch::<CountedRow>(sql).await?;
    let counted = |row: CountedRow| Ok((row.collection.try_into()?, u64::try_from(row.image_count).unwrap_or_default()));
    rows.into_iter().map(counted).collect()
}

/// Updates the changeable fields of a collection.
pub async fn set_visibility(tx: &mut Tx, id: CollectionId, visibility: Visibility, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update collections set visibility = $2, updated_at = $3 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(visibility.name()).bind(now)).await.map(drop)
}

/// Records that the items of a collection have changed.
pub async fn touch(tx: &mut Tx, id: CollectionId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update collections set updated_at = $2 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(now)).await.map(drop)
}

/// Positions of images that are added at the same time are this far apart, so that others can be moved between them.
pub const STEP: i64 = 1024;

/// Returns a position after all others in a collection. It is a timestamp, so that it does not reveal how many items there were
/// before, but it always increases by at least `step`, even if the clock goes backwards.
pub async fn next_position(tx: &mut Tx, id: CollectionId, step: i64, now: DateTime<Utc>) -> Result<i64, Error> {
    let sql = Sql::new(
        "update collections set last_position = case when last_position + $4 < $2 then $2 else last_position + $4 end, \
         updated_at = $3 where id = $1 returning last_position",
    );
    let sql = sql.bind(id.uuid()).bind(now.timestamp_micros()).bind(now).bind(step);
    Ok(tx.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default().0)
}

/// Deletes a collection by removing its name; the sweeper deletes its items.
pub async fn mark_deleted(tx: &mut Tx, id: CollectionId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update collections set name = null, updated_at = $2 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(now)).await.map(drop)
}

/// As [`mark_deleted`], for all collections of a user; returns how many there were.
pub async fn mark_all_deleted(tx: &mut Tx, user: &UserId, now: DateTime<Utc>) -> Result<i64, Error> {
    let sql = Sql::new("update collections set name = null, updated_at = $2 where user_id = $1 and name is not null");
    let deleted = tx.execute(sql.bind(user.as_str()).bind(now)).await?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}

/// Returns a deleted collection that still has a row.
pub async fn find_deleted(run: impl Run) -> Result<Option<CollectionId>, Error> {
    let sql = Sql::new("select id from collections where name is null order by id limit 1");
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.map(|(id,)| CollectionId::from(id)))
}

/// Takes the cleanup lock until the transaction ends: only one transaction at a time may delete the items of deleted collections, or
/// spread those of a collection. Two of them, and two concurrent deletions of images that are in both collections, could otherwise
/// deadlock. It is taken before any item is changed.
pub async fn lock_cleanup(tx: &mut Tx) -> Result<(), Error> {
    tx.execute(Sql::new("update collection_sweeps set taken = taken + 1 where id = 1")).await.map(drop)
}

/// Deletes the row and the counters of a deleted collection that has no items.
pub async fn delete(tx: &mut Tx, id: CollectionId) -> Result<(), Error> {
    // Otherwise the pending changes would create the counters again. No other transaction can lock the collection.
    tx.write_counters().await?;
    let sql = Sql::new("delete from counters where kind = $1 and key = $2");
    tx.execute(sql.bind(CounterKind::Collection.name()).bind(id.to_string())).await?;
    // The range covers all keys that start with the id and a comma: `-` is the character after the comma.
    let sql = Sql::new("delete from counters where kind = $1 and key >= $2 and key < $3");
    let sql = sql.bind(CounterKind::PrivateCollection.name()).bind(format!("{id},")).bind(format!("{id}-"));
    tx.execute(sql).await?;
    tx.execute(Sql::new("delete from collections where id = $1").bind(id.uuid())).await.map(drop)
}

row! {
    #[derive(Debug)]
    struct CountedRow {
        image_count: i64,
        ..collection: Row,
    }
}

row! {
    #[derive(Debug)]
    struct Row {
        id: Uuid,
        name: String,
        user_id: String,
        visibility: String,
        updated_at: DateTime<Utc>,
    }
}

impl TryFrom<Row> for Collection {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: CollectionId::from(row.id),
            name: CollectionName::from_stored(row.name),
            user_id: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            visibility: Visibility::parse(&row.visibility)
                .map_err(|_| Error::Unreadable { column: "visibility", value: row.visibility })?,
            updated_at: row.updated_at,
        })
    }
}

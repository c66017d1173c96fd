//! The `counters` table: exact numbers without counting rows.

use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Adds to counters, in the slots of the image that changes them.
pub fn add(tx: &mut Tx, id: ImageId, changes: impl IntoIterator<Item = (Counter, i64)>) {
    add_in_slot(tx, Counter::slot(id), changes);
}

/// As [`add`], in a given slot, for counters of which only the sum matters.
pub fn add_in_slot(tx: &mut Tx, slot: u8, changes: impl IntoIterator<Item = (Counter, i64)>) {
    tx.counters.add(slot, changes);
}

/// Returns the counter's value including the transaction's own changes; 0 if it never changed.
pub async fn read_in(tx: &mut Tx, counter: &Counter) -> Result<u64, Error> {
    let sql = Sql::new("select cast(coalesce(sum(n), 0) as bigint) from counters where kind = $1 and key = $2");
    let sql = sql.bind(counter.kind.name()).bind(counter.key.as_str());
    let (written,) = tx.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    let pending = tx.counters.difference(counter);
    Ok(u64::try_from(written + pending).unwrap_or_default())
}

/// Returns the counter's value; 0 if it never changed.
pub async fn read(run: impl Run, counter: &Counter) -> Result<u64, Error> {
    let sql = Sql::new("select cast(coalesce(sum(n), 0) as bigint) from counters where kind = $1 and key = $2");
    one(run, sql.bind(counter.kind.name()).bind(counter.key.as_str())).await
}

/// Returns the sum of several counters, from one snapshot.
pub async fn read_sum(run: impl Run, counters: &[Counter]) -> Result<u64, Error> {
    let mut sql = Sql::new("");
    push_sum(&mut sql, counters);
    one(run, sql).await
}

/// Appends the statement of [`read_sum`], for use as a subquery.
pub(in crate::store) fn push_sum(sql: &mut Sql, counters: &[Counter]) {
    sql.push("select cast(coalesce(sum(n), 0) as bigint) from counters where ");
    push_any_of(sql, counters);
}

/// Returns all counters of these kinds, from one snapshot.
pub async fn read_kinds(run: impl Run, kinds: &[CounterKind]) -> Result<Vec<(Counter, i64)>, Error> {
    let mut sql = Sql::new("select kind, key, cast(sum(n) as bigint) from counters where kind in (");
    for (index, kind) in kinds.iter().enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).push_bind(kind.name());
    }
    sql.push(") group by kind, key");
    let rows = run.fetch::<(String, String, i64)>(sql).await?;
    let counter = |(kind, key, n): (String, String, i64)| Some((Counter { kind: CounterKind::parse(&kind)?, key }, n));
    Ok(rows.into_iter().filter_map(counter).collect())
}

/// Returns the sum of all counters of one kind with keys from `first` to `last`, inclusive.
pub async fn read_range(run: impl Run, first: &Counter, last: &Counter) -> Result<u64, Error> {
    let sql = Sql::new("select cast(coalesce(sum(n), 0) as bigint) from counters where kind = $1 and key >= $2 and key <= $3");
    one(run, sql.bind(first.kind.name()).bind(first.key.as_str()).bind(last.key.as_str())).await
}

/// Returns how often these counters have changed, in either direction. While this number is the same, so are the counted sets.
pub async fn moves(run: impl Run, counters: &[Counter]) -> Result<i64, Error> {
    let mut sql = Sql::new("");
    push_moves(&mut sql, counters);
    Ok(run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default().0)
}

/// Appends the statement of [`moves`], for use as a subquery.
pub(in crate::store) fn push_moves(sql: &mut Sql, counters: &[Counter]) {
    sql.push("select cast(coalesce(sum(moves), 0) as bigint) from counters where ");
    push_any_of(sql, counters);
}

fn push_any_of(sql: &mut Sql, counters: &[Counter]) {
    sql.push("(kind, key) in (values ");
    for (index, counter) in counters.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.push_bind(counter.kind.name()).push(", ").push_bind(counter.key.as_str()).push(")");
    }
    sql.push(")");
}

async fn one(run: impl Run, sql: Sql) -> Result<u64, Error> {
    let (sum,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(sum).unwrap_or_default())
}

/// Returns the counters of a kind that differ from the rows they count, and by how much: stored minus actual. For `doctor`.
///
/// Both sides are read in one statement, so that concurrent commits change neither or both.
pub async fn differences(run: impl Run, kind: CounterKind) -> Result<Vec<(String, i64)>, Error> {
    let mut sql = Sql::new("select key, cast(sum(n) as bigint) from (");
    sql.push(match kind {
        CounterKind::All => "select '' as key, count(*) as n from images where deleted_at is null and visibility = 'public'",
        CounterKind::User => {
            "select user_id as key, count(*) as n from images where deleted_at is null and visibility = 'public' group by user_id"
        }
        CounterKind::PrivateUser => {
            "select user_id as key, count(*) as n from images where deleted_at is null and visibility = 'private' group by user_id"
        }
        CounterKind::UserBytes => {
            "select user_id as key, cast(sum(file_size) as bigint) as n from images where deleted_at is null group by user_id"
        }
        CounterKind::UserTrash => {
            "select user_id as key, count(*) as n from images where deleted_at is not null and taken_down is null group by user_id"
        }
        CounterKind::UserTrashBytes => {
            "select user_id as key, cast(sum(file_size) as bigint) as n from images \
             where deleted_at is not null and taken_down is null group by user_id"
        }
        CounterKind::PrivateUserTag => {
            "select user_id || ',' || tag as key, count(*) as n from private_image_tags group by user_id, tag"
        }
        CounterKind::Tag => "select tag as key, count(*) as n from image_tags group by tag",
        CounterKind::UserTag => "select user_id || ',' || tag as key, count(*) as n from image_tags group by user_id, tag",
        CounterKind::Collection => {
            "select c.counter_key as key, count(*) as n from collection_images p join collections c on c.id = p.collection_id \
             where p.sight = 'public' group by c.counter_key"
        }
        CounterKind::PrivateCollection => {
            "select c.counter_key || ',' || p.user_id as key, count(*) as n \
             from collection_images p join collections c on c.id = p.collection_id \
             where p.sight = 'private' group by c.counter_key, p.user_id"
        }
        CounterKind::UserCollections => {
            "select user_id as key, count(*) as n from collections where name is not null group by user_id"
        }
        CounterKind::UserVariantBytes => {
            "select user_id as key, cast(sum(bytes) as bigint) as n from variants \
             where state <> 'removing' and bytes > 0 and user_id is not null group by user_id"
        }
        // A day is a range of ids (see `day_difference`). Statistics have no rows to compare with.
        CounterKind::Day
        | CounterKind::Failed
        | CounterKind::Stored
        | CounterKind::StoredPrivate
        | CounterKind::ProcessingMicros
        | CounterKind::ProcessingMicrosPrivate
        | CounterKind::StageCount
        | CounterKind::StageMicros => return Ok(Vec::new()),
    });
    sql.push(" union all select key, -n as n from counters where kind = ").push_bind(kind.name());
    sql.push(") both_sides group by key having sum(n) <> 0");
    run.fetch(sql).await
}

/// As [`differences`], for the day whose ids range from `first` to `last`.
pub async fn day_difference(run: impl Run, day: &Counter, first: ImageId, last: ImageId) -> Result<i64, Error> {
    let sql = Sql::new(
        "select cast((select count(*) from images where id >= $1 and id <= $2 and deleted_at is null and visibility = 'public') \
         - (select coalesce(sum(n), 0) from counters where kind = $3 and key = $4) as bigint)",
    );
    let sql = sql.bind(first.uuid()).bind(last.uuid()).bind(day.kind.name()).bind(day.key.as_str());
    Ok(run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default().0)
}

/// Returns the days that have a counter.
pub async fn days(run: impl Run) -> Result<Vec<String>, Error> {
    let sql = Sql::new("select distinct key from counters where kind = $1").bind(CounterKind::Day.name());
    Ok(run.fetch::<(String,)>(sql).await?.into_iter().map(|(key,)| key).collect())
}

//! The `collections` and `collection_images` tables.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::db::{Run, Sql, Tx};
use super::error::Error;
use crate::model::caller::UserId;
use crate::model::collection::{Collection, CollectionId, CollectionName, Sight};
use crate::model::counter::CounterKind;
use crate::model::filter::Part;
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};

/// Adds a collection; `false` if there is one of its name.
pub async fn insert(tx: &mut Tx, collection: &Collection) -> Result<bool, Error> {
    let sql = Sql::new(
        "insert into collections (id, name, user_id, visibility, added, updated_at) values ($1, $2, $3, $4, 0, $5) \
         on conflict (name) do nothing",
    )
    .bind(collection.id.uuid())
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

/// Takes a collection's lock until the transaction ends, and returns it as it was.
pub async fn lock(tx: &mut Tx, name: &CollectionName) -> Result<Option<Collection>, Error> {
    let sql = Sql::new(
        "update collections set updated_at = updated_at where name = $1 returning id, name, user_id, visibility, updated_at",
    );
    tx.fetch_optional::<Row>(sql.bind(name.as_str())).await?.map(Collection::try_from).transpose()
}

/// Up to `limit` collections of a user after `last`, newest first.
pub async fn page_of_user(
    run: impl Run,
    user: &UserId,
    last: Option<CollectionId>,
    limit: u32,
) -> Result<Vec<Collection>, Error> {
    let mut sql = Sql::new("select id, name, user_id, visibility, updated_at from collections where user_id = ");
    sql.push_bind(user.as_str());
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Collection::try_from).collect()
}

/// How many collections a user has.
pub async fn count(run: impl Run, user: &UserId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from collections where user_id = $1").bind(user.as_str());
    one(run, sql).await
}

/// Writes what of a collection can be changed.
pub async fn set_visibility(tx: &mut Tx, id: CollectionId, visibility: Visibility, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update collections set visibility = $2, updated_at = $3 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(visibility.name()).bind(now)).await.map(drop)
}

/// Deletes a collection with all that says what is in it; the images stay.
pub async fn delete(tx: &mut Tx, id: CollectionId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from collection_images where collection_id = $1").bind(id.uuid())).await?;
    let sql = Sql::new("delete from counters where kind = $1 and key = $2");
    tx.execute(sql.bind(CounterKind::Collection.name()).bind(id.to_string())).await?;
    // From the comma that follows the id to the character after it.
    let sql = Sql::new("delete from counters where kind = $1 and key >= $2 and key < $3");
    let sql = sql.bind(CounterKind::PrivateCollection.name()).bind(format!("{id},")).bind(format!("{id}-"));
    tx.execute(sql).await?;
    tx.execute(Sql::new("delete from collections where id = $1").bind(id.uuid())).await.map(drop)
}

/// Puts an image at the end of a collection; `false` if it is in it already, wherever.
pub async fn add_image(tx: &mut Tx, id: CollectionId, image: &Image, now: DateTime<Utc>) -> Result<bool, Error> {
    if contains(&mut *tx, id, image.id).await? {
        return Ok(false);
    }
    let sql = Sql::new("update collections set added = added + 1, updated_at = $2 where id = $1 returning added");
    let (position,) = tx.fetch_optional::<(i64,)>(sql.bind(id.uuid()).bind(now)).await?.unwrap_or_default();
    let sql = Sql::new(
        "insert into collection_images (collection_id, position, image_id, user_id, sight) values ($1, $2, $3, $4, $5) \
         on conflict (collection_id, image_id) do nothing",
    );
    let sql = sql.bind(id.uuid()).bind(position).bind(image.id.uuid()).bind(image.user_id.as_str());
    Ok(tx.execute(sql.bind(Sight::of(image).name())).await? == 1)
}

/// Takes an image out of a collection; `false` if it was not in it.
pub async fn remove_image(tx: &mut Tx, id: CollectionId, image: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("delete from collection_images where collection_id = $1 and image_id = $2");
    Ok(tx.execute(sql.bind(id.uuid()).bind(image.uuid())).await? == 1)
}

pub async fn contains(run: impl Run, id: CollectionId, image: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("select count(*) from collection_images where collection_id = $1 and image_id = $2");
    Ok(one(run, sql.bind(id.uuid()).bind(image.uuid())).await? > 0)
}

/// In how many collections an image is.
pub async fn count_of_image(run: impl Run, image: ImageId) -> Result<u64, Error> {
    one(run, Sql::new("select count(*) from collection_images where image_id = $1").bind(image.uuid())).await
}

/// Up to `limit` positions and images of these parts of a collection after `last`, in the order of adding.
pub async fn page_of_images(
    run: impl Run,
    id: CollectionId,
    parts: &[Part],
    last: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, ImageId)>, Error> {
    let rows = run.fetch::<(i64, Uuid)>(page(id, parts, last, limit)).await?;
    Ok(rows.into_iter().map(|(position, image)| (position, ImageId::from(image))).collect())
}

fn page(id: CollectionId, parts: &[Part], last: Option<i64>, limit: u32) -> Sql {
    let mut sql = Sql::new("");
    for (number, part) in parts.iter().enumerate() {
        sql.push(if number == 0 { "select * from (" } else { " union all select * from (" });
        sql.push("select position, image_id from collection_images where collection_id = ").push_bind(id.uuid());
        match part {
            Part::Public => sql.push(" and sight = 'public'"),
            Part::PrivateOf(user) => sql.push(" and sight = 'private' and user_id = ").push_bind(user.as_str()),
        };
        if let Some(last) = last {
            sql.push(" and position > ").push_bind(last);
        }
        sql.push(" order by position").push_limit(limit).push(") part");
    }
    sql.push(" order by position").push_limit(limit);
    sql
}

/// Makes an image's places follow it; returns the collections where that changed something.
pub async fn follow_image(tx: &mut Tx, image: &Image) -> Result<Vec<CollectionId>, Error> {
    let sql = Sql::new("update collection_images set sight = $2 where image_id = $1 and sight <> $2 returning collection_id");
    let rows = tx.fetch::<(Uuid,)>(sql.bind(image.id.uuid()).bind(Sight::of(image).name())).await?;
    Ok(rows.into_iter().map(|(id,)| CollectionId::from(id)).collect())
}

/// Forgets the places of an image that has been deleted since before `cutoff`, and is purged.
pub(super) async fn forget_image(tx: &mut Tx, id: ImageId, cutoff: DateTime<Utc>) -> Result<(), Error> {
    let sql =
        Sql::new("delete from collection_images where image_id = (select id from images where id = $1 and deleted_at <= $2)");
    tx.execute(sql.bind(id.uuid()).bind(cutoff)).await.map(drop)
}

/// As [`super::counters::differences`], for the counters of collections. The keys of counters hold ids as text, which the two
/// databases spell in different ways: so both sides are read in one statement, and compared here.
pub(super) async fn counter_differences(run: impl Run, kind: CounterKind) -> Result<Vec<(String, i64)>, Error> {
    let mut sql = Sql::new(match kind {
        CounterKind::PrivateCollection => {
            "select collection_id, user_id, count(*) from collection_images where sight = 'private' group by collection_id, user_id"
        }
        _ => "select collection_id, '', count(*) from collection_images where sight = 'public' group by collection_id",
    });
    // A counter belongs to no collection by its id, but by its key.
    sql.push(" union all select ").push_bind(Uuid::nil()).push(", key, -cast(sum(n) as bigint) from counters where kind = ");
    sql.push_bind(kind.name()).push(" group by key");
    let mut differences = BTreeMap::<String, i64>::new();
    for (id, text, n) in run.fetch::<(Uuid, String, i64)>(sql).await? {
        let key = match (id.is_nil(), text.is_empty()) {
            (true, _) => text,
            (false, true) => CollectionId::from(id).to_string(),
            (false, false) => format!("{},{text}", CollectionId::from(id)),
        };
        *differences.entry(key).or_default() += n;
    }
    Ok(differences.into_iter().filter(|(_, difference)| *difference != 0).collect())
}

async fn one(run: impl Run, sql: Sql) -> Result<u64, Error> {
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    user_id: String,
    visibility: String,
    updated_at: DateTime<Utc>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::{Db, DbConfig, Location};
    use crate::store::migrate;
    use std::time::Duration;

    /// However many images it has, shown or not.
    #[tokio::test]
    async fn sqlite_reads_a_page_from_where_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("plan.sqlite")), Duration::from_secs(30));
        let config = DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout };
        let db = Db::open(&config).await.unwrap();
        migrate::run(&db).await.unwrap();
        let parts = [Part::Public, Part::PrivateOf(UserId::parse("alice").unwrap())];
        let mut sql = page(CollectionId::from(Uuid::from_u128(7)), &parts, Some(90_000), 21);
        sql.text = format!("explain query plan {}", sql.text).into();
        let plan = db.fetch::<(i64, i64, i64, String)>(sql).await.unwrap();
        let steps: Vec<String> = plan.into_iter().map(|(.., step)| step).collect();
        for index in [
            "collection_images_in_order (collection_id=? AND sight=? AND position>?)",
            "collection_images_private_in_order (collection_id=? AND user_id=? AND position>?)",
        ] {
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:#?}");
        }
        db.close().await;
    }
}

//! The `collection_images` table: the images of each collection, with their positions.
//!
//! Items of an image are written by transactions that hold the image's lock, and deleted by those that hold that lock or the
//! cleanup lock of collections. Positions (`collection_order.rs`) are also changed by those that hold the cleanup lock and the
//! collection's.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::collections;
use crate::model::caller::UserId;
use crate::model::collection::{CollectionId, CollectionItem, ItemVisibility};
use crate::model::filter::Part;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;
use crate::store::images;

/// Appends an image to a collection; returns `false` if the collection already contains it.
pub async fn insert(tx: &mut Tx, id: CollectionId, image: &Image, now: DateTime<Utc>) -> Result<bool, Error> {
    if contains(&mut *tx, id, image.id).await? {
        return Ok(false);
    }
    let position = collections::next_position(tx, id, collections::STEP, now).await?;
    let sql = Sql::new(
        "insert into collection_images (collection_id, position, image_id, user_id, sight) values ($1, $2, $3, $4, $5) \
         on conflict (collection_id, image_id) do nothing",
    );
    let sql = sql.bind(id.uuid()).bind(position).bind(image.id.uuid()).bind(image.user_id.as_str());
    Ok(tx.execute(sql.bind(ItemVisibility::of(image).name())).await? == 1)
}

/// Removes an image from a collection; returns `None` if the collection did not contain it.
pub async fn remove(tx: &mut Tx, id: CollectionId, image: ImageId) -> Result<Option<CollectionItem>, Error> {
    let sql = Sql::new(
        "delete from collection_images where collection_id = $1 and image_id = $2 \
         returning collection_id, image_id, user_id, sight",
    );
    tx.fetch_optional::<Row>(sql.bind(id.uuid()).bind(image.uuid())).await?.map(CollectionItem::try_from).transpose()
}

pub async fn contains(run: impl Run, id: CollectionId, image: ImageId) -> Result<bool, Error> {
    let sql = Sql::new("select count(*) from collection_images where collection_id = $1 and image_id = $2");
    Ok(one(run, sql.bind(id.uuid()).bind(image.uuid())).await? > 0)
}

/// Returns in how many collections of other users an image is.
pub async fn count_in_others_collections(run: impl Run, image: ImageId) -> Result<u64, Error> {
    let sql = Sql::new(
        "select count(*) from collection_images p join collections c on c.id = p.collection_id \
         where p.image_id = $1 and c.user_id <> p.user_id",
    );
    one(run, sql.bind(image.uuid())).await
}

/// Returns up to `limit` images of these parts of a collection after position `last`, in its order, each with its position, from one
/// snapshot.
pub async fn page(
    run: impl Run,
    id: CollectionId,
    parts: &[Part],
    last: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Image)>, Error> {
    let rows = run.fetch::<ImageRow>(page_of(id, parts, last, limit)).await?;
    rows.into_iter().map(|row| Ok((row.position, row.image.image()?))).collect()
}

/// Finds the items first, so that the database joins only the images of the page.
fn page_of(id: CollectionId, parts: &[Part], last: Option<i64>, limit: u32) -> Sql {
    let mut sql = Sql::new(concat!("select ", images::columns!(), ", places.position from ("));
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
    sql.push(") places join images on images.id = places.image_id order by places.position");
    sql
}

/// Returns the items of an image whose visibility differs from the image's.
pub async fn find_outdated(tx: &mut Tx, image: &Image) -> Result<Vec<CollectionItem>, Error> {
    let sql =
        Sql::new("select collection_id, image_id, user_id, sight from collection_images where image_id = $1 and sight <> $2");
    let rows = tx.fetch::<Row>(sql.bind(image.id.uuid()).bind(ItemVisibility::of(image).name())).await?;
    rows.into_iter().map(CollectionItem::try_from).collect()
}

/// Updates an image's items to match the image; returns the collections that changed.
pub async fn sync_with_image(tx: &mut Tx, image: &Image) -> Result<Vec<CollectionId>, Error> {
    let sql = Sql::new("update collection_images set sight = $2 where image_id = $1 and sight <> $2 returning collection_id");
    let rows = tx.fetch::<(Uuid,)>(sql.bind(image.id.uuid()).bind(ItemVisibility::of(image).name())).await?;
    Ok(rows.into_iter().map(|(id,)| CollectionId::from(id)).collect())
}

/// Returns the images from `first` to `last` that have outdated items. For `doctor`.
///
/// Both are read in one statement, so that concurrent commits change neither or both.
pub async fn images_with_outdated_items(run: impl Run, first: ImageId, last: ImageId) -> Result<Vec<ImageId>, Error> {
    let sql = Sql::new(
        "select distinct p.image_id from collection_images p join images i on i.id = p.image_id \
         where p.image_id >= $1 and p.image_id <= $2 \
         and p.sight <> case when i.deleted_at is not null then 'hidden' else i.visibility end",
    );
    let rows = run.fetch::<(Uuid,)>(sql.bind(first.uuid()).bind(last.uuid())).await?;
    Ok(rows.into_iter().map(|(id,)| ImageId::from(id)).collect())
}

/// Deletes the items of a purged image; returns those that were counted. There are none unless a version without collections
/// deleted the image.
pub async fn delete_of_image(tx: &mut Tx, id: ImageId) -> Result<Vec<CollectionItem>, Error> {
    let sql = Sql::new("delete from collection_images where image_id = $1 returning collection_id, image_id, user_id, sight");
    let rows = tx.fetch::<Row>(sql.bind(id.uuid())).await?;
    rows.into_iter().filter(|row| row.sight != ItemVisibility::Hidden.name()).map(CollectionItem::try_from).collect()
}

/// Deletes up to `limit` items of a collection, whatever their visibility, and returns them.
pub async fn delete_batch(tx: &mut Tx, id: CollectionId, limit: u32) -> Result<Vec<CollectionItem>, Error> {
    let mut sql = Sql::new("delete from collection_images where collection_id = ");
    sql.push_bind(id.uuid()).push(" and image_id in (select image_id from collection_images where collection_id = ");
    sql.push_bind(id.uuid()).push(" order by image_id").push_limit(limit);
    sql.push(") returning collection_id, image_id, user_id, sight");
    tx.fetch::<Row>(sql).await?.into_iter().map(CollectionItem::try_from).collect()
}

/// Returns whether a collection has no items.
pub async fn is_empty(run: impl Run, id: CollectionId) -> Result<bool, Error> {
    let sql = Sql::new("select image_id from collection_images where collection_id = $1 limit 1").bind(id.uuid());
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.is_none())
}

async fn one(run: impl Run, sql: Sql) -> Result<u64, Error> {
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

row! {
    #[derive(Debug)]
    struct ImageRow {
        position: i64,
        ..image: images::Row,
    }
}

row! {
    #[derive(Debug)]
    struct Row {
        collection_id: Uuid,
        image_id: Uuid,
        user_id: String,
        sight: String,
    }
}

impl TryFrom<Row> for CollectionItem {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            collection: CollectionId::from(row.collection_id),
            image: ImageId::from(row.image_id),
            owner: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            visibility: ItemVisibility::parse(&row.sight).ok_or(Error::Unreadable { column: "sight", value: row.sight })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::query_plans::Planner;

    /// The search reads only the page, however many public or hidden images the collection has.
    #[tokio::test]
    async fn sqlite_reads_a_page_from_where_it_begins() {
        let db = Planner::new().await;
        let parts = [Part::Public, Part::PrivateOf(UserId::parse("alice").unwrap())];
        let steps = db.plan(page_of(CollectionId::from(Uuid::from_u128(7)), &parts, Some(90_000), 21)).await;
        for index in [
            "collection_images_in_order (collection_id=? AND sight=? AND position>?)",
            "collection_images_private_in_order (collection_id=? AND user_id=? AND position>?)",
            "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)",
        ] {
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:#?}");
        }
        assert!(steps.iter().all(|step| !step.starts_with("SCAN images")), "{steps:#?}");
    }
}

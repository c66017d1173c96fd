//! The order of a collection: the positions of its images, which it finds and changes.
//!
//! Positions are of all items, whatever their visibility. Callers hold the lock of the collection, so that no two of them choose
//! the same position.

use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::collection::CollectionId;
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Returns the positions of two images, each if the user sees that it is in the collection: public images and the user's own.
pub async fn find_positions(
    run: impl Run,
    id: CollectionId,
    images: [ImageId; 2],
    user: &UserId,
) -> Result<[Option<i64>; 2], Error> {
    let sql = Sql::new(
        "select image_id, position from collection_images where collection_id = $1 and image_id in ($2, $3) \
         and (sight = 'public' or sight = 'private' and user_id = $4)",
    );
    let sql = sql.bind(id.uuid()).bind(images[0].uuid()).bind(images[1].uuid()).bind(user.as_str());
    let rows = run.fetch::<(Uuid, i64)>(sql).await?;
    let position = |image: ImageId| rows.iter().find(|(id, _)| *id == image.uuid()).map(|(_, position)| *position);
    Ok(images.map(position))
}

/// Returns the position of the first item after `last`, or of the first of all; the moved image is left out.
pub async fn find_next(run: impl Run, id: CollectionId, moved: ImageId, last: Option<i64>) -> Result<Option<i64>, Error> {
    let mut sql = Sql::new("select position from (");
    push_items_after(&mut sql, id, moved, last, 1);
    sql.push(") found");
    Ok(run.fetch_optional::<(i64,)>(sql).await?.map(|(position,)| position))
}

/// Returns how many items follow `last`, at most `limit`, and the position of the last of these; the moved image is left out.
pub async fn measure(run: impl Run, id: CollectionId, moved: ImageId, last: i64, limit: u32) -> Result<(i64, i64), Error> {
    let mut sql = Sql::new("select count(*), coalesce(max(position), 0) from (");
    push_items_after(&mut sql, id, moved, Some(last), limit);
    sql.push(") followers");
    Ok(run.fetch_optional::<(i64, i64)>(sql).await?.unwrap_or_default())
}

/// Returns the last image of a collection that the user sees: a public one, or the user's own.
pub async fn find_last(run: impl Run, id: CollectionId, user: &UserId) -> Result<Option<ImageId>, Error> {
    let sql = Sql::new(
        "select image_id from (\
         select * from (select position, image_id from collection_images where collection_id = $1 and sight = 'public' \
         order by position desc limit 1) part union all \
         select * from (select position, image_id from collection_images where collection_id = $1 and sight = 'private' \
         and user_id = $2 order by position desc limit 1) part\
         ) items order by position desc limit 1",
    );
    let row = run.fetch_optional::<(Uuid,)>(sql.bind(id.uuid()).bind(user.as_str())).await?;
    Ok(row.map(|(id,)| ImageId::from(id)))
}

/// Spreads the first `limit` items after `last`: the first is then at least two gaps away from it, the second three, and so on.
/// Items that are far enough away stay. The caller has found that there is space, and holds the cleanup lock.
pub async fn spread(tx: &mut Tx, id: CollectionId, moved: ImageId, last: i64, gap: i64, limit: u32) -> Result<(), Error> {
    tx.execute(spread_of(id, moved, last, gap, limit)).await.map(drop)
}

fn spread_of(id: CollectionId, moved: ImageId, last: i64, gap: i64, limit: u32) -> Sql {
    let mut sql = Sql::new("update collection_images set position = target from (select image_id as follower, ");
    sql.push("(row_number() over (order by position) + 1) * ").push_bind(gap).push(" + ").push_bind(last);
    sql.push(" as target from (");
    push_items_after(&mut sql, id, moved, Some(last), limit);
    sql.push(") followers) spread where position < target and image_id = follower and collection_id = ").push_bind(id.uuid());
    sql
}

/// Appends a query for up to `limit` items after `last`, in their order. It searches once for each visibility, because the index
/// begins with that.
fn push_items_after(sql: &mut Sql, id: CollectionId, moved: ImageId, last: Option<i64>, limit: u32) {
    for (number, search) in [
        "select * from (select position, image_id from collection_images where sight = 'public' and collection_id = ",
        " union all select * from (select position, image_id from collection_images where sight = 'private' and collection_id = ",
        " union all select * from (select position, image_id from collection_images where sight = 'hidden' and collection_id = ",
    ]
    .into_iter()
    .enumerate()
    {
        sql.push(if number == 0 { "select * from (" } else { "" });
        sql.push(search).push_bind(id.uuid()).push(" and image_id <> ").push_bind(moved.uuid());
        if let Some(last) = last {
            sql.push(" and position > ").push_bind(last);
        }
        sql.push(" order by position").push_limit(limit).push(") part");
    }
    sql.push(") items order by position").push_limit(limit);
}

/// Sets the position of an image.
pub async fn set_position(tx: &mut Tx, id: CollectionId, image: ImageId, position: i64) -> Result<(), Error> {
    let sql = Sql::new("update collection_images set position = $3 where collection_id = $1 and image_id = $2");
    tx.execute(sql.bind(id.uuid()).bind(image.uuid()).bind(position)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::query_plans::Planner;

    /// The cost depends on the number of items that are spread, and not on the size of the collection.
    #[tokio::test]
    async fn sqlite_reads_only_the_items_that_it_spreads() {
        let db = Planner::new().await;
        let (id, moved) = (CollectionId::from(Uuid::from_u128(7)), ImageId::from(Uuid::from_u128(8)));
        let steps = db.plan(spread_of(id, moved, 90_000, 16, 32)).await;
        let searches =
            steps.iter().filter(|step| step.contains("collection_images_in_order (collection_id=? AND sight=? AND position>?)"));
        assert_eq!(searches.count(), 3, "{steps:#?}");
        let update = "SEARCH collection_images USING PRIMARY KEY (collection_id=? AND image_id=?)";
        assert!(steps.iter().any(|step| step.contains(update)), "{steps:#?}");
    }
}

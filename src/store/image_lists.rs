//! Lists and counts of live images, by part: public ones, and one user's private ones.

use sqlx::types::Json;
use uuid::Uuid;

use super::db::{Run, Sql};
use super::error::Error;
use super::images::{Row, columns};
use super::plans::FeaturesRow;
use crate::model::collection::CollectionId;
use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::plan::Features;
use crate::model::tag::Tag;

/// Up to `limit` live images of these parts after `last`, newest first, of one moment. `filter.tags` should begin with the
/// rarest one.
pub async fn page(
    run: impl Run,
    filter: &ImageFilter,
    parts: &[Part],
    last: Option<ImageId>,
    limit: u32,
) -> Result<Vec<Image>, Error> {
    run.fetch::<Row>(page_of(filter, parts, last, limit)).await?.into_iter().map(Image::try_from).collect()
}

/// Each part is read in its own order, from its own indexes, as far as the page goes.
fn page_of(filter: &ImageFilter, parts: &[Part], last: Option<ImageId>, limit: u32) -> Sql {
    let mut sql = Sql::new("");
    if let [part] = parts {
        push_page(&mut sql, filter, part, last, limit);
        return sql;
    }
    for (number, part) in parts.iter().enumerate() {
        sql.push(if number == 0 { "select * from (" } else { " union all select * from (" });
        push_page(&mut sql, filter, part, last, limit);
        sql.push(") part");
    }
    sql.push(" order by id desc").push_limit(limit);
    sql
}

fn push_page(sql: &mut Sql, filter: &ImageFilter, part: &Part, last: Option<ImageId>, limit: u32) {
    sql.push(concat!("select ", columns!(), " from images where "));
    match filter.tags.as_slice() {
        [] => {
            match filter.collection {
                None => {
                    push_part(sql, filter, part);
                    push_id_range(sql, " and id", filter, last);
                    sql.push(" order by id desc").push_limit(limit);
                }
                // As with tags: the collection's index has the ids in their order.
                Some(collection) => {
                    sql.push("id in (");
                    push_ids_of_collection(sql, collection, filter, part, last);
                    sql.push(" order by c.image_id desc").push_limit(limit).push(") and ");
                    sql.push(condition(part)).push(" order by id desc");
                }
            }
        }
        // The ids are found in the index of tags first, so that the database joins no more rows than the page has.
        [first, others @ ..] => {
            sql.push("id in (select t.image_id");
            push_tagged(sql, (first, others), filter, part, last);
            sql.push(" order by t.image_id desc").push_limit(limit).push(") and ");
            // As the tags say already; what another version of the service may have left there is not shown.
            sql.push(condition(part)).push(" order by id desc");
        }
    }
}

/// Up to `limit` live public images after `last` that were imported, newest first, and whether the plan of each one's owner
/// gives its original.
pub async fn page_of_imported(run: impl Run, last: Option<ImageId>, limit: u32) -> Result<Vec<(ImageId, bool)>, Error> {
    let mut sql = Sql::new(
        "select id, (select p.features from accounts a join plans p on p.name = a.plan where a.user_id = images.user_id) \
         from images where imported and deleted_at is null and visibility = 'public'",
    );
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    let rows = run.fetch::<(Uuid, Option<Json<FeaturesRow>>)>(sql).await?;
    let given = |features: Option<Json<FeaturesRow>>| features.is_none_or(|Json(features)| Features::from(features).original);
    Ok(rows.into_iter().map(|(id, features)| (ImageId::from(id), given(features))).collect())
}

/// Counts live images of a part row by row, for filters that no counter covers; and how often the counters in `watched` have moved,
/// in the same snapshot.
pub async fn count(run: impl Run, filter: &ImageFilter, part: &Part, watched: &[Counter]) -> Result<(u64, i64), Error> {
    let mut sql = Sql::new("select (select count(*) from ");
    match filter.tags.as_slice() {
        [] => match filter.collection {
            None => {
                sql.push("images where ");
                push_part(&mut sql, filter, part);
                push_id_range(&mut sql, " and id", filter, None);
            }
            Some(collection) => {
                sql.push("(");
                push_ids_of_collection(&mut sql, collection, filter, part, None);
                sql.push(") collected");
            }
        },
        [first, others @ ..] => {
            sql.push("(");
            push_ids_of_tag(&mut sql, first, filter, part);
            for tag in others {
                sql.push(" intersect ");
                push_ids_of_tag(&mut sql, tag, filter, part);
            }
            if let Some(collection) = filter.collection {
                sql.push(" intersect ");
                push_ids_of_collection(&mut sql, collection, filter, part, None);
            }
            // Ordered, SQLite merges the tags' indexes, in a fifth of the time of looking up each image of one tag in
            // the other's; the limit keeps it from forgetting about the order.
            sql.push(" order by image_id").push_limit(u32::MAX).push(") tagged");
        }
    }
    sql.push("), (");
    super::counters::push_moves(&mut sql, watched);
    sql.push(")");
    let (count, moves) = run.fetch_optional::<(i64, i64)>(sql).await?.unwrap_or_default();
    Ok((u64::try_from(count).unwrap_or_default(), moves))
}

/// The part's live images, of the filter's user.
fn push_part(sql: &mut Sql, filter: &ImageFilter, part: &Part) {
    let user = match part {
        Part::Public => filter.user_id.as_ref(),
        Part::PrivateOf(user) => Some(user),
    };
    sql.push(condition(part));
    if let Some(user) = user {
        sql.push(" and user_id = ").push_bind(user.as_str());
    }
}

/// As the partial indexes have it.
fn condition(part: &Part) -> &'static str {
    match part {
        Part::Public => "deleted_at is null and visibility = 'public'",
        Part::PrivateOf(_) => "deleted_at is null and visibility = 'private'",
    }
}

/// The table of the part's tags, and the filter's user.
fn push_tags_of(sql: &mut Sql, filter: &ImageFilter, part: &Part) {
    let (table, user) = match part {
        Part::Public => ("image_tags t where ", filter.user_id.as_ref()),
        Part::PrivateOf(user) => ("private_image_tags t where ", Some(user)),
    };
    sql.push(table);
    if let Some(user) = user {
        sql.push("t.user_id = ").push_bind(user.as_str()).push(" and ");
    }
}

fn push_ids_of_tag(sql: &mut Sql, tag: &Tag, filter: &ImageFilter, part: &Part) {
    sql.push("select t.image_id from ");
    push_tags_of(sql, filter, part);
    sql.push("t.tag = ").push_bind(tag.as_str());
    push_id_range(sql, " and t.image_id", filter, None);
}

fn push_tagged(sql: &mut Sql, (first, others): (&Tag, &[Tag]), filter: &ImageFilter, part: &Part, last: Option<ImageId>) {
    sql.push(" from ");
    push_tags_of(sql, filter, part);
    sql.push("t.tag = ").push_bind(first.as_str());
    push_id_range(sql, " and t.image_id", filter, last);
    for tag in others {
        match part {
            Part::Public => sql.push(" and exists (select 1 from image_tags o where "),
            Part::PrivateOf(user) => sql
                .push(" and exists (select 1 from private_image_tags o where o.user_id = ")
                .push_bind(user.as_str())
                .push(" and "),
        };
        sql.push("o.tag = ").push_bind(tag.as_str()).push(" and o.image_id = t.image_id)");
    }
    if let Some(collection) = filter.collection {
        sql.push(" and exists (select 1 from collection_images o where o.collection_id = ").push_bind(collection.uuid());
        sql.push(" and o.image_id = t.image_id)");
    }
}

/// Ids of the part's images in a collection, of the filter's user and dates.
fn push_ids_of_collection(sql: &mut Sql, id: CollectionId, filter: &ImageFilter, part: &Part, last: Option<ImageId>) {
    sql.push("select c.image_id from collection_images c where c.collection_id = ").push_bind(id.uuid());
    let user = match part {
        Part::Public => {
            sql.push(" and c.sight = 'public'");
            filter.user_id.as_ref()
        }
        Part::PrivateOf(user) => {
            sql.push(" and c.sight = 'private'");
            Some(user)
        }
    };
    if let Some(user) = user {
        sql.push(" and c.user_id = ").push_bind(user.as_str());
    }
    push_id_range(sql, " and c.image_id", filter, last);
}

/// A date filter is a range of ids, for ids begin with their time.
fn push_id_range(sql: &mut Sql, column: &'static str, filter: &ImageFilter, last: Option<ImageId>) {
    if let Some(start) = filter.start {
        sql.push(column).push(" >= ").push_bind(ImageId::first_at(start).uuid());
    }
    if let Some(end) = filter.end {
        sql.push(column).push(" <= ").push_bind(ImageId::last_at(end).uuid());
    }
    if let Some(last) = last {
        sql.push(column).push(" < ").push_bind(last.uuid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::UserId;
    use crate::store::db::{Db, DbConfig, Location};
    use crate::store::migrate;
    use std::time::Duration;

    /// However many private images there are, a public page does not walk over them, and the other way round.
    #[tokio::test]
    async fn sqlite_reads_each_part_from_indexes_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("plan.sqlite")), Duration::from_secs(30));
        let config = DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout };
        let db = Db::open(&config).await.unwrap();
        migrate::run(&db).await.unwrap();
        let alice = UserId::parse("alice").unwrap();
        let (all, own) = (ImageFilter::default(), ImageFilter { user_id: Some(alice.clone()), ..ImageFilter::default() });
        let (public, private, sea) = (Part::Public, Part::PrivateOf(alice), Tag::parse("sea").unwrap());
        let tagged = |filter: &ImageFilter| ImageFilter { tags: vec![sea.clone()], ..filter.clone() };
        let both = [public.clone(), private.clone()];
        for (filter, parts, index) in [
            (&all, &both[..1], "images_live"),
            (&own, &both[..1], "images_by_user"),
            (&all, &both[1..], "images_private"),
            (&all, &both[..], "images_live"),
            (&all, &both[..], "images_private"),
            (&tagged(&all), &both[..1], "SEARCH t USING PRIMARY KEY (tag=?)"),
            (&tagged(&own), &both[..1], "image_tags_by_user"),
            (&tagged(&all), &both[1..], "SEARCH t USING PRIMARY KEY (user_id=? AND tag=?)"),
        ] {
            let mut sql = page_of(filter, parts, None, 20);
            sql.text = format!("explain query plan {}", sql.text).into();
            let plan = db.fetch::<(i64, i64, i64, String)>(sql).await.unwrap();
            let steps: Vec<String> = plan.into_iter().map(|(.., step)| step).collect();
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:#?}");
            assert!(
                steps.iter().all(|step| !step.contains("SCAN images") || step.contains("images_live")),
                "{index}: {steps:#?}"
            );
        }
        db.close().await;
    }
}

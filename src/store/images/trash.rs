//! The lists of deleted images: those that their owner has deleted, and those that an administrator has taken down.

use chrono::{DateTime, Utc};

use super::{Row, columns};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::store::database::db::{Run, Sql};
use crate::store::database::error::Error;

/// Returns up to `limit` images, the most recently deleted first, after the one with this time of deletion and this id. Images that an
/// administrator has deleted are not among them.
pub async fn page(
    run: impl Run,
    user: &UserId,
    after: Option<(DateTime<Utc>, ImageId)>,
    limit: u32,
) -> Result<Vec<Image>, Error> {
    let mut sql = Sql::new(concat!(
        "select ",
        columns!(),
        " from images where user_id = $1 and deleted_at is not null and taken_down is null"
    ))
    .bind(user.as_str());
    if let Some((deleted_at, id)) = after {
        sql.push(" and (deleted_at, id) < (").push_bind(deleted_at).push(", ").push_bind(id.uuid()).push(")");
    }
    sql.push(" order by deleted_at desc, id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Row::image).collect()
}

/// Returns up to `limit` images that administrators have taken down, the most recently deleted first.
pub async fn taken_down(run: impl Run, user: &UserId, limit: u32) -> Result<Vec<Image>, Error> {
    let mut sql = Sql::new(concat!("select ", columns!(), " from images where user_id = $1 and taken_down is not null"))
        .bind(user.as_str());
    sql.push(" order by deleted_at desc, id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Row::image).collect()
}

//! The `image_tags` table: which live images have which tags.

use super::db::{Sql, Tx};
use super::error::Error;
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::tag::Tag;

pub async fn insert(tx: &mut Tx, user: &UserId, id: ImageId, tags: &[Tag]) -> Result<(), Error> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("insert into image_tags (tag, user_id, image_id) values ");
    for (index, tag) in tags.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.push_bind(tag.as_str()).push(", ").push_bind(user.as_str()).push(", ").push_bind(id.uuid()).push(")");
    }
    tx.execute(sql).await.map(drop)
}

/// Takes all tags of an image away.
pub async fn delete_all(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from image_tags where image_id = $1").bind(id.uuid())).await.map(drop)
}

//! The `image_tags` and `private_image_tags` tables: the tags of live images, public and private ones separately.

use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::store::database::db::{Sql, Tx};
use crate::store::database::error::Error;

/// Inserts the tags of the image.
pub async fn insert(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    if image.tags.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new(match image.visibility {
        Visibility::Public => "insert into image_tags (tag, user_id, image_id) values ",
        Visibility::Private => "insert into private_image_tags (tag, user_id, image_id) values ",
    });
    for (index, tag) in image.tags.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.push_bind(tag.as_str()).push(", ").push_bind(image.user_id.as_str()).push(", ").push_bind(image.id.uuid()).push(")");
    }
    tx.execute(sql).await.map(drop)
}

/// Deletes all tags of the image from both tables.
pub async fn delete_all(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from image_tags where image_id = $1").bind(id.uuid())).await?;
    tx.execute(Sql::new("delete from private_image_tags where image_id = $1").bind(id.uuid())).await.map(drop)
}

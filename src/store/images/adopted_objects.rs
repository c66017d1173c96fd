//! The `adopted_objects` table: which image was made from which object.

use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Returns the image that a user has from an object, live or deleted.
pub async fn find(run: impl Run, user: &UserId, object: &[u8]) -> Result<Option<ImageId>, Error> {
    let sql = Sql::new("select image_id from adopted_objects where user_id = $1 and object = $2");
    let row = run.fetch_optional::<(Uuid,)>(sql.bind(user.as_str()).bind(object.to_vec())).await?;
    Ok(row.map(|(id,)| ImageId::from(id)))
}

/// Records the image of an object, in place of `replaced`. Returns `false` if the object has another image.
pub async fn insert(tx: &mut Tx, user: &UserId, object: &[u8], image: ImageId, replaced: Option<ImageId>) -> Result<bool, Error> {
    if let Some(replaced) = replaced {
        let sql = Sql::new("delete from adopted_objects where user_id = $1 and object = $2 and image_id = $3");
        tx.execute(sql.bind(user.as_str()).bind(object.to_vec()).bind(replaced.uuid())).await?;
    }
    let sql = Sql::new(
        "insert into adopted_objects (user_id, object, image_id) values ($1, $2, $3) on conflict (user_id, object) do nothing",
    );
    Ok(tx.execute(sql.bind(user.as_str()).bind(object.to_vec()).bind(image.uuid())).await? == 1)
}

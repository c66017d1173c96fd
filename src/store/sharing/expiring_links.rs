//! The `image_links` table: expiring links.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::account::{ExpiringLink, LinkId};
use crate::model::id::ImageId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

pub async fn insert(tx: &mut Tx, image: ImageId, link: &ExpiringLink, token_hash: &[u8]) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into image_links (id, image_id, token_hash, expires_at, max_views, views) values ($1, $2, $3, $4, $5, 0)",
    )
    .bind(link.id.uuid())
    .bind(image.uuid())
    .bind(token_hash.to_vec())
    .bind(link.expires_at)
    .bind(link.max_views.map(i64::from));
    tx.execute(sql).await.map(drop)
}

/// A link that a client opens.
#[derive(Debug)]
pub struct Opened {
    pub image: ImageId,
    pub link: ExpiringLink,
    /// Whether the account of the image's owner is disabled.
    pub owner_is_disabled: bool,
}

/// Returns the link with this token.
pub async fn find(run: impl Run, token_hash: &[u8]) -> Result<Option<Opened>, Error> {
    row! {
        struct OpenedRow {
            owner_is_disabled: bool,
            ..link: Row,
        }
    }
    let sql = Sql::new(
        "select image_id, id, expires_at, max_views, views, paid_bytes, exists (select 1 from images i \
         join accounts a on a.user_id = i.user_id where i.id = image_links.image_id and a.disabled_at is not null) \
         as owner_is_disabled from image_links where token_hash = $1",
    );
    let opened =
        |OpenedRow { link, owner_is_disabled }| Opened { image: link.image_id.into(), link: link.into(), owner_is_disabled };
    Ok(run.fetch_optional::<OpenedRow>(sql.bind(token_hash.to_vec())).await?.map(opened))
}

/// Locks a link until the transaction ends, so that paid and taken bytes are consistent.
pub async fn lock(tx: &mut Tx, id: LinkId) -> Result<(), Error> {
    tx.execute(Sql::new("update image_links set views = views where id = $1").bind(id.uuid())).await.map(drop)
}

/// Counts a view of a link, which pays for `part_bytes` that will be fetched later; returns `false` if the link has expired.
pub async fn count_view(tx: &mut Tx, id: LinkId, part_bytes: u64, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update image_links set views = views + 1, paid_bytes = paid_bytes + $3 \
         where id = $1 and expires_at > $2 and (max_views is null or views < max_views)",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(now).bind(bytes(part_bytes))).await? == 1)
}

/// Takes bytes that a view has paid for; returns `false` if too few are left, or the link has expired.
pub async fn take_paid(tx: &mut Tx, id: LinkId, part_bytes: u64, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql =
        Sql::new("update image_links set paid_bytes = paid_bytes - $3 where id = $1 and expires_at > $2 and paid_bytes >= $3");
    Ok(tx.execute(sql.bind(id.uuid()).bind(now).bind(bytes(part_bytes))).await? == 1)
}

/// Takes free bytes, of which a link has `max_bytes` in total; returns `false` if too few are left, or the link has expired.
pub async fn take_free(tx: &mut Tx, id: LinkId, part_bytes: u64, max_bytes: u64, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update image_links set probed_bytes = probed_bytes + $3 \
         where id = $1 and expires_at > $2 and (max_views is null or views < max_views) and probed_bytes + $3 <= $4",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(now).bind(bytes(part_bytes)).bind(bytes(max_bytes))).await? == 1)
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the links of an image, newest first.
pub async fn of_image(run: impl Run, image: ImageId) -> Result<Vec<ExpiringLink>, Error> {
    let sql = Sql::new(
        "select image_id, id, expires_at, max_views, views, paid_bytes from image_links where image_id = $1 order by id desc",
    );
    Ok(run.fetch::<Row>(sql.bind(image.uuid())).await?.into_iter().map(ExpiringLink::from).collect())
}

pub async fn count(run: impl Run, image: ImageId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from image_links where image_id = $1").bind(image.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Deletes a link of an image, by its id or by its token; returns `false` if there is none.
pub async fn delete(tx: &mut Tx, image: ImageId, id: Option<LinkId>, token_hash: &[u8]) -> Result<bool, Error> {
    let mut sql = Sql::new("delete from image_links where image_id = ");
    sql.push_bind(image.uuid());
    match id {
        Some(id) => sql.push(" and id = ").push_bind(id.uuid()),
        None => sql.push(" and token_hash = ").push_bind(token_hash.to_vec()),
    };
    Ok(tx.execute(sql).await? == 1)
}

/// Deletes all links of a purged image.
pub async fn delete_all(tx: &mut Tx, image: ImageId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from image_links where image_id = $1").bind(image.uuid())).await.map(drop)
}

/// Deletes up to `limit` links that expired at or before `cutoff`; returns how many.
pub async fn delete_expired(tx: &mut Tx, cutoff: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new("select id from image_links where expires_at <= $1 order by expires_at limit $2");
    let expired = tx.fetch::<(Uuid,)>(sql.bind(cutoff).bind(limit)).await?;
    for (id,) in &expired {
        tx.execute(Sql::new("delete from image_links where id = $1").bind(*id)).await?;
    }
    Ok(expired.len() as u64)
}

row! {
    #[derive(Debug)]
    struct Row {
        image_id: Uuid,
        id: Uuid,
        expires_at: DateTime<Utc>,
        max_views: Option<i64>,
        views: i64,
        paid_bytes: i64,
    }
}

impl From<Row> for ExpiringLink {
    fn from(row: Row) -> Self {
        let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            id: row.id.into(),
            expires_at: row.expires_at,
            max_views: row.max_views.map(number),
            views: number(row.views),
            paid_bytes: u64::try_from(row.paid_bytes).unwrap_or_default(),
        }
    }
}

//! The `shares` table. The database deletes shares with their image or collection. Those of a deleted collection stay until the sweeper
//! deletes its row, but are not found.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::collection::CollectionName;
use crate::model::plan::Features;
use crate::model::share::{Share, ShareId, ShareTarget, ShareTerms, ShareToken};
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;
use crate::store::identity::plans::FeaturesRow;

/// The columns of [`Row`], for `shares s left join collections c`.
const COLUMNS: &str = "s.id, s.token, s.user_id, s.image_id, s.collection_id, c.name as collection_name, s.expires_at, \
                       s.password_hash, s.max_guest_images, s.guest_images";

/// Shares whose image or collection exists. A deleted collection has no name.
const FROM: &str = " from shares s left join collections c on c.id = s.collection_id \
                    where (s.collection_id is null or c.name is not null)";

pub async fn insert(tx: &mut Tx, share: &Share) -> Result<(), Error> {
    let (image, collection) = ids(&share.target);
    let sql = Sql::new(
        "insert into shares (id, token, user_id, image_id, collection_id, expires_at, password_hash, max_guest_images, guest_images) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(share.id.uuid())
    .bind(share.token.as_str())
    .bind(share.owner.as_str())
    .bind(image)
    .bind(collection)
    .bind(share.terms.expires_at)
    .bind(share.terms.password_hash.clone())
    .bind(share.terms.max_guest_images.map(i64::from))
    .bind(i64::from(share.guest_images));
    tx.execute(sql).await.map(drop)
}

fn ids(target: &ShareTarget) -> (Option<Uuid>, Option<Uuid>) {
    match target {
        ShareTarget::Image(id) => (Some(id.uuid()), None),
        ShareTarget::Collection(id, _) => (None, Some(id.uuid())),
    }
}

/// A share that a visitor opens.
#[derive(Debug)]
pub struct Opened {
    pub share: Share,
    /// What the owner's plan includes; `None` means everything.
    pub features: Option<Features>,
    /// Whether the owner's account is disabled.
    pub owner_is_disabled: bool,
}

pub async fn find_by_token(run: impl Run, token: &ShareToken) -> Result<Option<Opened>, Error> {
    row! {
        struct OpenedRow {
            owner_is_disabled: bool,
            features: Option<Json<FeaturesRow>>,
            ..share: Row,
        }
    }
    let mut sql = Sql::new("select ");
    sql.push(COLUMNS).push(
        ", exists (select 1 from accounts a where a.user_id = s.user_id and a.disabled_at is not null) as owner_is_disabled, \
         (select p.features from accounts a join plans p on p.name = a.plan where a.user_id = s.user_id) as features",
    );
    sql.push(FROM).push(" and s.token = ").push_bind(token.as_str());
    let opened = |OpenedRow { owner_is_disabled, features, share }| {
        let features = features.map(|Json(features)| features.into());
        Ok(Opened { share: share.try_into()?, features, owner_is_disabled })
    };
    run.fetch_optional::<OpenedRow>(sql).await?.map(opened).transpose()
}

/// Returns a share of a user.
pub async fn find(run: impl Run, user: &UserId, id: ShareId) -> Result<Option<Share>, Error> {
    let mut sql = Sql::new("select ");
    sql.push(COLUMNS).push(FROM).push(" and s.id = ").push_bind(id.uuid()).push(" and s.user_id = ").push_bind(user.as_str());
    run.fetch_optional::<Row>(sql).await?.map(Share::try_from).transpose()
}

/// Returns up to `limit` shares of a user after `last`, newest first: all, or those of an image or a collection.
pub async fn page_of_user(
    run: impl Run,
    user: &UserId,
    target: Option<&ShareTarget>,
    last: Option<ShareId>,
    limit: u32,
) -> Result<Vec<Share>, Error> {
    let mut sql = Sql::new("select ");
    sql.push(COLUMNS).push(FROM).push(" and s.user_id = ").push_bind(user.as_str());
    match target {
        None => {}
        Some(ShareTarget::Image(id)) => drop(sql.push(" and s.image_id = ").push_bind(id.uuid())),
        Some(ShareTarget::Collection(id, _)) => drop(sql.push(" and s.collection_id = ").push_bind(id.uuid())),
    }
    if let Some(last) = last {
        sql.push(" and s.id < ").push_bind(last.uuid());
    }
    sql.push(" order by s.id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Share::try_from).collect()
}

/// Returns how many shares an image or a collection has.
pub async fn count(run: impl Run, target: &ShareTarget) -> Result<u64, Error> {
    let sql = match target {
        ShareTarget::Image(id) => Sql::new("select count(*) from shares where image_id = $1").bind(id.uuid()),
        ShareTarget::Collection(id, _) => Sql::new("select count(*) from shares where collection_id = $1").bind(id.uuid()),
    };
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Locks a share until the transaction ends.
pub async fn lock(tx: &mut Tx, id: ShareId) -> Result<(), Error> {
    tx.execute(Sql::new("update shares set guest_images = guest_images where id = $1").bind(id.uuid())).await.map(drop)
}

pub async fn set_terms(tx: &mut Tx, id: ShareId, terms: &ShareTerms) -> Result<(), Error> {
    let sql = Sql::new("update shares set expires_at = $2, password_hash = $3, max_guest_images = $4 where id = $1")
        .bind(id.uuid())
        .bind(terms.expires_at)
        .bind(terms.password_hash.clone())
        .bind(terms.max_guest_images.map(i64::from));
    tx.execute(sql).await.map(drop)
}

/// Counts an image that a visitor adds; returns `false` if the share has expired or does not permit it.
pub async fn count_guest_image(tx: &mut Tx, id: ShareId, now: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update shares set guest_images = guest_images + 1 \
         where id = $1 and guest_images < max_guest_images and (expires_at is null or expires_at > $2)",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(now)).await? == 1)
}

/// Deletes a share of a user; returns `false` if there is none.
pub async fn delete(tx: &mut Tx, user: &UserId, id: ShareId) -> Result<bool, Error> {
    let sql = Sql::new("delete from shares where id = $1 and user_id = $2");
    Ok(tx.execute(sql.bind(id.uuid()).bind(user.as_str())).await? == 1)
}

/// Deletes all shares of a user.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from shares where user_id = $1").bind(user.as_str())).await.map(drop)
}

/// Deletes up to `limit` shares that expired at or before `cutoff`; returns how many.
pub async fn delete_expired(tx: &mut Tx, cutoff: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let mut sql = Sql::new("delete from shares where id in (select id from shares where expires_at <= ");
    sql.push_bind(cutoff).push(" order by expires_at").push_limit(limit).push(")");
    tx.execute(sql).await
}

row! {
    #[derive(Debug)]
    struct Row {
        id: Uuid,
        token: String,
        user_id: String,
        image_id: Option<Uuid>,
        collection_id: Option<Uuid>,
        collection_name: Option<String>,
        expires_at: Option<DateTime<Utc>>,
        password_hash: Option<String>,
        max_guest_images: Option<i64>,
        guest_images: i64,
    }
}

impl TryFrom<Row> for Share {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let target = match (row.image_id, row.collection_id, row.collection_name) {
            (Some(id), None, _) => ShareTarget::Image(id.into()),
            (None, Some(id), Some(name)) => ShareTarget::Collection(id.into(), CollectionName::from_stored(name)),
            _ => return Err(Error::Unreadable { column: "image_id", value: row.id.to_string() }),
        };
        Ok(Self {
            id: row.id.into(),
            token: ShareToken::from_generated(row.token),
            owner: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            target,
            terms: ShareTerms {
                expires_at: row.expires_at,
                password_hash: row.password_hash,
                max_guest_images: row.max_guest_images.map(number),
            },
            guest_images: number(row.guest_images),
        })
    }
}

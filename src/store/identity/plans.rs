//! The `plans` table.

use serde_json::json;
use sqlx::types::Json;

use crate::model::image::ThumbnailSize;
use crate::model::plan::{Features, Plan, PlanName};
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::names::deserialize_name;
use crate::store::database::row::row;

/// Returns all plans, by name.
pub async fn all(run: impl Run) -> Result<Vec<Plan>, Error> {
    let sql = Sql::new("select name, features, built_in from plans order by name");
    Ok(run.fetch::<Row>(sql).await?.into_iter().map(Plan::from).collect())
}

pub async fn find(run: impl Run, name: &PlanName) -> Result<Option<Plan>, Error> {
    let sql = Sql::new("select name, features, built_in from plans where name = $1").bind(name.as_str());
    Ok(run.fetch_optional::<Row>(sql).await?.map(Plan::from))
}

/// Locks a plan until the transaction ends, so that it is neither deleted nor changed.
pub async fn lock(tx: &mut Tx, name: &PlanName) -> Result<Option<Plan>, Error> {
    let sql = Sql::new("update plans set built_in = built_in where name = $1 returning name, features, built_in");
    Ok(tx.fetch_optional::<Row>(sql.bind(name.as_str())).await?.map(Plan::from))
}

pub async fn count(run: impl Run) -> Result<u64, Error> {
    let (count,) = run.fetch_optional::<(i64,)>(Sql::new("select count(*) from plans")).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Inserts a plan; returns `false` if the name exists.
pub async fn insert(tx: &mut Tx, name: &PlanName, features: &Features) -> Result<bool, Error> {
    let sql = Sql::new("insert into plans (name, features, built_in) values ($1, $2, false) on conflict (name) do nothing");
    Ok(tx.execute(sql.bind(name.as_str()).bind(to_json(features))).await? == 1)
}

/// Updates what a plan allows; returns `false` if there is no such plan.
pub async fn set_features(tx: &mut Tx, name: &PlanName, features: &Features) -> Result<bool, Error> {
    let sql = Sql::new("update plans set features = $2 where name = $1");
    Ok(tx.execute(sql.bind(name.as_str()).bind(to_json(features))).await? == 1)
}

/// Deletes a plan, which must be locked, unless it is built in or an account has it; returns whether it was deleted.
pub async fn delete(tx: &mut Tx, name: &PlanName) -> Result<bool, Error> {
    // Deleted accounts do not use their plan, so they must not keep it from being deleted.
    let sql = Sql::new(
        "update accounts set plan = (select min(name) from plans where built_in) where plan = $1 and deleted_at is not null",
    );
    tx.execute(sql.bind(name.as_str())).await?;
    let sql = Sql::new(
        "delete from plans where name = $1 and not built_in and not exists (select 1 from accounts where accounts.plan = plans.name)",
    );
    Ok(tx.execute(sql.bind(name.as_str())).await? == 1)
}

fn to_json(features: &Features) -> serde_json::Value {
    let Features { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images } = features;
    let thumbnails: Vec<_> = thumbnails.iter().map(|size| size.name()).collect();
    json!({
        "thumbnails": thumbnails, "original": original, "expiring_links": expiring_links, "custom_sizes": custom_sizes,
        "imports": imports, "max_bytes": max_bytes, "max_images": max_images,
    })
}

row! {
    #[derive(Debug)]
    struct Row {
        name: String,
        features: Json<FeaturesRow>,
        built_in: bool,
    }
}

/// Features as stored.
#[derive(Debug, serde::Deserialize)]
pub(in crate::store) struct FeaturesRow {
    thumbnails: Vec<SizeRow>,
    original: bool,
    expiring_links: bool,
    custom_sizes: bool,
    imports: bool,
    max_bytes: Option<u64>,
    max_images: Option<u64>,
}

#[derive(Debug, serde::Deserialize)]
struct SizeRow(#[serde(deserialize_with = "deserialize_name")] ThumbnailSize);

impl From<FeaturesRow> for Features {
    fn from(row: FeaturesRow) -> Self {
        let FeaturesRow { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images } = row;
        let thumbnails = thumbnails.into_iter().map(|SizeRow(size)| size).collect();
        Self { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images }
    }
}

impl From<Row> for Plan {
    fn from(row: Row) -> Self {
        Self { name: PlanName::from_stored(row.name), features: row.features.0.into(), built_in: row.built_in }
    }
}

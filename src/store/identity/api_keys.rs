//! The `api_keys` table.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::account::{AccountId, ApiKey, KeyId, Scope};
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

pub async fn insert(tx: &mut Tx, key: &ApiKey, hash: &[u8]) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into api_keys (id, account_id, description, scopes, hash, last_used_at, expires_at) values ($1, $2, $3, $4, $5, null, $6)",
    )
    .bind(key.id.uuid())
    .bind(key.account_id.uuid())
    .bind(key.description.as_str())
    .bind(scopes_to_text(key.scopes.as_ref()))
    .bind(hash.to_vec())
    .bind(key.expires_at);
    tx.execute(sql).await.map(drop)
}

pub async fn find(run: impl Run, account: AccountId, id: KeyId) -> Result<Option<ApiKey>, Error> {
    let sql = Sql::new(
        "select id, account_id, description, scopes, hash, last_used_at, expires_at from api_keys where id = $1 and account_id = $2",
    );
    let row = run.fetch_optional::<Row>(sql.bind(id.uuid()).bind(account.uuid())).await?;
    Ok(row.map(Row::split).transpose()?.map(|(key, _)| key))
}

/// Returns the key and the hash of its secret.
pub async fn find_with_hash(run: impl Run, id: KeyId) -> Result<Option<(ApiKey, Vec<u8>)>, Error> {
    let sql = Sql::new("select id, account_id, description, scopes, hash, last_used_at, expires_at from api_keys where id = $1");
    run.fetch_optional::<Row>(sql.bind(id.uuid())).await?.map(Row::split).transpose()
}

/// Returns all keys of an account, newest first.
pub async fn of_account(run: impl Run, account: AccountId) -> Result<Vec<ApiKey>, Error> {
    let sql = Sql::new(
        "select id, account_id, description, scopes, hash, last_used_at, expires_at from api_keys where account_id = $1 order by id desc",
    );
    let rows = run.fetch::<Row>(sql.bind(account.uuid())).await?;
    rows.into_iter().map(|row| Ok(row.split()?.0)).collect()
}

pub async fn count(run: impl Run, account: AccountId) -> Result<u64, Error> {
    let sql = Sql::new("select count(*) from api_keys where account_id = $1").bind(account.uuid());
    let (count,) = run.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Updates the changeable fields of a key; returns `false` if there is no such key.
pub async fn update(tx: &mut Tx, key: &ApiKey) -> Result<bool, Error> {
    let sql = Sql::new("update api_keys set description = $3, scopes = $4, expires_at = $5 where id = $1 and account_id = $2");
    let sql = sql.bind(key.id.uuid()).bind(key.account_id.uuid());
    Ok(tx.execute(sql.bind(key.description.as_str()).bind(scopes_to_text(key.scopes.as_ref())).bind(key.expires_at)).await? == 1)
}

/// Deletes a key; returns `false` if there is no such key.
pub async fn delete(tx: &mut Tx, account: AccountId, id: KeyId) -> Result<bool, Error> {
    let sql = Sql::new("delete from api_keys where id = $1 and account_id = $2");
    Ok(tx.execute(sql.bind(id.uuid()).bind(account.uuid())).await? == 1)
}

/// Deletes all keys of an account.
pub async fn delete_of(tx: &mut Tx, account: AccountId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from api_keys where account_id = $1").bind(account.uuid())).await.map(drop)
}

/// Records a use, unless one was recorded after `since`.
pub async fn touch(tx: &mut Tx, id: KeyId, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update api_keys set last_used_at = $3 where id = $1 and (last_used_at is null or last_used_at <= $2)");
    tx.execute(sql.bind(id.uuid()).bind(since).bind(now)).await.map(drop)
}

fn scopes_to_text(scopes: Option<&BTreeSet<Scope>>) -> Option<String> {
    scopes.map(|scopes| scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(","))
}

row! {
    #[derive(Debug)]
    struct Row {
        id: Uuid,
        account_id: Uuid,
        description: String,
        scopes: Option<String>,
        hash: Vec<u8>,
        last_used_at: Option<DateTime<Utc>>,
        expires_at: Option<DateTime<Utc>>,
    }
}

impl Row {
    fn split(self) -> Result<(ApiKey, Vec<u8>), Error> {
        let Self { id, account_id, description, scopes, hash, last_used_at, expires_at } = self;
        let read = |text: String| {
            let scopes: Result<BTreeSet<Scope>, _> = text.split(',').filter(|name| !name.is_empty()).map(Scope::parse).collect();
            scopes.map_err(|_| Error::Unreadable { column: "scopes", value: text })
        };
        let scopes = scopes.map(read).transpose()?;
        Ok((ApiKey { id: id.into(), account_id: account_id.into(), description, scopes, last_used_at, expires_at }, hash))
    }
}

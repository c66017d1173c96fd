//! The `sessions` table: logins. And `signing_keys`: the secrets that access tokens are signed with.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::accounts::{Row, columns};
use crate::model::account::{Account, AccountId, SessionId};
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

pub async fn insert(
    tx: &mut Tx,
    id: SessionId,
    account: AccountId,
    (refresh_id, refresh_hash): (Uuid, &[u8]),
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = Sql::new("insert into sessions (id, account_id, refresh_id, refresh_hash, expires_at) values ($1, $2, $3, $4, $5)");
    let sql = sql.bind(id.uuid()).bind(account.uuid()).bind(refresh_id).bind(refresh_hash.to_vec()).bind(expires_at);
    tx.execute(sql).await.map(drop)
}

/// Returns the account of a session that has not expired.
pub async fn account_of(run: impl Run, id: SessionId, now: DateTime<Utc>) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!(
        "select ",
        columns!(),
        " from accounts join sessions s on s.account_id = accounts.id where s.id = $1 and s.expires_at > $2"
    ));
    run.fetch_optional::<Row>(sql.bind(id.uuid()).bind(now)).await?.map(Account::try_from).transpose()
}

/// A session, as looked up by a refresh token.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub account_id: AccountId,
    /// Hash of the newest refresh token.
    pub refresh_hash: Vec<u8>,
    pub expires_at: DateTime<Utc>,
    /// How the newest refresh token was issued; `None` if by the login.
    pub rotation: Option<Rotation>,
}

/// The exchange of a refresh token for the newest one.
#[derive(Debug)]
pub struct Rotation {
    /// Hash of the token that was exchanged.
    pub previous_hash: Vec<u8>,
    /// Salt with which the newest token was derived from the previous one.
    pub salt: Vec<u8>,
    pub at: DateTime<Utc>,
}

/// Locks a session until the transaction ends; returns it.
pub async fn lock(tx: &mut Tx, refresh_id: Uuid) -> Result<Option<Session>, Error> {
    let sql = Sql::new(
        "update sessions set expires_at = expires_at where refresh_id = $1 \
         returning id, account_id, refresh_hash, expires_at, previous_hash, rotation_salt, rotated_at",
    );
    Ok(tx.fetch_optional::<SessionRow>(sql.bind(refresh_id)).await?.map(Session::from))
}

row! {
    #[derive(Debug)]
    struct SessionRow {
        id: Uuid,
        account_id: Uuid,
        refresh_hash: Vec<u8>,
        expires_at: DateTime<Utc>,
        previous_hash: Option<Vec<u8>>,
        rotation_salt: Option<Vec<u8>>,
        rotated_at: Option<DateTime<Utc>>,
    }
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let rotation = match (row.previous_hash, row.rotation_salt, row.rotated_at) {
            (Some(previous_hash), Some(salt), Some(at)) => Some(Rotation { previous_hash, salt, at }),
            _ => None,
        };
        Self {
            id: row.id.into(),
            account_id: row.account_id.into(),
            refresh_hash: row.refresh_hash,
            expires_at: row.expires_at,
            rotation,
        }
    }
}

/// Replaces the refresh token.
pub async fn rotate(
    tx: &mut Tx,
    id: SessionId,
    refresh_hash: &[u8],
    rotation: &Rotation,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = Sql::new(
        "update sessions set refresh_hash = $2, expires_at = $3, previous_hash = $4, rotation_salt = $5, rotated_at = $6 where id = $1",
    );
    let sql = sql.bind(id.uuid()).bind(refresh_hash.to_vec()).bind(expires_at);
    tx.execute(sql.bind(rotation.previous_hash.clone()).bind(rotation.salt.clone()).bind(rotation.at)).await.map(drop)
}

/// Deletes a session, which invalidates all of its tokens.
pub async fn delete(tx: &mut Tx, id: SessionId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from sessions where id = $1").bind(id.uuid())).await.map(drop)
}

/// Returns the unexpired sessions of an account, newest first, each with its expiry.
pub async fn of_account(run: impl Run, account: AccountId, now: DateTime<Utc>) -> Result<Vec<(SessionId, DateTime<Utc>)>, Error> {
    let sql = Sql::new("select id, expires_at from sessions where account_id = $1 and expires_at > $2 order by id desc");
    let rows = run.fetch::<(Uuid, DateTime<Utc>)>(sql.bind(account.uuid()).bind(now)).await?;
    Ok(rows.into_iter().map(|(id, expires_at)| (id.into(), expires_at)).collect())
}

/// Deletes a session of an account; returns `false` if it has no session with this id.
pub async fn delete_one_of(tx: &mut Tx, account: AccountId, id: SessionId) -> Result<bool, Error> {
    let sql = Sql::new("delete from sessions where id = $1 and account_id = $2").bind(id.uuid()).bind(account.uuid());
    Ok(tx.execute(sql).await? == 1)
}

/// Deletes an account's sessions, except the `keep` newest.
pub async fn delete_of(tx: &mut Tx, account: AccountId, keep: u32) -> Result<(), Error> {
    let mut sql = Sql::new("delete from sessions where account_id = ");
    sql.push_bind(account.uuid()).push(" and id not in (select id from sessions where account_id = ").push_bind(account.uuid());
    sql.push(" order by id desc").push_limit(keep).push(")");
    tx.execute(sql).await.map(drop)
}

/// Deletes up to `limit` expired sessions; returns how many.
pub async fn delete_expired(tx: &mut Tx, now: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new("select id from sessions where expires_at <= $1 order by expires_at limit $2");
    let expired = tx.fetch::<(Uuid,)>(sql.bind(now).bind(limit)).await?;
    for (id,) in &expired {
        tx.execute(Sql::new("delete from sessions where id = $1 and expires_at <= $2").bind(*id).bind(now)).await?;
    }
    Ok(expired.len() as u64)
}

row! {
    /// A secret that access tokens are signed with.
    #[derive(Debug, Clone)]
    pub struct SigningKey {
        pub generation: i64,
        pub secret: Vec<u8>,
        pub created_at: DateTime<Utc>,
    }
}

/// Returns up to `limit` keys, newest first.
pub async fn signing_keys(run: impl Run, limit: u32) -> Result<Vec<SigningKey>, Error> {
    let mut sql = Sql::new("select generation, secret, created_at from signing_keys order by generation desc");
    sql.push_limit(limit);
    run.fetch(sql).await
}

/// Inserts a key, unless another instance has already done so.
pub async fn add_signing_key(tx: &mut Tx, key: &SigningKey) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into signing_keys (generation, secret, created_at) values ($1, $2, $3) on conflict (generation) do nothing",
    );
    tx.execute(sql.bind(key.generation).bind(key.secret.clone()).bind(key.created_at)).await?;
    // The previous key still verifies tokens; all tokens of older keys have expired.
    tx.execute(Sql::new("delete from signing_keys where generation < $1").bind(key.generation - 1)).await.map(drop)
}

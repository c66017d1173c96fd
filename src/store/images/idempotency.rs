//! The `idempotency_keys` table: requests that may come again, and what was answered the first time.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Of the request's payload.
    pub fingerprint: Vec<u8>,
    /// The image or the job that the first request makes or made.
    pub subject: Uuid,
    /// What of the answer may change later; `None` while the first request is running.
    pub response: Option<serde_json::Value>,
    pub created_at: DateTime<Utc>,
    /// Until when the request is taken for alive; `None` where a version before leases claimed the key.
    pub leased_until: Option<DateTime<Utc>>,
}

/// When a key is claimed, and until when it is held unless that is renewed.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Takes the key for a request; `false` when there is a record already.
pub async fn claim(
    tx: &mut Tx,
    user: &UserId,
    key: &str,
    fingerprint: &[u8],
    subject: Uuid,
    lease: Lease,
) -> Result<bool, Error> {
    let sql = Sql::new(
        "insert into idempotency_keys (user_id, key, fingerprint, image_id, response, created_at, leased_until) \
         values ($1, $2, $3, $4, null, $5, $6) on conflict (user_id, key) do nothing",
    );
    let sql = sql.bind(user.as_str()).bind(key).bind(fingerprint.to_vec()).bind(subject).bind(lease.now);
    Ok(tx.execute(sql.bind(lease.until)).await? == 1)
}

/// Holds the key for longer; `false` when the request no longer has it.
pub async fn renew(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid, until: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update idempotency_keys set leased_until = $4 where user_id = $1 and key = $2 and image_id = $3 and response is null",
    );
    Ok(tx.execute(sql.bind(user.as_str()).bind(key).bind(subject).bind(until)).await? == 1)
}

pub async fn find(run: impl Run, user: &UserId, key: &str) -> Result<Option<Record>, Error> {
    type Row = (Vec<u8>, Uuid, Option<Json<serde_json::Value>>, DateTime<Utc>, Option<DateTime<Utc>>);
    let sql = Sql::new(
        "select fingerprint, image_id, response, created_at, leased_until from idempotency_keys where user_id = $1 and key = $2",
    );
    let row = run.fetch_optional::<Row>(sql.bind(user.as_str()).bind(key)).await?;
    Ok(row.map(|(fingerprint, subject, response, created_at, leased_until)| Record {
        fingerprint,
        subject,
        response: response.map(|Json(response)| response),
        created_at,
        leased_until,
    }))
}

/// Forgets the record that `subject` holds; `false` when it holds it no longer.
pub async fn forget(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid) -> Result<bool, Error> {
    let sql = Sql::new("delete from idempotency_keys where user_id = $1 and key = $2 and image_id = $3");
    Ok(tx.execute(sql.bind(user.as_str()).bind(key).bind(subject)).await? == 1)
}

/// As [`forget`], but only while the request is running.
pub async fn release(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid) -> Result<(), Error> {
    let sql = Sql::new("delete from idempotency_keys where user_id = $1 and key = $2 and image_id = $3 and response is null");
    tx.execute(sql.bind(user.as_str()).bind(key).bind(subject)).await.map(drop)
}

/// Keeps the answer; `false` when another request has taken the key over.
pub async fn complete(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid, response: serde_json::Value) -> Result<bool, Error> {
    let sql = Sql::new(
        "update idempotency_keys set response = $4 where user_id = $1 and key = $2 and image_id = $3 and response is null",
    );
    let sql = sql.bind(user.as_str()).bind(key).bind(subject).bind(response);
    Ok(tx.execute(sql).await? == 1)
}

/// Forgets up to `limit` records as old as `cutoff`; returns how many there were.
pub async fn delete_expired(tx: &mut Tx, cutoff: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new(
        "delete from idempotency_keys where (user_id, key) in \
         (select user_id, key from idempotency_keys where created_at <= $1 order by created_at limit $2)",
    );
    tx.execute(sql.bind(cutoff).bind(limit)).await
}

//! The `idempotency_keys` table: keys of requests that clients may repeat, and the response to the first one.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// A stored idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Hash of the request's payload.
    pub fingerprint: Vec<u8>,
    /// Id of the image or job that the first request creates.
    pub subject: Uuid,
    /// The parts of the response that may change later; `None` while the first request is running.
    pub response: Option<serde_json::Value>,
    pub created_at: DateTime<Utc>,
    /// Until when the request is assumed to be running; `None` if a version without leases claimed the key.
    pub leased_until: Option<DateTime<Utc>>,
}

/// When a key is claimed, and when the lease expires unless renewed.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Claims the key for a request; returns `false` if a record exists.
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

/// Renews the lease; returns `false` if the request has lost the key.
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

/// Deletes the record of `subject`; returns `false` if `subject` has lost the key.
pub async fn forget(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid) -> Result<bool, Error> {
    let sql = Sql::new("delete from idempotency_keys where user_id = $1 and key = $2 and image_id = $3");
    Ok(tx.execute(sql.bind(user.as_str()).bind(key).bind(subject)).await? == 1)
}

/// As [`forget`], but only while the request is running.
pub async fn release(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid) -> Result<(), Error> {
    let sql = Sql::new("delete from idempotency_keys where user_id = $1 and key = $2 and image_id = $3 and response is null");
    tx.execute(sql.bind(user.as_str()).bind(key).bind(subject)).await.map(drop)
}

/// Stores the response; returns `false` if another request has taken over the key.
pub async fn complete(tx: &mut Tx, user: &UserId, key: &str, subject: Uuid, response: serde_json::Value) -> Result<bool, Error> {
    let sql = Sql::new(
        "update idempotency_keys set response = $4 where user_id = $1 and key = $2 and image_id = $3 and response is null",
    );
    let sql = sql.bind(user.as_str()).bind(key).bind(subject).bind(response);
    Ok(tx.execute(sql).await? == 1)
}

/// Deletes up to `limit` records created at or before `cutoff`; returns how many.
pub async fn delete_expired(tx: &mut Tx, cutoff: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new(
        "delete from idempotency_keys where (user_id, key) in \
         (select user_id, key from idempotency_keys where created_at <= $1 order by created_at limit $2)",
    );
    tx.execute(sql.bind(cutoff).bind(limit)).await
}

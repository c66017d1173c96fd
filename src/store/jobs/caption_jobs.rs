//! The `caption_jobs` table: images that wait for a caption, as a queue that instances share.
//!
//! A job exists from the transaction that requests the caption to the one that settles it. A claim has a lease, the job's
//! `due_at`, and a fencing token, which changes with every claim: a worker whose lease has expired may continue, but cannot
//! settle the job once another worker has claimed it. Users take turns.
//!
//! Rows are locked in this order: the image, its job.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::id::{CaptionClaimId, ImageId};
use crate::model::image::Image;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// A claimed job.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub claim: Claim,
    /// The owner of the image, whose turn it was.
    pub user_id: UserId,
    /// Number of claims, including this one.
    pub attempts: u32,
    /// Whether the previous worker's lease expired.
    pub was_held: bool,
}

/// Identifies one claim of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub image_id: ImageId,
    pub fence: CaptionClaimId,
}

/// Enqueues a caption job. An existing job gets all of its attempts again; a running one is left to its worker while its lease
/// lasts.
pub async fn enqueue(tx: &mut Tx, image: &Image, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into caption_jobs (image_id, user_id, attempts, due_at) values ($1, $2, 0, $3) \
         on conflict (image_id) do update set attempts = 0, \
         due_at = case when caption_jobs.claim is null then $3 else caption_jobs.due_at end",
    );
    tx.execute(sql.bind(image.id.uuid()).bind(image.user_id.as_str()).bind(now)).await.map(drop)
}

/// Makes the job of a restored image due.
pub async fn resume(tx: &mut Tx, image: ImageId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update caption_jobs set due_at = $2 where image_id = $1 and claim is null");
    tx.execute(sql.bind(image.uuid()).bind(now)).await.map(drop)
}

/// Returns whether a job is due.
pub async fn is_due(run: impl Run, now: DateTime<Utc>) -> Result<bool, Error> {
    Ok(run.fetch_optional::<Next>(next("", now)).await?.is_some())
}

/// The next due job, and the fencing token of a worker that did not settle it.
type Next = (Uuid, Option<Uuid>);

/// Selects the next due job after this user's turn.
fn next(after: &str, now: DateTime<Utc>) -> Sql {
    Sql::new("select image_id, claim from caption_jobs where user_id > $1 and due_at <= $2 order by user_id, due_at limit 1")
        .bind(after)
        .bind(now)
}

/// Claims a job of the user after `last`, or of the first user; `None` if none is due, or another instance claimed it first.
pub async fn claim(
    tx: &mut Tx,
    last: Option<&UserId>,
    fence: CaptionClaimId,
    (lease_end, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<ClaimedJob>, Error> {
    let mut found = None;
    if let Some(last) = last {
        found = tx.fetch_optional::<Next>(next(last.as_str(), now)).await?;
    }
    if found.is_none() {
        found = tx.fetch_optional::<Next>(next("", now)).await?;
    }
    let Some((id, holder)) = found else { return Ok(None) };
    // Repeats the condition, because PostgreSQL re-evaluates it on the row that a concurrent claim has committed.
    let sql = Sql::new(
        "update caption_jobs set claim = $2, attempts = attempts + 1, due_at = $3 where image_id = $1 and due_at <= $4 \
         returning user_id, attempts",
    );
    let sql = sql.bind(id).bind(fence.uuid()).bind(lease_end).bind(now);
    let Some((user_id, attempts)) = tx.fetch_optional::<(String, i64)>(sql).await? else { return Ok(None) };
    Ok(Some(ClaimedJob {
        claim: Claim { image_id: ImageId::from(id), fence },
        user_id: UserId::parse(&user_id).map_err(|_| Error::Unreadable { column: "user_id", value: user_id })?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        was_held: holder.is_some(),
    }))
}

// Each of these returns `false` if the claim is no longer valid; the transaction must then not be committed.

/// Renews the lease.
pub async fn renew(tx: &mut Tx, claim: Claim, lease_end: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new("update caption_jobs set due_at = $3 where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql).bind(lease_end)).await? == 1)
}

/// Deletes the job.
pub async fn finish(tx: &mut Tx, claim: Claim) -> Result<bool, Error> {
    let sql = Sql::new("delete from caption_jobs where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql)).await? == 1)
}

/// Schedules a retry at `due_at`.
pub async fn retry_at(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new("update caption_jobs set claim = null, due_at = $3 where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

/// As [`retry_at`], without counting the attempt.
pub async fn release(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    // A caption may have been requested again in the meantime, which reset the attempts to 0.
    let sql = Sql::new(
        "update caption_jobs set claim = null, due_at = $3, attempts = case when attempts > 0 then attempts - 1 else 0 end \
         where image_id = $1 and claim = $2",
    );
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

fn of(claim: Claim, sql: Sql) -> Sql {
    sql.bind(claim.image_id.uuid()).bind(claim.fence.uuid())
}

/// Returns the number of jobs.
pub async fn count(run: impl Run) -> Result<i64, Error> {
    Ok(run.fetch_optional::<(i64,)>(Sql::new("select count(*) from caption_jobs")).await?.unwrap_or_default().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::query_plans::Planner;

    /// The search stops at the first job that is due, however many there are.
    #[tokio::test]
    async fn sqlite_finds_the_next_turn_in_the_order_of_its_index() {
        let steps = Planner::new().await.plan(next("alice", DateTime::UNIX_EPOCH)).await;
        assert_eq!(steps, ["SEARCH caption_jobs USING INDEX caption_jobs_by_turn (user_id>?)"]);
    }
}

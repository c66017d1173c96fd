//! The `caption_jobs` table: images that wait for a caption, as a queue that instances share.
//!
//! A job is there from the transaction that asks for the caption to the one that settles it. A claim has a lease, the
//! job's `due_at`, and a fence, which is new with every claim: whoever's lease has ended may go on, but can settle nothing once
//! another has claimed the job. Users take turns.
//!
//! Rows are locked in one order: the image, its job.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::id::{CaptionClaimId, ImageId};
use crate::model::image::Image;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// A job that was taken.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub claim: Claim,
    /// The image's owner, whose turn it was.
    pub user_id: UserId,
    /// Claims, this one too.
    pub attempts: u32,
    /// Its last holder died.
    pub was_held: bool,
}

/// Which claim of which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub image_id: ImageId,
    pub fence: CaptionClaimId,
}

/// Asks for a caption. A job that is there has all its attempts anew; one that is being worked on is left to its holder, for as
/// long as he lives.
pub async fn ask(tx: &mut Tx, image: &Image, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into caption_jobs (image_id, user_id, attempts, due_at) values ($1, $2, 0, $3) \
         on conflict (image_id) do update set attempts = 0, \
         due_at = case when caption_jobs.claim is null then $3 else caption_jobs.due_at end",
    );
    tx.execute(sql.bind(image.id.uuid()).bind(image.user_id.as_str()).bind(now)).await.map(drop)
}

/// Takes up the job of an image that is live again.
pub async fn resume(tx: &mut Tx, image: ImageId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update caption_jobs set due_at = $2 where image_id = $1 and claim is null");
    tx.execute(sql.bind(image.uuid()).bind(now)).await.map(drop)
}

/// Whether a job can be taken.
pub async fn is_due(run: impl Run, now: DateTime<Utc>) -> Result<bool, Error> {
    Ok(run.fetch_optional::<Next>(next("", now)).await?.is_some())
}

/// A job that can be taken, and the claim of a holder that did not settle it.
type Next = (Uuid, Option<Uuid>);

/// The job whose turn it is after this user's.
fn next(after: &str, now: DateTime<Utc>) -> Sql {
    Sql::new("select image_id, claim from caption_jobs where user_id > $1 and due_at <= $2 order by user_id, due_at limit 1")
        .bind(after)
        .bind(now)
}

/// Takes a job of the user after `last`, or of the first one; `None` when there is none, or another was quicker.
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
    // The condition again: PostgreSQL looks at the row as it is when another claim has committed.
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

// Each of these is `false` when the claim no longer holds; then the transaction must not be committed.

/// Lengthens the lease.
pub async fn renew(tx: &mut Tx, claim: Claim, lease_end: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new("update caption_jobs set due_at = $3 where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql).bind(lease_end)).await? == 1)
}

/// There is nothing more to do.
pub async fn finish(tx: &mut Tx, claim: Claim) -> Result<bool, Error> {
    let sql = Sql::new("delete from caption_jobs where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql)).await? == 1)
}

/// It is to be tried again after `due_at`.
pub async fn put_off(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new("update caption_jobs set claim = null, due_at = $3 where image_id = $1 and claim = $2");
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

/// As [`put_off`], and the claim does not count.
pub async fn give_back(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    // It may have been asked for anew meanwhile.
    let sql = Sql::new(
        "update caption_jobs set claim = null, due_at = $3, attempts = case when attempts > 0 then attempts - 1 else 0 end \
         where image_id = $1 and claim = $2",
    );
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

fn of(claim: Claim, sql: Sql) -> Sql {
    sql.bind(claim.image_id.uuid()).bind(claim.fence.uuid())
}

/// How many jobs there are.
pub async fn count(run: impl Run) -> Result<i64, Error> {
    Ok(run.fetch_optional::<(i64,)>(Sql::new("select count(*) from caption_jobs")).await?.unwrap_or_default().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::query_plans::Planner;

    /// However many jobs there are, it ends with the first that is due.
    #[tokio::test]
    async fn sqlite_finds_the_next_turn_in_the_order_of_its_index() {
        let steps = Planner::new().await.plan(next("alice", DateTime::UNIX_EPOCH)).await;
        assert_eq!(steps, ["SEARCH caption_jobs USING INDEX caption_jobs_by_turn (user_id>?)"]);
    }
}

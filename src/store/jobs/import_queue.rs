//! The `import_items` table as a queue that instances share.
//!
//! A transaction that takes from the queue or adds to it locks the single row of `import_queue` until it ends, so that no two
//! claim the same item or exceed the limit per host. A claim has a lease and a fencing token: the id of the image that the item
//! will become, which changes with every claim. A worker whose lease has expired may continue, but cannot settle the item once
//! another worker has claimed it.
//!
//! The order is fair because users take turns (`import_users`). Finding a user who can be served does not scan items:
//! `import_lanes` has one row per user and host with pending items.
//!
//! Rows are locked in this order: the queue, the job, the item.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::import_lanes;
use super::imports::{count_settled, lock_job};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::job::JobId;
use crate::model::tag::Tag;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

/// An item to import.
#[derive(Debug, Clone)]
pub struct QueuedItem {
    pub job_id: JobId,
    pub position: i64,
    pub user_id: UserId,
    pub host: String,
    pub url: String,
    /// Tags of the job.
    pub tags: Vec<Tag>,
    /// Visibility of the job's images.
    pub visibility: Visibility,
    /// Whether the job's images keep their location metadata.
    pub keep_location: bool,
    /// Number of previous claims.
    pub attempts: u32,
}

/// Identifies one claim of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub job_id: JobId,
    pub position: i64,
    /// Id of the image that the item will become.
    pub image_id: ImageId,
}

/// Locks the queue until the transaction ends; returns a number that increases with every lock.
pub async fn lock(tx: &mut Tx) -> Result<i64, Error> {
    let sql = Sql::new("update import_queue set served = served + 1 where id = 1 returning served");
    Ok(tx.fetch_optional::<(i64,)>(sql).await?.unwrap_or_default().0)
}

/// The kinds of work in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueWork {
    /// Items are pending.
    pub pending: bool,
    /// Items are due for a retry.
    pub waiting: bool,
    /// Leases have expired.
    pub expired: bool,
}

/// Returns which kinds of work the queue has.
pub async fn due_work(run: impl Run, now: DateTime<Utc>) -> Result<DueWork, Error> {
    let sql = Sql::new(
        "select case when exists (select 1 from import_items where state = 'pending') then 1 else 0 end, \
         case when exists (select 1 from import_items where state in ('waiting', 'running') and due_at <= $1 and state = 'waiting') \
         then 1 else 0 end, \
         case when exists (select 1 from import_items where state in ('waiting', 'running') and due_at <= $1 and state = 'running') \
         then 1 else 0 end",
    );
    let (pending, waiting, expired) = run.fetch_optional::<(i32, i32, i32)>(sql.bind(now)).await?.unwrap_or_default();
    Ok(DueWork { pending: pending == 1, waiting: waiting == 1, expired: expired == 1 })
}

/// Makes up to `limit` items pending again whose retry is due. The queue must be locked.
pub async fn wake_waiting(tx: &mut Tx, now: DateTime<Utc>, limit: u32) -> Result<(), Error> {
    type Row = (Uuid, i64, String, String);
    let sql = Sql::new(
        "select job_id, position, user_id, host from import_items \
         where state in ('waiting', 'running') and due_at <= $1 and state = 'waiting' order by due_at limit $2",
    );
    let due = tx.fetch::<Row>(sql.bind(now).bind(limit)).await?;
    // One by one: in a single statement, PostgreSQL, whose statistics may lag behind a queue that has just grown, scans the due
    // items once for each waiting one.
    for (job_id, position, ..) in &due {
        let sql = Sql::new("update import_items set state = 'pending' where job_id = $1 and position = $2 and state = 'waiting'");
        tx.execute(sql.bind(*job_id).bind(*position)).await?;
    }
    import_lanes::open(tx, &due.iter().map(|(_, _, user, host)| (user.as_str(), host.as_str())).collect()).await
}

macro_rules! queued_item {
    ($condition:literal) => {
        concat!(
            "select i.job_id, i.position, i.user_id, i.host, i.url, i.attempts, j.tags, j.visibility, j.keep_location \
             from import_items i join imports j on j.id = i.job_id where (i.job_id, i.position) = \
             (select q.job_id, q.position from import_items q where ",
            $condition
        )
    };
}

/// Returns a running item whose lease has expired. Items that have been claimed `attempts` times are only included if it expired
/// before `long_ago`.
pub async fn find_expired(
    tx: &mut Tx,
    attempts: u32,
    long_ago: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<QueuedItem>, Error> {
    let sql = Sql::new(queued_item!(
        "q.state in ('waiting', 'running') and q.due_at <= $1 and q.state = 'running' \
         and (q.attempts < $2 or q.due_at <= $3) order by q.due_at limit 1)"
    ));
    let sql = sql.bind(now).bind(attempts).bind(long_ago);
    tx.fetch_optional::<Row>(sql).await?.map(QueuedItem::try_from).transpose()
}

/// Returns the next item: of the user who was served longest ago, except the users in `except` and hosts with `per_host` running
/// items. The queue must be locked.
pub async fn find_next(tx: &mut Tx, per_host: u32, except: &[UserId]) -> Result<Option<QueuedItem>, Error> {
    while let Some((user, host)) = import_lanes::find_next(tx, per_host, except).await? {
        let sql = Sql::new(queued_item!(
            "q.state = 'pending' and q.user_id = $1 and q.host = $2 order by q.job_id, q.position limit 1)"
        ));
        let found = tx.fetch_optional::<Row>(sql.bind(user.as_str()).bind(host.as_str())).await?;
        if let Some(found) = found {
            return QueuedItem::try_from(found).map(Some);
        }
        import_lanes::close(tx, &user, &host).await?;
    }
    Ok(None)
}

/// Claims an item until `lease_end`, in the transaction that found it; `served` is the number that [`lock`] returned. Returns
/// `false` if its previous worker still holds it.
pub async fn claim(
    tx: &mut Tx,
    item: &QueuedItem,
    served: i64,
    image_id: ImageId,
    (lease_end, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool, Error> {
    // Does not lock a job that has already started: a worker that is storing one of its images may hold that lock for a while.
    let job = Sql::new("update imports set started_at = $2 where id = $1 and started_at is null");
    tx.execute(job.bind(item.job_id.uuid()).bind(now)).await?;
    let sql = Sql::new(
        "update import_items set state = 'running', attempts = attempts + 1, image_id = $3, due_at = $4 \
         where job_id = $1 and position = $2 and (state = 'pending' or state = 'running' and due_at <= $5)",
    );
    let sql = sql.bind(item.job_id.uuid()).bind(item.position).bind(image_id.uuid()).bind(lease_end).bind(now);
    if tx.execute(sql).await? == 0 {
        return Ok(false);
    }
    let user = Sql::new("update import_users set served = $2 where user_id = $1");
    tx.execute(user.bind(item.user_id.as_str()).bind(served)).await?;
    Ok(true)
}

/// Fails a running item whose lease has expired; returns `false`, without changes, if its worker has renewed the lease.
pub async fn fail_expired(tx: &mut Tx, item: &QueuedItem, reason: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    lock_job(tx, item.job_id).await?;
    let sql = Sql::new(
        "update import_items set state = 'failed', due_at = $3, reason = $4, image_id = null \
         where job_id = $1 and position = $2 and state = 'running' and due_at <= $3",
    );
    if tx.execute(sql.bind(item.job_id.uuid()).bind(item.position).bind(now).bind(reason)).await? == 0 {
        return Ok(false);
    }
    count_settled(tx, item.job_id, 0, 1, now).await?;
    Ok(true)
}

// Each of these returns `false` if the claim is no longer valid. In that case `complete` and `fail` have already updated the
// job's totals, so the transaction must not be committed; the others have changed nothing.

/// Renews the lease.
pub async fn renew(tx: &mut Tx, claim: Claim, lease_end: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update import_items set due_at = $4 where job_id = $1 and position = $2 and image_id = $3 and state = 'running'",
    );
    Ok(tx.execute(of(claim, sql).bind(lease_end)).await? == 1)
}

/// Completes the item, in the transaction that stores its image.
pub async fn complete(tx: &mut Tx, claim: Claim, now: DateTime<Utc>) -> Result<bool, Error> {
    count_settled(tx, claim.job_id, 1, 0, now).await?;
    let sql = Sql::new(
        "update import_items set state = 'complete', due_at = $4 \
         where job_id = $1 and position = $2 and image_id = $3 and state = 'running'",
    );
    Ok(tx.execute(of(claim, sql).bind(now)).await? == 1)
}

/// Fails the item permanently.
pub async fn fail(tx: &mut Tx, claim: Claim, reason: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    count_settled(tx, claim.job_id, 0, 1, now).await?;
    let sql = Sql::new(
        "update import_items set state = 'failed', due_at = $4, reason = $5, image_id = null \
         where job_id = $1 and position = $2 and image_id = $3 and state = 'running'",
    );
    Ok(tx.execute(of(claim, sql).bind(now).bind(reason)).await? == 1)
}

/// Schedules a retry at `due_at`. The job should be locked: see [`lock_job`].
pub async fn retry_at(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update import_items set state = 'waiting', due_at = $4, image_id = null \
         where job_id = $1 and position = $2 and image_id = $3 and state = 'running'",
    );
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

/// As [`retry_at`], without counting the attempt.
pub async fn release(tx: &mut Tx, claim: Claim, due_at: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update import_items set state = 'waiting', due_at = $4, image_id = null, attempts = attempts - 1 \
         where job_id = $1 and position = $2 and image_id = $3 and state = 'running'",
    );
    Ok(tx.execute(of(claim, sql).bind(due_at)).await? == 1)
}

fn of(claim: Claim, sql: Sql) -> Sql {
    sql.bind(claim.job_id.uuid()).bind(claim.position).bind(claim.image_id.uuid())
}

/// Returns the number of items in each unfinished state.
pub async fn count_by_state(run: impl Run) -> Result<Vec<(String, i64)>, Error> {
    run.fetch(Sql::new(
        "select 'pending', count(*) from import_items where state = 'pending' union all \
         select state, count(*) from import_items where state in ('waiting', 'running') group by state",
    ))
    .await
}

/// Returns the oldest job with a waiting item.
pub async fn oldest_waiting(run: impl Run) -> Result<Option<JobId>, Error> {
    let sql = Sql::new("select job_id from import_items where state in ('pending', 'waiting') order by job_id limit 1");
    Ok(run.fetch_optional::<(Uuid,)>(sql).await?.map(|(id,)| JobId::from(id)))
}

row! {
    #[derive(Debug)]
    struct Row {
        job_id: Uuid,
        position: i64,
        user_id: String,
        host: String,
        url: String,
        attempts: i64,
        tags: Json<Vec<String>>,
        visibility: String,
        keep_location: bool,
    }
}

impl TryFrom<Row> for QueuedItem {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            job_id: JobId::from(row.job_id),
            position: row.position,
            user_id: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            host: row.host,
            url: row.url,
            tags: row.tags.0.into_iter().map(Tag::from_stored).collect(),
            keep_location: row.keep_location,
            visibility: Visibility::parse(&row.visibility)
                .map_err(|_| Error::Unreadable { column: "visibility", value: row.visibility })?,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
        })
    }
}

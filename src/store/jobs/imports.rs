//! The `imports` and `import_items` tables as clients see them: jobs, and the state of each of their URLs. Claiming and settling
//! items is in `import_queue.rs`.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::import_lanes;
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::job::{Item, ItemState, Job, JobId};
use crate::model::tag::Tag;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

/// A URL to import.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// As the client wrote it.
    pub url: String,
    /// Normalised host name.
    pub host: String,
}

/// The settings shared by all images of a job.
#[derive(Debug, Clone)]
pub struct Common {
    pub tags: Vec<Tag>,
    pub visibility: Visibility,
    pub keep_location: bool,
}

/// Adds a job to the queue, which must be locked.
pub async fn insert(tx: &mut Tx, id: JobId, user: &UserId, common: &Common, items: &[NewItem]) -> Result<(), Error> {
    let total = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let sql = Sql::new(
        "insert into imports (id, user_id, tags, total, completed, failed, visibility, keep_location) \
         values ($1, $2, $3, $4, 0, 0, $5, $6)",
    );
    let tags = common.tags.iter().map(|tag| json!(tag.as_str())).collect::<serde_json::Value>();
    let sql = sql.bind(id.uuid()).bind(user.as_str()).bind(tags).bind(total);
    tx.execute(sql.bind(common.visibility.name()).bind(common.keep_location)).await?;
    let mut sql = Sql::new("insert into import_items (job_id, position, user_id, host, url, state, attempts, due_at) values ");
    for (position, item) in (0_i64..).zip(items) {
        sql.push(if position == 0 { "(" } else { ", (" }).push_bind(id.uuid());
        sql.push(", ").push_bind(position);
        sql.push(", ").push_bind(user.as_str());
        sql.push(", ").push_bind(item.host.as_str());
        sql.push(", ").push_bind(item.url.as_str());
        sql.push(", 'pending', 0, ").push_bind(id.created_at()).push(")");
    }
    tx.execute(sql).await?;
    import_lanes::open(tx, &items.iter().map(|item| (user.as_str(), item.host.as_str())).collect()).await
}

pub async fn find(run: impl Run, id: JobId) -> Result<Option<Job>, Error> {
    let sql =
        Sql::new("select id, user_id, visibility, total, completed, failed, started_at, finished_at from imports where id = $1");
    run.fetch_optional::<JobRow>(sql.bind(id.uuid())).await?.map(Job::try_from).transpose()
}

/// Returns the number of unfinished items of a user.
pub async fn count_pending(run: impl Run, user: &UserId) -> Result<u64, Error> {
    // PostgreSQL's sum of bigints is a numeric, hence the cast.
    let sql = Sql::new(
        "select cast(coalesce(sum(total - completed - failed), 0) as bigint) from imports \
         where user_id = $1 and finished_at is null",
    );
    let (pending,) = run.fetch_optional::<(i64,)>(sql.bind(user.as_str())).await?.unwrap_or_default();
    Ok(u64::try_from(pending).unwrap_or_default())
}

/// Returns up to `limit` jobs of a user after `last`, newest first.
pub async fn page(run: impl Run, user: &UserId, last: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error> {
    let mut sql = Sql::new(
        "select id, user_id, visibility, total, completed, failed, started_at, finished_at from imports where user_id = ",
    );
    sql.push_bind(user.as_str());
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    run.fetch::<JobRow>(sql).await?.into_iter().map(Job::try_from).collect()
}

/// Returns a job's items in the order in which they were submitted.
pub async fn items(run: impl Run, id: JobId) -> Result<Vec<Item>, Error> {
    type Row = (String, String, Option<Uuid>, Option<String>);
    let sql = Sql::new("select url, state, image_id, reason from import_items where job_id = $1 order by position");
    let rows = run.fetch::<Row>(sql.bind(id.uuid())).await?;
    let item = |(url, state, image_id, reason): Row| {
        let state = match (state.as_str(), image_id) {
            ("complete", Some(image_id)) => ItemState::Complete(ImageId::from(image_id)),
            ("failed", _) => ItemState::Failed(reason.unwrap_or_default()),
            _ => ItemState::Pending,
        };
        Item { url, state }
    };
    Ok(rows.into_iter().map(item).collect())
}

/// Locks a job until the transaction ends; returns whether it was cancelled. Code that settles an item must lock the job before
/// the item.
pub async fn lock_job(tx: &mut Tx, id: JobId) -> Result<bool, Error> {
    let sql = Sql::new("update imports set failed = failed where id = $1 returning cancelled_at").bind(id.uuid());
    let job = tx.fetch_optional::<(Option<DateTime<Utc>>,)>(sql).await?;
    Ok(job.is_some_and(|(cancelled_at,)| cancelled_at.is_some()))
}

/// Fails all items of a job that are not running, with `reason`, and marks the job so that running items fail unless they are
/// already stored. Returns how many failed immediately.
pub async fn cancel(tx: &mut Tx, id: JobId, reason: &str, now: DateTime<Utc>) -> Result<u64, Error> {
    let sql = Sql::new("update imports set cancelled_at = coalesce(cancelled_at, $2) where id = $1 and finished_at is null");
    tx.execute(sql.bind(id.uuid()).bind(now)).await?;
    let sql = Sql::new(
        "update import_items set state = 'failed', reason = $2, due_at = $3 where job_id = $1 and state in ('pending', 'waiting')",
    );
    let cancelled = tx.execute(sql.bind(id.uuid()).bind(reason).bind(now)).await?;
    if cancelled > 0 {
        count_settled(tx, id, 0, i64::try_from(cancelled).unwrap_or(i64::MAX), now).await?;
    }
    Ok(cancelled)
}

/// Adds to a job's totals, and finishes it when no item is left.
pub(in crate::store) async fn count_settled(
    tx: &mut Tx,
    id: JobId,
    completed: i64,
    failed: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = Sql::new(
        "update imports set completed = completed + $2, failed = failed + $3, \
         finished_at = case when completed + failed + $2 + $3 = total then $4 else finished_at end where id = $1",
    );
    tx.execute(sql.bind(id.uuid()).bind(completed).bind(failed).bind(now)).await.map(drop)
}

/// Deletes up to `limit` jobs that finished at or before `cutoff`; returns how many.
pub async fn delete_finished(tx: &mut Tx, cutoff: DateTime<Utc>, limit: u32) -> Result<u64, Error> {
    let sql = Sql::new("select id from imports where finished_at <= $1 order by finished_at limit $2");
    let jobs = tx.fetch::<(Uuid,)>(sql.bind(cutoff).bind(limit)).await?;
    for (id,) in &jobs {
        tx.execute(Sql::new("delete from import_items where job_id = $1").bind(*id)).await?;
        tx.execute(Sql::new("delete from imports where id = $1").bind(*id)).await?;
    }
    Ok(jobs.len() as u64)
}

row! {
    #[derive(Debug)]
    struct JobRow {
        id: Uuid,
        user_id: String,
        visibility: String,
        total: i64,
        completed: i64,
        failed: i64,
        started_at: Option<DateTime<Utc>>,
        finished_at: Option<DateTime<Utc>>,
    }
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let number =
            |column, value: i64| u32::try_from(value).map_err(|_| Error::Unreadable { column, value: value.to_string() });
        Ok(Self {
            id: JobId::from(row.id),
            user_id: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            visibility: Visibility::parse(&row.visibility)
                .map_err(|_| Error::Unreadable { column: "visibility", value: row.visibility })?,
            total: number("total", row.total)?,
            complete: number("completed", row.completed)?,
            failed: number("failed", row.failed)?,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

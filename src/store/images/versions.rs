//! Versions of rows: whether an image in memory is still the one in the database.
//!
//! Only for PostgreSQL, where other instances change rows as well. Every row has the id of the transaction that wrote it, `xmin`,
//! which every update changes. Reading the version of an image costs the database less than half as much as reading the image,
//! whose JSON it would have to convert to text, and the service does not have to parse it.
//!
//! The version covers all that an [`Image`] consists of: its row, and the plan of its owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Row, columns};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::store::database::db::{Db, Run, Sql};
use crate::store::database::error::Error;
use crate::store::database::row::row;

/// The version of an image: of its row, and of the plan of its owner, if any. Built-in plans are written by one transaction, so
/// the name of the plan is part of it. After a failover or a restored backup, a server may use the ids of lost transactions
/// again, so the time when the server started is part of it as well.
macro_rules! version {
    () => {
        "cast(images.xmin as text) || '/' || (select cast(pg_postmaster_start_time() as text)) || \
         coalesce((select '/' || p.name || '/' || cast(p.xmin as text) \
         from accounts a join plans p on p.name = a.plan where a.user_id = images.user_id), '') as version"
    };
}
pub(super) use version;

/// Returns these images, deleted or not, each with its version. Images that do not exist are missing.
pub async fn find(run: impl Run, ids: &[ImageId]) -> Result<Vec<(Image, String)>, Error> {
    row! {
        struct VersionedRow {
            version: String,
            ..image: Row,
        }
    }
    let sql = of_images(concat!("select ", columns!(), ", ", version!(), " from images where id in ("), ids);
    let rows = run.fetch::<VersionedRow>(sql).await?;
    rows.into_iter().map(|row| Ok((row.image.image()?, row.version))).collect()
}

async fn read(run: impl Run, ids: &[ImageId]) -> Result<Vec<(Uuid, String)>, Error> {
    run.fetch(of_images(concat!("select id, ", version!(), " from images where id in ("), ids)).await
}

/// Appends the ids. The list is filled up with repetitions, so that few statements have to be prepared.
fn of_images(text: &'static str, ids: &[ImageId]) -> Sql {
    let mut sql = Sql::new(text);
    let filler = ids.last().into_iter().cycle();
    for (number, id) in ids.iter().chain(filler).take(ids.len().next_power_of_two()).enumerate() {
        sql.push(if number == 0 { "" } else { ", " }).push_bind(id.uuid());
    }
    sql.push(")");
    sql
}

/// Reads versions for requests that send one image. Requests that arrive while a statement is running share the next one: under
/// load, most of the cost of such a small statement is sending it and waking up for its result. Each is answered by a statement
/// that was sent after it asked.
#[derive(Debug, Default)]
pub(super) struct VersionReads(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Number of tasks that are running statements.
    running: usize,
}

#[derive(Debug)]
struct Waiting {
    id: ImageId,
    reply: oneshot::Sender<Option<String>>,
}

/// The current version of an image.
#[derive(Debug)]
pub(super) enum CurrentVersion {
    Found(String),
    NoSuchImage,
    /// The statement failed. The caller finds out why when it reads the image itself.
    Unknown,
}

/// The most concurrent statements.
const MAX_RUNNING: usize = 4;

/// How long a request waits before it starts another statement, so that one that hangs does not delay requests that it does not
/// answer.
const PATIENCE: Duration = Duration::from_millis(5);

/// The most images per statement.
const MAX_IMAGES: usize = 32;

impl VersionReads {
    /// Returns the current version of an image.
    ///
    /// # Errors
    /// The database did not respond in time.
    pub async fn read(&self, db: &Db, id: ImageId) -> Result<CurrentVersion, Error> {
        let (reply, mut answer) = oneshot::channel();
        self.start(db, |queue| {
            queue.waiting.push(Waiting { id, reply });
            queue.running == 0
        });
        let answered = match tokio::time::timeout(PATIENCE, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                self.start(db, |queue| queue.running < MAX_RUNNING && !queue.waiting.is_empty());
                let timeout = db.statement_timeout();
                tokio::time::timeout(timeout, answer).await.map_err(|_| Error::TimedOut(timeout))?
            }
        };
        Ok(match answered {
            Ok(Some(version)) => CurrentVersion::Found(version),
            Ok(None) => CurrentVersion::NoSuchImage,
            Err(_) => CurrentVersion::Unknown,
        })
    }

    /// Starts a task that runs statements, if the queue needs one.
    fn start(&self, db: &Db, is_needed: impl FnOnce(&mut Queue) -> bool) {
        {
            let mut queue = lock(&self.0);
            if !is_needed(&mut queue) {
                return;
            }
            queue.running += 1;
        }
        // Without the lock: if the runtime is shutting down, `spawn` drops the task, which locks the queue.
        let runner = Runner { queue: Arc::clone(&self.0), is_counted: true };
        // A task of its own, so that the others get their answers if this caller is cancelled.
        tokio::spawn(runner.run(db.clone()));
    }
}

/// A task that runs statements until no request is waiting.
struct Runner {
    queue: Arc<Mutex<Queue>>,
    /// Whether it is counted as running.
    is_counted: bool,
}

impl Runner {
    async fn run(mut self, db: Db) {
        while let Some(batch) = self.next_batch() {
            let mut ids: Vec<ImageId> = batch.iter().map(|waiting| waiting.id).collect();
            ids.sort_unstable();
            ids.dedup();
            // After a failure, the callers notice that their reply is dropped.
            let Ok(versions) = read(&db, &ids).await else { continue };
            for Waiting { id, reply } in batch {
                let version = versions.iter().find(|(found, _)| *found == id.uuid()).map(|(_, version)| version.clone());
                // Fails if the caller was cancelled.
                reply.send(version).ok();
            }
        }
    }

    /// Returns the requests for the next statement. Without any, the task ends: it stops counting as running while the queue is
    /// locked, so that the next request starts another one.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = lock(&self.queue);
        // Callers that were cancelled or have waited for too long.
        queue.waiting.retain(|waiting| !waiting.reply.is_closed());
        let count = queue.waiting.len().min(MAX_IMAGES);
        if count == 0 {
            queue.running -= 1;
            self.is_counted = false;
            return None;
        }
        Some(queue.waiting.drain(..count).collect())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.is_counted {
            // It was cancelled, because the process exits, or panicked. Nobody must wait for it.
            let mut queue = lock(&self.queue);
            queue.running -= 1;
            queue.waiting.clear();
        }
    }
}

/// The queue stays consistent if another thread panics, so a poisoned lock is ignored.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Connections, transactions and queries, the same for PostgreSQL and SQLite.
//!
//! A statement is an [`Sql`]. It runs on a [`Db`] or a [`Reader`] (reads only) or in a [`Tx`]. Every call has a time limit, so
//! that a database that hangs does not hang the service.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Database, Executor, FromRow, IntoArguments, Postgres, Sqlite, SqlitePool};
use tokio::time::Instant;

use super::bind::Bind;
pub use super::config::{DbConfig, Location};
use super::error::Error;
use super::pending_counters::PendingCounters;
use super::postgres;
use super::postgres::{Lease, Pool};
use super::row_changes::RowChanges;
pub use super::sql::{Sql, Value};
use super::sqlite;

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Pools,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Pools {
    Postgres(Pool),
    Sqlite { readers: SqlitePool, writer: SqlitePool, changes: Arc<RowChanges> },
}

/// A transaction. Dropping it without [`Tx::commit`] rolls it back.
#[derive(Debug)]
pub struct Tx {
    inner: TxInner,
    timeout: Duration,
    pub(in crate::store) counters: PendingCounters,
    /// Only for SQLite.
    changes: Option<Arc<RowChanges>>,
}

#[derive(Debug)]
enum TxInner {
    Postgres(Lease),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

/// How long an instance waits for the migration lock, as a multiple of the statement timeout: five minutes by default.
const MIGRATION_LOCK_FACTOR: u32 = 60;

/// A connection for all reads of one request. Acquiring a connection from the pool and releasing it includes a liveness check,
/// which costs more than a small statement.
#[derive(Debug)]
pub struct Reader {
    inner: ReaderInner,
    timeout: Duration,
}

#[derive(Debug)]
enum ReaderInner {
    Postgres(Lease),
    Sqlite(PoolConnection<Sqlite>),
}

/// Connection counts of the pool, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct PoolUse {
    pub open: u32,
    pub idle: u32,
    pub max: u32,
}

impl Db {
    /// Prepares the pools. PostgreSQL is connected to on first use; the SQLite file is opened here.
    ///
    /// # Errors
    /// The URL is invalid, or the file cannot be opened.
    pub async fn open(config: &DbConfig) -> Result<Self, Error> {
        let pools = match &config.location {
            Location::Postgres(url) => Pools::Postgres(Pool::open(url, config).await?),
            Location::Sqlite(path) => {
                let changes = Arc::<RowChanges>::default();
                let (readers, writer) = sqlite::open(path, config, &changes).await?;
                Pools::Sqlite { readers, writer, changes }
            }
        };
        Ok(Self { pools, timeout: config.statement_timeout })
    }

    /// Acquires a connection for several reads.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let inner = match &self.pools {
            Pools::Postgres(pool) => ReaderInner::Postgres(pool.lease().await?),
            Pools::Sqlite { readers, .. } => ReaderInner::Sqlite(within(self.timeout, readers.acquire()).await?),
        };
        Ok(Reader { inner, timeout: self.timeout })
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let (inner, changes) = match &self.pools {
            Pools::Postgres(pool) => {
                let started = Instant::now();
                let mut lease = pool.lease().await?;
                within(self.remaining_time(started), async { lease.session()?.begin().await }).await?;
                (TxInner::Postgres(lease), None)
            }
            Pools::Sqlite { writer, changes, .. } => {
                let begun = within(self.timeout, writer.begin_with("begin immediate")).await?;
                (TxInner::Sqlite(begun), Some(Arc::clone(changes)))
            }
        };
        Ok(Tx { inner, timeout: self.timeout, counters: PendingCounters::default(), changes })
    }

    /// Runs one statement, which is a transaction of its own: one round trip instead of three. Returns the number of affected
    /// rows.
    ///
    /// # Errors
    /// The database is unavailable or rejected the statement. After any other error than a rejection, it is **unknown** whether
    /// the statement had an effect.
    pub async fn execute(&self, sql: Sql) -> Result<u64, Error> {
        match &self.pools {
            Pools::Postgres(pool) => {
                let started = Instant::now();
                let mut lease = pool.lease().await?;
                within(self.remaining_time(started), async {
                    lease.session()?.execute_alone(sql.text, Postgres::arguments(sql.values)?).await
                })
                .await
            }
            Pools::Sqlite { writer, .. } => within(self.timeout, execute_sqlite(writer, sql)).await,
        }
    }

    /// Returns the version of the rows that decide who may see an image. What was read after a call is current for as long as
    /// later calls return the same version. Returns `None` while a transaction is changing them, and always for PostgreSQL, where
    /// other instances change them as well.
    pub fn version(&self) -> Option<u64> {
        match &self.pools {
            Pools::Postgres(_) => None,
            Pools::Sqlite { changes, .. } => changes.version(),
        }
    }

    /// The limit for each statement, including the wait for a connection.
    pub fn statement_timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether rows have a version, `xmin`: the id of the transaction that wrote them.
    pub fn has_row_versions(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// Returns the time that remains for the statement after the wait for a connection.
    fn remaining_time(&self, started: Instant) -> Duration {
        self.timeout.saturating_sub(started.elapsed()).max(MIN_STATEMENT_TIME)
    }

    /// Runs all pending migrations. On PostgreSQL, instances that start at the same time wait for each other; an SQLite file
    /// belongs to one process.
    ///
    /// # Errors
    /// The database is unavailable, another instance holds the migration lock for too long, or a migration failed or was altered.
    pub async fn migrate(&self, steps: Vec<Migration>) -> Result<(), Error> {
        match &self.pools {
            // Another instance's migration may take long, but an instance that hangs must not block this one indefinitely.
            Pools::Postgres(pool) => {
                while postgres::migrate::run_next(pool, &steps, self.timeout * MIGRATION_LOCK_FACTOR).await? {}
            }
            Pools::Sqlite { writer, .. } => {
                Migrator { migrations: steps.into(), ..Migrator::DEFAULT }.run(writer).await?;
            }
        }
        Ok(())
    }

    /// Checks that the database responds and accepts writes.
    ///
    /// # Errors
    /// The database did not respond in time, or is read-only.
    pub async fn check(&self) -> Result<(), Error> {
        let query = match &self.pools {
            Pools::Postgres(_) => "select cast(cast(current_setting('transaction_read_only') = 'on' as integer) as bigint)",
            Pools::Sqlite { .. } => "select cast(0 as bigint)",
        };
        match self.fetch::<(i64,)>(Sql::new(query)).await?[..] {
            [(0,)] => Ok(()),
            _ => Err(Error::ReadOnly),
        }
    }

    /// Checks that the database responds. A read-only database passes.
    ///
    /// # Errors
    /// The database did not respond in time.
    pub async fn ping(&self) -> Result<(), Error> {
        self.fetch::<(i64,)>(Sql::new("select cast(1 as bigint)")).await.map(drop)
    }

    /// Returns why the last attempt to connect failed, for callers that timed out before it did; `None` if it succeeded.
    pub fn last_connect_error(&self) -> Option<String> {
        match &self.pools {
            Pools::Postgres(pool) => pool.last_connect_error(),
            Pools::Sqlite { .. } => None,
        }
    }

    pub fn pool_use(&self) -> PoolUse {
        fn of<D: Database>(pool: &sqlx::Pool<D>) -> PoolUse {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            PoolUse { open: pool.size(), idle: idle.min(pool.size()), max: pool.options().get_max_connections() }
        }
        match &self.pools {
            Pools::Postgres(pool) => {
                let (open, idle, max) = pool.in_use();
                PoolUse { open, idle, max }
            }
            Pools::Sqlite { readers, writer, .. } => {
                let (readers, writer) = (of(readers), of(writer));
                PoolUse { open: readers.open + writer.open, idle: readers.idle + writer.idle, max: readers.max + writer.max }
            }
        }
    }

    /// Returns the name of the database system, for logs and metrics.
    pub fn system(&self) -> &'static str {
        match &self.pools {
            Pools::Postgres(_) => "postgresql",
            Pools::Sqlite { .. } => "sqlite",
        }
    }

    /// Closes all connections. Closing the last SQLite connection checkpoints the write-ahead log into the file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite { readers, writer, .. } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Minimum time for a statement, even after a long wait for its connection.
const MIN_STATEMENT_TIME: Duration = Duration::from_millis(100);

impl Tx {
    /// Commits the transaction and writes its counter changes.
    ///
    /// # Errors
    /// After an error, it is **unknown** whether the transaction was committed.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.write_counters().await?;
        let changed = self.changes.map(|changes| (changes.transaction(), changes));
        within(self.timeout, async {
            match self.inner {
                TxInner::Postgres(mut lease) => lease.session()?.commit().await,
                TxInner::Sqlite(tx) => tx.commit().await,
            }
        })
        .await?;
        // After an error, or if this is cancelled, it ends when the connection returns to its pool.
        if let Some((transaction, changes)) = changed {
            changes.end(transaction);
        }
        Ok(())
    }

    /// Writes the pending counter changes, which locks these counters until the transaction ends. Afterwards it must not lock
    /// anything but counters.
    ///
    /// # Errors
    /// The database is unavailable or rejected a statement.
    pub async fn write_counters(&mut self) -> Result<(), Error> {
        for sql in self.counters.take_statements() {
            self.execute(sql).await?;
        }
        Ok(())
    }

    /// Runs a statement that returns no rows; returns the number of affected rows.
    ///
    /// # Errors
    /// The database is unavailable or rejected the statement.
    pub async fn execute(&mut self, sql: Sql) -> Result<u64, Error> {
        within(self.timeout, async {
            match &mut self.inner {
                TxInner::Postgres(lease) => lease.session()?.execute(sql.text, Postgres::arguments(sql.values)?).await,
                TxInner::Sqlite(tx) => execute_sqlite(&mut **tx, sql).await,
            }
        })
        .await
    }
}

/// Something that can run a query: `&Db` or `&mut Reader` to read, `&mut Tx` to read or write.
pub trait Run: Sized + Send {
    /// Returns all rows.
    fn fetch<T: Row>(self, sql: Sql) -> impl Future<Output = Result<Vec<T>, Error>> + Send;

    /// Returns the first row, if any.
    fn fetch_optional<T: Row>(self, sql: Sql) -> impl Future<Output = Result<Option<T>, Error>> + Send {
        async { Ok(self.fetch(sql).await?.into_iter().next()) }
    }
}

impl Run for &Db {
    async fn fetch<T: Row>(self, sql: Sql) -> Result<Vec<T>, Error> {
        match &self.pools {
            Pools::Postgres(pool) => {
                let started = Instant::now();
                let mut lease = pool.lease().await?;
                within(self.remaining_time(started), postgres_rows(&mut lease, sql)).await
            }
            Pools::Sqlite { readers, .. } => within(self.timeout, rows(readers, sql)).await,
        }
    }
}

impl Run for &mut Reader {
    async fn fetch<T: Row>(self, sql: Sql) -> Result<Vec<T>, Error> {
        within(self.timeout, async {
            match &mut self.inner {
                ReaderInner::Postgres(lease) => postgres_rows(lease, sql).await,
                ReaderInner::Sqlite(connection) => rows(&mut **connection, sql).await,
            }
        })
        .await
    }
}

impl Run for &mut Tx {
    async fn fetch<T: Row>(self, sql: Sql) -> Result<Vec<T>, Error> {
        within(self.timeout, async {
            match &mut self.inner {
                TxInner::Postgres(lease) => postgres_rows(lease, sql).await,
                TxInner::Sqlite(tx) => rows(&mut **tx, sql).await,
            }
        })
        .await
    }
}

async fn postgres_rows<T: Row>(lease: &mut Lease, sql: Sql) -> Result<Vec<T>, sqlx::Error> {
    lease.session()?.fetch(sql.text, Postgres::arguments(sql.values)?).await
}

async fn execute_sqlite<'e>(executor: impl Executor<'e, Database = Sqlite>, sql: Sql) -> Result<u64, sqlx::Error> {
    let query = sqlx::query_with(AssertSqlSafe(sql.text), Sqlite::arguments(sql.values)?);
    Ok(query.execute(executor).await?.rows_affected())
}

async fn rows<'e, D, T>(executor: impl Executor<'e, Database = D>, sql: Sql) -> Result<Vec<T>, sqlx::Error>
where
    D: Bind,
    D::Arguments: IntoArguments<D>,
    T: for<'r> FromRow<'r, D::Row> + Send + Unpin,
{
    sqlx::query_as_with(AssertSqlSafe(sql.text), D::arguments(sql.values)?).fetch_all(executor).await
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, sqlx::Error>> + Send) -> Result<T, Error> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::TimedOut(timeout)),
    }
}

/// A row type that can be read from both databases.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for T {}

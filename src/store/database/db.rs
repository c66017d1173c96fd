//! The query layer: with [`super::postgres`] below it, all that knows which database it is.
//!
//! A statement is a [`Sql`]. It runs on a [`Db`] or a [`Reader`] (reading only) or in a [`Tx`]. Every call is bounded in
//! time, because a database that hangs must not hang the service.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use chrono::SubsecRound;
use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{Arguments, AssertSqlSafe, Database, Executor, FromRow, IntoArguments, Postgres, Sqlite, SqlitePool};
use tokio::time::Instant;

use super::error::Error;
use super::postgres;
use super::postgres::{Lease, Pool, PoolConfig, Target};
pub use super::sql::{Sql, Value};
use super::sqlite;
use crate::store::images::counters;

/// Where the database is and how long it may take.
#[derive(Debug, Clone)]
pub struct DbConfig {
    pub location: Location,
    /// Connections to PostgreSQL, or SQLite's readers.
    pub max_connections: u32,
    /// Bounds the wait for a connection.
    pub timeout: Duration,
    /// Bounds each statement.
    pub statement_timeout: Duration,
}

#[derive(Debug, Clone)]
pub enum Location {
    /// `postgres://…`
    Postgres(String),
    /// The file; it is made if it is missing.
    Sqlite(PathBuf),
}

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Pools,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Pools {
    Postgres(Pool),
    Sqlite { readers: SqlitePool, writer: SqlitePool },
}

/// A transaction; dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub struct Tx {
    inner: TxInner,
    timeout: Duration,
    pub(in crate::store) counters: counters::Pending,
}

#[derive(Debug)]
enum TxInner {
    Postgres(Lease),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

/// For the lock that migrations are run under, as a multiple of the time that a statement has: five minutes by default.
const MIGRATIONS_PATIENCE: u32 = 60;

/// A connection for what one request reads. Taking one from the pool and giving it back, when the pool asks it whether
/// it still works, costs more than a small statement.
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

/// Connections of the pool, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct PoolUse {
    pub open: u32,
    pub idle: u32,
    pub max: u32,
}

impl Db {
    /// Prepares the pools. PostgreSQL is connected to on first use; SQLite's file is opened here.
    ///
    /// # Errors
    /// A URL that cannot be read, or a file that cannot be opened.
    pub async fn open(config: &DbConfig) -> Result<Self, Error> {
        let pools = match &config.location {
            Location::Postgres(url) => Pools::Postgres(open_postgres(url, config).await?),
            Location::Sqlite(path) => {
                let (readers, writer) = sqlite::open(path, config).await?;
                Pools::Sqlite { readers, writer }
            }
        };
        Ok(Self { pools, timeout: config.statement_timeout })
    }

    /// Takes a connection for several statements that read.
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
        let inner = match &self.pools {
            Pools::Postgres(pool) => {
                let started = Instant::now();
                let mut lease = pool.lease().await?;
                within(self.left_since(started), async { lease.session()?.begin().await }).await?;
                TxInner::Postgres(lease)
            }
            Pools::Sqlite { writer, .. } => TxInner::Sqlite(within(self.timeout, writer.begin_with("begin immediate")).await?),
        };
        Ok(Tx { inner, timeout: self.timeout, counters: counters::Pending::default() })
    }

    /// What a call that has waited for a connection has left for its statement.
    fn left_since(&self, started: Instant) -> Duration {
        self.timeout.saturating_sub(started.elapsed()).max(LEAST_TIME)
    }

    /// Runs the migrations that have not run yet. On PostgreSQL, several instances that start at once wait for each other;
    /// SQLite's file belongs to one process.
    ///
    /// # Errors
    /// The database is unavailable, another instance migrates for too long, or a migration failed or was altered.
    pub async fn migrate(&self, steps: Vec<Migration>) -> Result<(), Error> {
        match &self.pools {
            // The other instance's migration may take its time, but one that hangs must not hang this one for ever.
            Pools::Postgres(pool) => {
                while postgres::migrate::run_next(pool, &steps, self.timeout * MIGRATIONS_PATIENCE).await? {}
            }
            Pools::Sqlite { writer, .. } => {
                Migrator { migrations: steps.into(), ..Migrator::DEFAULT }.run(writer).await?;
            }
        }
        Ok(())
    }

    /// Whether the database answers and takes writes.
    ///
    /// # Errors
    /// It gave no answer in time, or takes no writes.
    pub async fn check(&self) -> Result<(), Error> {
        let question = match &self.pools {
            Pools::Postgres(_) => "select cast(cast(current_setting('transaction_read_only') = 'on' as integer) as bigint)",
            Pools::Sqlite { .. } => "select cast(0 as bigint)",
        };
        match self.fetch::<(i64,)>(Sql::new(question)).await?[..] {
            [(0,)] => Ok(()),
            _ => Err(Error::ReadOnly),
        }
    }

    /// Whether the database answers. One that takes no writes will do.
    ///
    /// # Errors
    /// It gave no answer in time.
    pub async fn answers(&self) -> Result<(), Error> {
        self.fetch::<(i64,)>(Sql::new("select cast(1 as bigint)")).await.map(drop)
    }

    /// Why the last attempt to connect failed, for whoever did not wait for its end; `None` when it did not.
    pub fn failure(&self) -> Option<String> {
        match &self.pools {
            Pools::Postgres(pool) => pool.failure(),
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
            Pools::Sqlite { readers, writer } => {
                let (readers, writer) = (of(readers), of(writer));
                PoolUse { open: readers.open + writer.open, idle: readers.idle + writer.idle, max: readers.max + writer.max }
            }
        }
    }

    /// The name of the database system, for logs and metrics.
    pub fn system(&self) -> &'static str {
        match &self.pools {
            Pools::Postgres(_) => "postgresql",
            Pools::Sqlite { .. } => "sqlite",
        }
    }

    /// Closes the connections; SQLite's last one folds the write-ahead log into the file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Even after a long wait for its connection, a statement has a chance.
const LEAST_TIME: Duration = Duration::from_millis(100);

async fn open_postgres(url: &str, config: &DbConfig) -> Result<Pool, Error> {
    let mut target = Target::read(url)?;
    if !target.ignored.is_empty() {
        tracing::warn!("DATABASE_URL has parameters without effect: {}", target.ignored.join(", "));
    }
    if target.system_certificates {
        let reading = tokio::task::spawn_blocking(move || {
            target.add_system_certificates();
            target
        });
        target = reading.await.map_err(|error| sqlx::Error::Io(error.into()))?;
    }
    let DbConfig { max_connections: max, timeout, statement_timeout, .. } = *config;
    Ok(Pool::new(&target, PoolConfig { max, timeout, statement_timeout }))
}

impl Tx {
    /// Makes all that was done lasting, and moves the counters.
    ///
    /// # Errors
    /// When this fails, whether the transaction took place **is not known**.
    pub async fn commit(mut self) -> Result<(), Error> {
        counters::write(&mut self).await?;
        within(self.timeout, async {
            match self.inner {
                TxInner::Postgres(mut lease) => lease.session()?.commit().await,
                TxInner::Sqlite(tx) => tx.commit().await,
            }
        })
        .await
    }

    /// Runs a statement that gives no rows; returns how many rows it touched.
    ///
    /// # Errors
    /// The database is unavailable or refused the statement.
    pub async fn execute(&mut self, sql: Sql) -> Result<u64, Error> {
        within(self.timeout, async {
            match &mut self.inner {
                TxInner::Postgres(lease) => lease.session()?.execute(sql.text, Postgres::arguments(sql.values)?).await,
                TxInner::Sqlite(tx) => {
                    let query = sqlx::query_with(AssertSqlSafe(sql.text), Sqlite::arguments(sql.values)?);
                    Ok(query.execute(&mut **tx).await?.rows_affected())
                }
            }
        })
        .await
    }
}

/// Something to run a statement on that gives rows: `&Db` or `&mut Reader` to read, `&mut Tx` to read or write.
pub trait Run: Sized + Send {
    /// All rows.
    fn fetch<T: Row>(self, sql: Sql) -> impl Future<Output = Result<Vec<T>, Error>> + Send;

    /// The first row, if there is one.
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
                within(self.left_since(started), postgres_rows(&mut lease, sql)).await
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

/// A row that both databases can give.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for T {}

/// Turns values into the arguments of one of the two databases.
trait Bind: Database {
    fn arguments(values: Vec<Value>) -> Result<Self::Arguments, sqlx::Error>;
}

macro_rules! bind {
    ($database:ty) => {
        impl Bind for $database {
            fn arguments(values: Vec<Value>) -> Result<Self::Arguments, sqlx::Error> {
                let mut arguments = <Self as Database>::Arguments::default();
                for value in values {
                    let added: Result<(), BoxDynError> = match value {
                        Value::Bool(value) => arguments.add(value),
                        Value::Integer(value) => arguments.add(value),
                        Value::Text(value) => arguments.add(value),
                        Value::Bytes(value) => arguments.add(value),
                        Value::Uuid(value) => arguments.add(value),
                        Value::Time(value) => arguments.add(value.map(|time| time.trunc_subsecs(6))),
                        Value::Json(value) => arguments.add(Json(value)),
                    };
                    added.map_err(sqlx::Error::Encode)?;
                }
                Ok(arguments)
            }
        }
    };
}
bind!(Postgres);
bind!(Sqlite);

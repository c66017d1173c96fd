//! Runs migrations as sqlx's migrator does, with the same table and lock, but without session state. sqlx takes a session-level
//! lock, which a pooler would leave to the next client.

use std::time::{Duration, Instant};

use sqlx::migrate::Migration;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Type};

use super::pool::{Lease, Pool};
use crate::store::database::applied_migrations::{Applied, first_missing};
use crate::store::database::error::{Error, INSUFFICIENT_PRIVILEGE};

/// Runs the first pending migration; returns whether there was one. Instances that start at the same time wait for each other.
///
/// # Errors
/// The database is unavailable, another instance holds the migration lock for longer than `lock_timeout`, or the migration
/// failed.
pub async fn run_next(pool: &Pool, steps: &[Migration], lock_timeout: Duration) -> Result<bool, Error> {
    let mut lease = pool.lease().await?;
    begin(&mut lease, lock_timeout).await?;
    let applied = applied(&mut lease).await?;
    let Some(step) = first_missing(steps, applied.as_deref().unwrap_or_default())? else { return Ok(false) };
    run(&mut lease, step, applied.is_none()).await.map_err(|error| explain(error, step))?;
    Ok(true)
}

/// Begins a transaction and takes the migration lock. Migrations are exempt from the statement timeout.
async fn begin(lease: &mut Lease, lock_timeout: Duration) -> Result<(), Error> {
    let session = lease.session()?;
    session.begin().await?;
    let lock_timeout_ms = lock_timeout.as_millis();
    session.run(AssertSqlSafe(format!("set local statement_timeout = 0; set local lock_timeout = {lock_timeout_ms}"))).await?;
    let names: Vec<(String,)> = session.fetch("select current_database()::text".into(), PgArguments::default()).await?;
    let id = lock_id(names.first().map_or("", |(name,)| name));
    let locked = session.execute("select pg_advisory_xact_lock($1)".into(), one(id)?).await;
    locked.map(drop).map_err(|error| match code(&error).as_deref() {
        Some(LOCK_NOT_AVAILABLE) => Error::MigrationLocked(lock_timeout, error.into()),
        _ => error.into(),
    })
}

/// sqlx's lock id, so that instances of earlier versions wait too.
fn lock_id(database: &str) -> i64 {
    let mut hash = flate2::Crc::new();
    hash.update(database.as_bytes());
    0x3d32_ad9e * i64::from(hash.sum())
}

/// Returns the applied migrations; `None` if the migrations table does not exist.
async fn applied(lease: &mut Lease) -> Result<Option<Vec<Applied>>, Error> {
    let session = lease.session()?;
    let query = "select to_regclass('_sqlx_migrations') is not null";
    let exists: Vec<(bool,)> = session.fetch(query.into(), PgArguments::default()).await?;
    if exists != [(true,)] {
        return Ok(None);
    }
    Ok(Some(session.fetch(Applied::QUERY.into(), PgArguments::default()).await?))
}

async fn run(lease: &mut Lease, step: &Migration, is_first: bool) -> Result<(), sqlx::Error> {
    const TABLE: &str = "create table _sqlx_migrations (version bigint primary key, description text not null, \
        installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, \
        execution_time bigint not null)";
    const INSERT: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
        values ($1, $2, true, $3, $4)";
    let session = lease.session()?;
    let started = Instant::now();
    if is_first {
        session.run(TABLE).await?;
    }
    session.run(step.sql.clone()).await?;
    let mut arguments = one(step.version)?;
    let took = i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX);
    arguments.add(&*step.description).map_err(sqlx::Error::Encode)?;
    arguments.add(&*step.checksum).map_err(sqlx::Error::Encode)?;
    arguments.add(took).map_err(sqlx::Error::Encode)?;
    session.execute(INSERT.into(), arguments).await?;
    session.commit().await
}

fn explain(error: sqlx::Error, step: &Migration) -> Error {
    let (version, name) = (step.version, step.description.clone());
    match code(&error).as_deref() {
        Some(INSUFFICIENT_PRIVILEGE) => Error::MayNotMigrate { version, name, source: error.into() },
        Some(INVALID_SCHEMA_NAME) => Error::NoSchema { version, name, source: error.into() },
        _ => match Error::from(error) {
            Error::Failed(source) => Error::MigrationFailed { version, name, source },
            transient => transient,
        },
    }
}

fn one<'q, T: Encode<'q, Postgres> + Type<Postgres>>(value: T) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.add(value).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

const LOCK_NOT_AVAILABLE: &str = "55P03";
/// No schema in `search_path` exists and grants USAGE.
const INVALID_SCHEMA_NAME: &str = "3F000";

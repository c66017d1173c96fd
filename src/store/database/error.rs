//! What can go wrong at the database.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A failure at the database. The cause is the source; `Display` says what it means.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, does not answer in time, or has no room: trying again later may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("all {max} connections to the database were in use for {waited:?}; DATABASE_CONNECTIONS can be raised")]
    NoneIdle { max: u32, waited: Duration },
    /// PostgreSQL's own limit, or one of the database or the role.
    #[error(
        "the database gives this instance {open} connections, and DATABASE_CONNECTIONS asks for {max}: lower it, or raise \
         PostgreSQL's max_connections"
    )]
    TooManyConnections { open: u32, max: u32, source: Cause },
    #[error("the database takes no writes: it is a standby, or default_transaction_read_only is on")]
    ReadOnly,
    #[error("no host of DATABASE_URL can be used")]
    NoHost(#[source] Cause),
    /// The statement failed for a reason of its own: a defect of the service or a database that someone altered.
    #[error("the database refused a statement")]
    Failed(#[source] Cause),
    #[error("the encoding of the database is {0}, which cannot hold all text: create the database with the encoding UTF8")]
    Encoding(String),
    #[error("DATABASE_URL cannot be used")]
    Url(#[from] super::postgres::UrlError),
    #[error("the database holds a {column} that this version cannot read: {value}")]
    Unreadable { column: &'static str, value: String },
    #[error("the database lacks migration {version} ({name}): is it the right one?")]
    NotMigrated { version: i64, name: &'static str },
    #[error(
        "the database lacks migration {version} ({name}), which this role may not run: run `image-service migrate` as the \
         owner of the tables"
    )]
    MayNotMigrate { version: i64, name: Cow<'static, str>, source: Cause },
    #[error("migration {version} ({name}) failed")]
    MigrationFailed { version: i64, name: Cow<'static, str>, source: Cause },
    #[error("another instance has been migrating the database for more than {0:?}")]
    MigrationLocked(Duration, #[source] Cause),
    #[error("migration {0} of the database was altered after it had run, or belongs to another version of the service")]
    MigrationAltered(i64),
    #[error("the database has migration {0}, which this version of the service does not know: a newer version has used it")]
    MigrationUnknown(i64),
    #[error("migration {0} of the database ended half-way: restore a backup")]
    MigrationUnfinished(i64),
    #[error("the database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::TimedOut(_)
                | Self::NoneIdle { .. }
                | Self::TooManyConnections { .. }
                | Self::ReadOnly
                | Self::NoHost(_)
        )
    }

    /// The database's code for the error, if it told one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unavailable(cause) | Self::Failed(cause) => cause.code.as_deref(),
            _ => None,
        }
    }

    /// What the cause told.
    pub fn cause(&self) -> Option<String> {
        std::error::Error::source(self).map(ToString::to_string)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let read_only = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == READ_ONLY);
        match error {
            _ if read_only => Self::ReadOnly,
            error if means_unavailable(&error) => Self::Unavailable(error.into()),
            error => Self::Failed(error.into()),
        }
    }
}

/// What a database or the way to it told, as one phrase. sqlx's own texts add "error returned from database", and lines of
/// PostgreSQL's sources.
#[derive(Debug)]
pub struct Cause {
    text: String,
    code: Option<String>,
}

impl Cause {
    pub fn new(text: String) -> Self {
        Self { text, code: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        let text = match &error {
            // Its details may quote what is in a row.
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => error.to_string(),
            sqlx::Error::Tls(error) => format!("TLS: {error}"),
            error => error.to_string(),
        };
        let code = error.as_database_error().and_then(|error| error.code()).map(Cow::into_owned);
        Self { text, code }
    }
}

/// PostgreSQL's `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";
/// PostgreSQL's `too_many_connections`: its own, the database's or the role's limit.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// What poolers say instead, under codes that mean much else: PgBouncer's `max_client_conn`, and Supavisor's.
const POOLERS_TOO_MANY: [&str; 2] = ["no more connections allowed", "max client connections reached"];

/// Whether no further connection is to be had for now.
pub(in crate::store) fn means_too_many_connections(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let message = error.message().to_lowercase();
    error.code().is_some_and(|code| code == TOO_MANY_CONNECTIONS) || POOLERS_TOO_MANY.iter().any(|text| message.contains(text))
}

fn means_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: connection failures (08), bad or missing role or database (28, 3D: a server that is being set up), rolled
/// back for a deadlock (40), no resources (53), lock not available (55), cancelled or shutting down (57), system errors
/// (58). SQLite's primary codes: busy, locked, read-only, I/O error, full, cannot open.
fn is_transient_code(code: &str) -> bool {
    if let Ok(sqlite) = code.parse::<u32>()
        && code.len() < 5
    {
        return matches!(sqlite & 0xff, 5 | 6 | 8 | 10 | 13 | 14);
    }
    ["08", "28", "3D", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

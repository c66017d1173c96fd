//! Database errors.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::model::plural::counted;

/// A database error. `Display` says what it means; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is unreachable, does not respond in time, or is out of resources. A later retry may succeed.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// PostgreSQL rejects the role or its password, or has no such database. While a deployment is being set up, this can change.
    #[error("PostgreSQL rejects the user, the password or the database name in DATABASE_URL")]
    Rejected(#[source] Cause),
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    /// While connecting to the only host of DATABASE_URL.
    #[error("the database at {host} did not answer within {limit:?}")]
    NoAnswer { host: String, limit: Duration },
    #[error("{} in use for {waited:?}: consider raising DATABASE_CONNECTIONS", all_connections(*max))]
    NoneIdle { max: u32, waited: Duration },
    /// The limit of the PostgreSQL server, of the database or of the role.
    #[error(
        "the database allows this instance only {}, but DATABASE_CONNECTIONS is {max}: lower it, or raise PostgreSQL's \
         max_connections",
        counted((*open).into(), "connection")
    )]
    TooManyConnections { open: u32, max: u32, source: Cause },
    #[error("the database is read-only: it is a standby, or default_transaction_read_only is on")]
    ReadOnly,
    #[error("none of the hosts in DATABASE_URL can be used")]
    NoHost(#[source] Cause),
    #[error(
        "the role in DATABASE_URL lacks a privilege: grant it USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on all its \
         tables, and USAGE and SELECT on all its sequences"
    )]
    NotPermitted(#[source] Cause),
    /// A permanent failure of the statement: a bug in the service, or a database that was altered by hand.
    #[error("the database rejected a statement")]
    Failed(#[source] Cause),
    #[error("the database encoding is {0}, which cannot represent all text: create the database with the encoding UTF8")]
    Encoding(String),
    #[error("invalid DATABASE_URL")]
    Url(#[from] super::postgres::url::UrlError),
    #[error("the database contains a {column} that this version cannot read: {value}")]
    Unreadable { column: &'static str, value: String },
    #[error("migration {version} ({name}) has not run: check that this is the right database")]
    NotMigrated { version: i64, name: &'static str },
    #[error(
        "migration {version} ({name}) has not run, and this role is not permitted to run it: run `image-service migrate` as the \
         owner of the tables"
    )]
    MayNotMigrate { version: i64, name: Cow<'static, str>, source: Cause },
    #[error(
        "migration {version} ({name}) failed, because the role can use no schema in its search_path: create the schema, or grant the \
         role USAGE and CREATE on it"
    )]
    NoSchema { version: i64, name: Cow<'static, str>, source: Cause },
    #[error("migration {version} ({name}) failed")]
    MigrationFailed { version: i64, name: Cow<'static, str>, source: Cause },
    #[error("another instance has held the migration lock for more than {0:?}")]
    MigrationLocked(Duration, #[source] Cause),
    #[error("migration {0} differs from the one that was applied: it was altered, or belongs to another version of the service")]
    MigrationAltered(i64),
    #[error("the database has migration {0}, which this version of the service does not know: it was applied by a newer version")]
    MigrationUnknown(i64),
    #[error("migration {0} was applied only in part: restore a backup")]
    MigrationUnfinished(i64),
    #[error("the database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

fn all_connections(max: u32) -> String {
    if max == 1 { "the only database connection was".to_owned() } else { format!("all {max} database connections were") }
}

impl Error {
    /// Returns whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Rejected(_)
                | Self::TimedOut(_)
                | Self::NoAnswer { .. }
                | Self::NoneIdle { .. }
                | Self::TooManyConnections { .. }
                | Self::ReadOnly
                | Self::NoHost(_)
        )
    }

    /// Returns the database's error code, if it sent one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unavailable(cause) | Self::Rejected(cause) | Self::NotPermitted(cause) | Self::Failed(cause) => {
                cause.code.as_deref()
            }
            _ => None,
        }
    }

    /// Returns the message of the cause.
    pub fn cause(&self) -> Option<String> {
        std::error::Error::source(self).map(ToString::to_string)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()).map(Cow::into_owned).unwrap_or_default();
        match error {
            _ if code == READ_ONLY => Self::ReadOnly,
            error if code == INSUFFICIENT_PRIVILEGE => Self::NotPermitted(error.into()),
            error if code == NO_DATABASE || code.starts_with(INVALID_AUTHORIZATION) => Self::Rejected(error.into()),
            error if is_unavailable(&error) => Self::Unavailable(error.into()),
            error => Self::Failed(error.into()),
        }
    }
}

/// The message of a database or of the connection to it, as one phrase. sqlx's own messages add "error returned from database"
/// and line numbers of PostgreSQL's source code.
#[derive(Debug)]
pub struct Cause {
    text: String,
    code: Option<String>,
}

impl Cause {
    pub fn new(text: String) -> Self {
        Self { text, code: None }
    }

    /// Adds the host that could not be connected to, such as `db:5432`.
    pub(super) fn connecting_to(self, host: &str) -> Self {
        Self { text: format!("cannot connect to {host}: {}", self.text), ..self }
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
            // The details may quote row contents, so only the message is kept.
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
/// PostgreSQL's `insufficient_privilege`.
pub(super) const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// PostgreSQL's `invalid_catalog_name`: there is no such database.
const NO_DATABASE: &str = "3D000";
/// PostgreSQL's class of errors about roles, passwords and `pg_hba.conf`.
const INVALID_AUTHORIZATION: &str = "28";
/// PostgreSQL's `too_many_connections`: the limit of the server, the database or the role.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The messages that poolers send instead, under ambiguous codes: PgBouncer's `max_client_conn`, and Supavisor's.
const POOLER_TOO_MANY_CONNECTIONS: [&str; 2] = ["no more connections allowed", "max client connections reached"];

/// Returns whether the server currently allows no further connection.
pub(in crate::store) fn is_too_many_connections(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let message = error.message().to_lowercase();
    error.code().is_some_and(|code| code == TOO_MANY_CONNECTIONS)
        || POOLER_TOO_MANY_CONNECTIONS.iter().any(|text| message.contains(text))
}

fn is_unavailable(error: &sqlx::Error) -> bool {
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

/// PostgreSQL error classes: connection exception (08), transaction rollback such as a deadlock (40), insufficient resources (53),
/// object not in prerequisite state, such as a lock that is not available (55), operator intervention (57), system error (58).
/// SQLite primary codes: busy, locked, read-only, I/O error, full, cannot open.
fn is_transient_code(code: &str) -> bool {
    if let Ok(sqlite) = code.parse::<u32>()
        && code.len() < 5
    {
        return matches!(sqlite & 0xff, 5 | 6 | 8 | 10 | 13 | 14);
    }
    ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

//! What can go wrong at the database.

use std::time::Duration;

/// A failure at the database. The cause is the source; `Display` says what it means.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, does not answer in time, or has no room: trying again later may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    /// The statement failed for a reason of its own: a defect of the service or a database that someone altered.
    #[error("the database refused a statement")]
    Failed(#[source] sqlx::Error),
    #[error("the database holds a {column} that this version cannot read: {value}")]
    Unreadable { column: &'static str, value: String },
    #[error("the database lacks migration {version} ({name}): is it the right one?")]
    NotMigrated { version: i64, name: &'static str },
    #[error("the database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if means_unavailable(&error) { Self::Unavailable(error) } else { Self::Failed(error) }
    }
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

/// PostgreSQL: connection failures (08), read-only standby (25006), bad or missing role or database (28, 3D: a server
/// that is being set up), rolled back for a deadlock (40), no resources (53), lock not available (55), cancelled or
/// shutting down (57), system errors (58). SQLite's primary codes: busy, locked, read-only, I/O error, full, cannot open.
fn is_transient_code(code: &str) -> bool {
    if let Ok(sqlite) = code.parse::<u32>()
        && code.len() < 5
    {
        return matches!(sqlite & 0xff, 5 | 6 | 8 | 10 | 13 | 14);
    }
    code == "25006" || ["08", "28", "3D", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

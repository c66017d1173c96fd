//! The settings of the database.

use std::path::PathBuf;
use std::time::Duration;

/// The location of the database and its time limits.
#[derive(Debug, Clone)]
pub struct DbConfig {
    pub location: Location,
    /// Maximum number of connections to PostgreSQL, or of SQLite readers.
    pub max_connections: u32,
    /// Limit for the wait for a connection.
    pub timeout: Duration,
    /// Limit for each statement.
    pub statement_timeout: Duration,
}

#[derive(Debug, Clone)]
pub enum Location {
    /// `postgres://…`
    Postgres(String),
    /// Path of the file, which is created if it is missing.
    Sqlite(PathBuf),
}

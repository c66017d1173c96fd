//! SQLite: its file, and who may do what with it.
//!
//! SQLite has one writer at a time. Its transactions share one connection, whose pool hands it out in order of
//! arrival, and begin with `begin immediate`: a plain `begin` that reads before it writes fails when another writer
//! came between. Readers have connections of their own and never wait for it (WAL).

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::db::DbConfig;
use super::error::Error;

/// Reading is work for this machine's processors, so many readers gain nothing; each has a thread and a cache.
const SQLITE_READERS: u32 = 4;

/// Opens the file; returns the readers and the writer.
///
/// # Errors
/// It cannot be opened.
pub async fn open(path: &Path, config: &DbConfig) -> Result<(SqlitePool, SqlitePool), Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Every commit is synced: what was acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(config.timeout);
    let writer =
        SqlitePoolOptions::new().max_connections(1).acquire_timeout(config.timeout).idle_timeout(None).max_lifetime(None);
    let writer = writer.after_release(|connection, _| Box::pin(has_rolled_back(connection)));
    let writer = writer.connect_with(options.clone()).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(config.max_connections.min(SQLITE_READERS))
        .acquire_timeout(config.timeout)
        .test_before_acquire(false)
        .connect_lazy_with(options.read_only(true).create_if_missing(false));
    Ok((readers, writer))
}

/// Whether the connection is fit for another transaction. When a write fails (the disk is full), SQLite itself ends the
/// transaction; it then refuses the rollback, after which sqlx believes in a transaction for ever and begins no other.
async fn has_rolled_back(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be on its way to the connection's thread.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

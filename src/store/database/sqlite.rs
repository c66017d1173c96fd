//! SQLite: opens the file with one writer and several readers.
//!
//! SQLite allows one writer at a time. All transactions share one connection, which its pool hands out in order of arrival. They
//! begin with `begin immediate`: a plain `begin` that reads before it writes fails if another writer intervenes. Readers have
//! their own connections and never wait for the writer (WAL).

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::config::DbConfig;
use super::error::Error;
use super::row_changes::RowChanges;

/// Reads are CPU-bound, so more readers gain nothing, and each has its own thread and cache.
const MAX_READERS: u32 = 4;

/// Opens the file; returns the pools of the readers and of the writer.
///
/// # Errors
/// The file cannot be opened.
pub(super) async fn open(path: &Path, config: &DbConfig, changes: &Arc<RowChanges>) -> Result<(SqlitePool, SqlitePool), Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Syncs every commit, so that an acknowledged write survives a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(config.timeout);
    let writer =
        SqlitePoolOptions::new().max_connections(1).acquire_timeout(config.timeout).idle_timeout(None).max_lifetime(None);
    let watching = Arc::clone(changes);
    let writer = writer.after_connect(move |connection, _| Box::pin(Arc::clone(&watching).watch(connection)));
    let ending = Arc::clone(changes);
    let writer = writer.after_release(move |connection, _| Box::pin(has_ended(connection, Arc::clone(&ending))));
    let writer = writer.connect_with(options.clone()).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(config.max_connections.min(MAX_READERS))
        .acquire_timeout(config.timeout)
        .test_before_acquire(false)
        .connect_lazy_with(options.read_only(true).create_if_missing(false));
    Ok((readers, writer))
}

/// Waits for the end of the connection's transaction. Returns whether it can begin another one. When a write fails (for example because the disk is full),
/// SQLite itself rolls back. It then rejects the explicit rollback, so sqlx believes that a transaction is open and never begins
/// another.
async fn has_ended(connection: &mut SqliteConnection, changes: Arc<RowChanges>) -> Result<bool, sqlx::Error> {
    // A commit or rollback may still be queued for the connection's thread.
    connection.ping().await?;
    changes.end(changes.transaction());
    Ok(!connection.is_in_transaction())
}

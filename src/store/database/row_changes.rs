//! Notices changes of the rows that decide who may see an image, so that they can be cached.
//!
//! Only for SQLite: its file belongs to this process, and all changes pass through one connection. With PostgreSQL, other
//! instances change rows as well. (The account commands are processes of their own, but can only lift restrictions: they create
//! administrators, who have no plan.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteOperation, UpdateHookResult};

/// The version of the rows. It is odd while a transaction is changing them.
#[derive(Debug, Default)]
pub(super) struct RowChanges(AtomicU64);

impl RowChanges {
    /// Returns the version, or `None` while a transaction is changing rows. What was read after a call is current for as long as
    /// later calls return the same version.
    pub fn version(&self) -> Option<u64> {
        let version = self.0.load(Ordering::SeqCst);
        version.is_multiple_of(2).then_some(version)
    }

    /// Makes the connection, which must be the only writer, report its changes.
    pub async fn watch(self: Arc<Self>, writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // A transaction of an earlier connection has ended.
        self.end(self.transaction());
        writer.lock_handle().await?.set_update_hook(move |change| {
            if decides(&change) {
                self.begin();
            }
        });
        Ok(())
    }

    /// Returns a token of the writer's transaction, for [`RowChanges::end`].
    pub fn transaction(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn begin(&self) {
        self.0.fetch_or(1, Ordering::SeqCst);
    }

    /// Notes that a transaction has been committed or rolled back. Repeated calls, and calls after the writer's next transaction
    /// has begun, do nothing.
    pub fn end(&self, transaction: u64) {
        if !transaction.is_multiple_of(2) {
            // If it has changed, the transaction was ended already.
            let _already_ended = self.0.compare_exchange(transaction, transaction + 1, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// Returns whether a change can affect who may see an image. A new image cannot be cached yet; the plan of a new account applies
/// to images that its user already has.
fn decides(change: &UpdateHookResult) -> bool {
    match change.table {
        "images" => !matches!(change.operation, SqliteOperation::Insert),
        "accounts" | "plans" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::store::database::db::{Db, DbConfig, Location, Sql};

    async fn run(db: &Db, statement: &'static str) {
        let mut tx = db.begin().await.unwrap();
        tx.execute(Sql::new(statement)).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn the_version_changes_with_rows_that_decide_who_may_see_an_image() {
        let directory = tempfile::tempdir().unwrap();
        let timeout = Duration::from_secs(10);
        let location = Location::Sqlite(directory.path().join("test.sqlite"));
        let db = Db::open(&DbConfig { location, max_connections: 2, timeout, statement_timeout: timeout }).await.unwrap();
        for statement in [
            "create table images (id integer primary key, value integer)",
            "create table accounts (id integer primary key, value integer)",
            "create table plans (id integer primary key, value integer)",
            "create table others (id integer primary key, value integer)",
        ] {
            run(&db, statement).await;
        }
        let mut version = db.version();
        for (statement, changes) in [
            ("insert into images values (1, 0)", false),
            ("insert into others values (1, 0)", false),
            ("update others set value = 1", false),
            ("update images set value = 1 where id = 2", false),
            ("update images set value = 1", true),
            ("delete from images where id = 1", true),
            ("insert into accounts values (1, 0)", true),
            ("update accounts set value = value", true),
            ("insert into plans values (1, 0)", true),
        ] {
            run(&db, statement).await;
            assert_eq!(db.version() != version, changes, "{statement}");
            version = db.version();
            assert!(version.is_some(), "{statement}");
        }

        let mut tx = db.begin().await.unwrap();
        assert_eq!(db.version(), version);
        tx.execute(Sql::new("update accounts set value = 2")).await.unwrap();
        assert_eq!(db.version(), None, "a change is in progress");
        drop(tx);
        // The next transaction begins after the rollback.
        run(&db, "update others set value = 3").await;
        assert!(db.version().is_some() && db.version() != version);
        version = db.version();

        // A commit that nobody waits for takes effect as well.
        let mut tx = db.begin().await.unwrap();
        tx.execute(Sql::new("update accounts set value = 4")).await.unwrap();
        let committed = tokio::time::timeout(Duration::ZERO, tx.commit()).await;
        run(&db, "update others set value = 5").await;
        assert!(db.version().is_some() && db.version() != version, "{committed:?}");
        db.close().await;
    }
}

//! SQLite query plans, for tests. The database is empty, so that plans do not depend on its contents.

use std::time::Duration;

use super::db::{Db, DbConfig, Location, Run, Sql};
use super::migrate;

/// An empty database.
pub struct Planner {
    db: Db,
    _folder: tempfile::TempDir,
}

impl Planner {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("plan.sqlite")), Duration::from_secs(30));
        let config = DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout };
        let db = Db::open(&config).await.unwrap();
        migrate::run(&db).await.unwrap();
        Self { db, _folder: folder }
    }

    /// Returns the steps of the statement's query plan.
    pub async fn plan(&self, mut sql: Sql) -> Vec<String> {
        sql.text = format!("explain query plan {}", sql.text).into();
        let plan = self.db.fetch::<(i64, i64, i64, String)>(sql).await.unwrap();
        plan.into_iter().map(|(.., step)| step).collect()
    }
}

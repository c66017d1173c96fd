//! One connection, and how statements are sent over it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, FromRow, PgConnection};
use tokio::time::Instant;

use super::connect::session_timeouts;

/// Whose session of the server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours alone, from its start to its end.
    Own,
    /// A pooler's, which lends it for one transaction at a time.
    Shared,
}

/// A connection and what state it is in.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    kind: Kind,
    /// What begins a transaction, as one message.
    begin: String,
    in_transaction: bool,
    /// Whether a statement was sent whose end has not been seen: whoever waited for it has gone.
    in_flight: bool,
    /// Whether the next statement would fail for what happened to this one.
    is_broken: bool,
    pub(super) opened_at: Instant,
    pub(super) idle_since: Instant,
    /// Whether something happened to another session that may have happened to this one.
    pub(super) is_doubtful: bool,
    _counted: Counted,
}

/// Counts open sessions.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    pub(super) fn new(connection: PgConnection, kind: Kind, statement_timeout: Duration, open: Arc<AtomicU32>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        // Read committed, whatever the operator prefers: statements are written for it, and the others fail for what runs
        // beside them.
        let mut begin = "begin isolation level read committed".to_owned();
        if kind == Kind::Shared {
            let [statement, idle] = session_timeouts(statement_timeout);
            begin +=
                &format!("; set local statement_timeout = {statement}; set local idle_in_transaction_session_timeout = {idle}");
        }
        Self {
            connection,
            kind,
            begin,
            in_transaction: false,
            in_flight: false,
            is_broken: false,
            opened_at: now,
            idle_since: now,
            is_doubtful: false,
            _counted: Counted(open),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = self.begin.clone();
        // What becomes of it if this is not waited for is found out by whoever tidies up.
        self.in_transaction = true;
        self.run(AssertSqlSafe(begin)).await
    }

    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.run("commit").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Runs statements without arguments.
    pub async fn run(&mut self, sql: impl sqlx::SqlSafeStr + Send) -> Result<(), sqlx::Error> {
        self.in_flight = true;
        let done = self.connection.execute(sqlx::raw_sql(sql)).await;
        self.landed(done).map(drop)
    }

    /// Runs a statement that gives no rows; returns how many rows it touched.
    pub async fn execute(&mut self, sql: Cow<'static, str>, arguments: PgArguments) -> Result<u64, sqlx::Error> {
        self.prepare().await?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(self.kind == Kind::Own);
        let done = query.execute(&mut self.connection).await;
        self.landed(done).map(|done| done.rows_affected())
    }

    /// Runs a statement that gives rows.
    pub async fn fetch<T>(&mut self, sql: Cow<'static, str>, arguments: PgArguments) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.prepare().await?;
        let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments).persistent(self.kind == Kind::Own);
        let rows = query.fetch_all(&mut self.connection).await;
        self.landed(rows)
    }

    /// A statement without a name is parsed and run by two messages; only within a transaction do both surely reach the
    /// same session of the server.
    async fn prepare(&mut self) -> Result<(), sqlx::Error> {
        if self.kind == Kind::Shared && !self.in_transaction {
            self.begin().await?;
        }
        self.in_flight = true;
        Ok(())
    }

    fn landed<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.in_flight = false;
        self.is_broken |= result.as_ref().err().is_some_and(ends_session);
        result
    }

    /// Whether it can be given to somebody else as it is.
    pub(super) fn is_tidy(&self) -> bool {
        !self.in_transaction && !self.in_flight
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits for what is in flight, and ends a transaction.
    pub(super) async fn tidy_up(&mut self) -> Result<(), sqlx::Error> {
        if self.in_transaction {
            self.run("rollback").await?;
            self.in_transaction = false;
        } else {
            self.ping().await?;
            self.in_flight = false;
        }
        Ok(())
    }

    /// Asks whether it still works.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.connection.ping().await?;
        self.is_doubtful = false;
        Ok(())
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// Whether a session is of no more use: its connection broke, the server ends it (57P, 08, 25P03), or it takes no writes
/// (25006): after a fail-over, a new connection may lead to one that does.
fn ends_session(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["57P", "08", "25P03", "25006"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

//! One connection, and how statements are sent over it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, FromRow, PgConnection};
use tokio::time::Instant;

/// Who owns the server session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This process, from start to end.
    Own,
    /// A pooler, which assigns it for one transaction at a time.
    Shared,
}

/// A connection and its state.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    kind: Kind,
    /// The message that begins a transaction.
    begin: String,
    in_transaction: bool,
    /// Whether a statement was sent whose result was not read, because its caller was cancelled.
    in_flight: bool,
    /// Whether the next statement would fail because of an earlier error.
    is_broken: bool,
    pub(super) opened_at: Instant,
    pub(super) idle_since: Instant,
    /// Whether another session failed in a way that may affect this one.
    pub(super) needs_ping: bool,
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
        // Read committed, whatever the operator's default: the statements are written for it, and with stricter levels they fail
        // because of concurrent transactions.
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
            needs_ping: false,
            _counted: Counted(open),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = self.begin.clone();
        // Set before the reply arrives: if the caller is cancelled here, `reset` rolls back.
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
        self.finish_statement(done).map(drop)
    }

    /// Runs a statement that returns no rows; returns the number of affected rows.
    pub async fn execute(&mut self, sql: Cow<'static, str>, arguments: PgArguments) -> Result<u64, sqlx::Error> {
        self.prepare().await?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(self.kind == Kind::Own);
        let done = query.execute(&mut self.connection).await;
        self.finish_statement(done).map(|done| done.rows_affected())
    }

    /// As [`Self::execute`], outside a transaction; the statement is committed.
    pub async fn execute_alone(&mut self, sql: Cow<'static, str>, arguments: PgArguments) -> Result<u64, sqlx::Error> {
        let affected = self.execute(sql, arguments).await?;
        // Begun for the messages of an unnamed statement.
        if self.in_transaction {
            self.commit().await?;
        }
        Ok(affected)
    }

    /// Runs a statement that returns rows.
    pub async fn fetch<T>(&mut self, sql: Cow<'static, str>, arguments: PgArguments) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.prepare().await?;
        let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments).persistent(self.kind == Kind::Own);
        let rows = query.fetch_all(&mut self.connection).await;
        self.finish_statement(rows)
    }

    /// An unnamed statement takes two messages, parse and execute. Only within a transaction do both reliably reach the same
    /// server session.
    async fn prepare(&mut self) -> Result<(), sqlx::Error> {
        if self.kind == Kind::Shared && !self.in_transaction {
            self.begin().await?;
        }
        self.in_flight = true;
        Ok(())
    }

    fn finish_statement<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.in_flight = false;
        self.is_broken |= result.as_ref().err().is_some_and(ends_session);
        result
    }

    /// Returns whether the session can be reused without a reset.
    pub(super) fn is_clean(&self) -> bool {
        !self.in_transaction && !self.in_flight
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits for the statement in flight and rolls back an open transaction.
    pub(super) async fn reset(&mut self) -> Result<(), sqlx::Error> {
        if self.in_transaction {
            self.run("rollback").await?;
            self.in_transaction = false;
        } else {
            self.ping().await?;
            self.in_flight = false;
        }
        Ok(())
    }

    /// Checks that the session still responds.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.connection.ping().await?;
        self.needs_ping = false;
        Ok(())
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// Returns the statement timeout and the idle-in-transaction timeout, in milliseconds.
pub(super) fn session_timeouts(statement_timeout: Duration) -> [u128; 2] {
    [(statement_timeout * 2).as_millis(), (statement_timeout * 4).as_millis()]
}

/// Returns whether a session must be closed: the connection broke, the server closes it (57P, 08, 25P03), or it is read-only
/// (25006): after a fail-over, a new connection may reach a writable server.
fn ends_session(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["57P", "08", "25P03", "25006"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

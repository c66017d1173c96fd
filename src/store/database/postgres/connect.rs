//! Opens sessions: tries the hosts in order and inspects the server.
//!
//! Session settings are sent as startup parameters. A pooler rejects or ignores them; the session is then [`Kind::Shared`]. One
//! parameter is an identifier of this process: only a session that returns it was really started by this process and may keep
//! session state.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tokio::time::Instant;

use super::session::{Kind, Session, session_timeouts};
use super::url::Target;
use crate::model::clock::{Clock, SystemClock};
use crate::store::database::error::{Cause, Error, is_too_many_connections};

/// Opens sessions on the hosts of a URL.
#[derive(Debug)]
pub struct Connector {
    hosts: Vec<Server>,
    writable_only: bool,
    connect_timeout: Option<Duration>,
    process_id: String,
    /// Index of the host that the last session was opened on.
    preferred: AtomicUsize,
    /// Number of open sessions.
    open: Arc<AtomicU32>,
    statement_timeout: Duration,
}

#[derive(Debug)]
struct Server {
    name: String,
    plain: PgConnectOptions,
    /// Options with the settings of an own session; `None` if named statements are disabled.
    with_settings: Option<PgConnectOptions>,
    /// Whether the server has rejected startup settings before.
    refuses_settings: AtomicBool,
}

/// The reason why no session could be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The server currently allows no further connection.
    TooManyConnections(Cause),
    /// Anything else.
    Other(Error),
}

impl OpenError {
    /// Names the host in the error, unless the host has answered.
    fn at(self, host: &str) -> Self {
        match self {
            Self::Other(Error::Unavailable(cause)) => Self::Other(Error::Unavailable(cause.connecting_to(host))),
            Self::Other(Error::Rejected(cause)) => Self::Other(Error::Rejected(cause.connecting_to(host))),
            Self::Other(Error::TimedOut(limit)) => Self::Other(Error::NoAnswer { host: host.to_owned(), limit }),
            other => other,
        }
    }
}

impl Connector {
    pub fn new(target: &Target, statement_timeout: Duration) -> Self {
        // Tests have no use for this value, so it does not come from their clock.
        let process_id = hex::encode(SystemClock.random());
        let servers = target.hosts.iter().map(|host| Server {
            name: host.name.clone(),
            plain: host.options.clone(),
            with_settings: target.named_statements.then(|| with_settings(&host.options, &process_id, statement_timeout)),
            refuses_settings: AtomicBool::new(false),
        });
        Self {
            hosts: servers.collect(),
            writable_only: target.writable_only,
            connect_timeout: target.connect_timeout,
            process_id,
            preferred: AtomicUsize::new(0),
            open: Arc::default(),
            statement_timeout,
        }
    }

    pub fn open_sessions(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Opens a session on the first usable host.
    pub async fn open(&self, deadline: Instant) -> Result<Session, OpenError> {
        let mut reasons = String::new();
        let mut all_reject = true;
        for (tried, index) in self.order().enumerate() {
            let (server, remaining) = (&self.hosts[index], deadline.saturating_duration_since(Instant::now()));
            // A host that does not respond must leave time for the next one.
            let share = remaining / u32::try_from(self.hosts.len() - tried).unwrap_or(1);
            let limit = self.connect_timeout.map_or(share, |timeout| timeout.min(share));
            let error = match tokio::time::timeout(limit, self.open_at(server)).await {
                Ok(Ok(session)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(error)) => error,
                Err(_) => OpenError::Other(Error::TimedOut(limit)),
            };
            match error {
                error if self.hosts.len() == 1 => return Err(error.at(&server.name)),
                // Other hosts would fail the same way.
                OpenError::Other(error @ Error::Encoding(_)) => return Err(OpenError::Other(error)),
                OpenError::TooManyConnections(cause) => return Err(OpenError::TooManyConnections(cause)),
                OpenError::Other(error) => {
                    all_reject &= matches!(error, Error::Rejected(_));
                    let separator = if reasons.is_empty() { "" } else { "; " };
                    let cause = error.cause().unwrap_or_else(|| error.to_string());
                    // Writing to a string cannot fail.
                    write!(reasons, "{separator}{}: {cause}", server.name).ok();
                }
            }
        }
        let cause = Cause::new(reasons);
        Err(OpenError::Other(if all_reject { Error::Rejected(cause) } else { Error::NoHost(cause) }))
    }

    /// Returns the host indexes in list order. If any writable host is acceptable, the order starts with the last one that
    /// worked, so that a host that is down does not delay every new session.
    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let first = if self.writable_only { self.preferred.load(Ordering::Relaxed) } else { 0 };
        std::iter::once(first).chain((0..self.hosts.len()).filter(move |index| *index != first))
    }

    async fn open_at(&self, server: &Server) -> Result<Session, OpenError> {
        let mut connection = server.connect().await.map_err(|error| match is_too_many_connections(&error) {
            true => OpenError::TooManyConnections(error.into()),
            false => OpenError::Other(error.into()),
        })?;
        let server_info = inspect(&mut connection).await.map_err(|error| OpenError::Other(error.into()))?;
        // SQL_ASCII stores bytes as they are, and the service sends UTF-8.
        if server_info.encoding != "UTF8" && server_info.encoding != "SQL_ASCII" {
            return Err(OpenError::Other(Error::Encoding(server_info.encoding)));
        }
        if server_info.read_only && self.writable_only {
            return Err(OpenError::Other(Error::ReadOnly));
        }
        let is_ours = server.with_settings.is_some() && server_info.process_id.as_deref() == Some(&self.process_id);
        let kind = if is_ours { Kind::Own } else { Kind::Shared };
        Ok(Session::new(connection, kind, self.statement_timeout, Arc::clone(&self.open)))
    }
}

impl Server {
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let settings = self.with_settings.as_ref().filter(|_| !self.refuses_settings.load(Ordering::Relaxed));
        let Some(settings) = settings else { return self.plain.connect().await };
        match settings.connect().await {
            Err(error) if may_be_caused_by_settings(&error) => {
                let connection = self.plain.connect().await?;
                if !self.refuses_settings.swap(true, Ordering::Relaxed) {
                    let cause = Cause::from(error);
                    tracing::info!("the database is behind a pooler, because it rejects session settings: {cause}");
                }
                Ok(connection)
            }
            connected => connected,
        }
    }
}

/// Returns whether the connection may succeed without the settings. This is not the case for errors of the user name or password
/// (28), the database name (3D), resources (53), or a server that starts or stops (57).
fn may_be_caused_by_settings(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| !["28", "3D", "53", "57"].iter().any(|class| code.starts_with(class)))
}

/// Adds the settings of an own session. The timeouts make the server cancel statements that the client abandoned, and
/// transactions whose process hangs. The isolation level overrides the operator's default: with a stricter one, single statements
/// would fail because of concurrent ones. Statements are planned once per session, for any values: PostgreSQL would plan some of
/// them on every run, which takes longer than the statement.
fn with_settings(options: &PgConnectOptions, process_id: &str, statement_timeout: Duration) -> PgConnectOptions {
    let [statement, idle] = session_timeouts(statement_timeout);
    options.clone().options([
        ("statement_timeout", statement.to_string().as_str()),
        ("idle_in_transaction_session_timeout", &idle.to_string()),
        ("default_transaction_isolation", "read committed"),
        ("plan_cache_mode", "force_generic_plan"),
        ("image_service.session", process_id),
    ])
}

/// The properties of a server that a new session needs.
struct ServerInfo {
    process_id: Option<String>,
    read_only: bool,
    encoding: String,
}

async fn inspect(connection: &mut PgConnection) -> Result<ServerInfo, sqlx::Error> {
    const QUERY: &str = "select current_setting('image_service.session', true), current_setting('transaction_read_only'), \
        current_setting('server_encoding')";
    let row = connection.fetch_one(sqlx::raw_sql(QUERY)).await?;
    Ok(ServerInfo { process_id: row.try_get(0)?, read_only: row.try_get::<String, _>(1)? == "on", encoding: row.try_get(2)? })
}

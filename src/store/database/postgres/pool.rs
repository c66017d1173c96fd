//! The connection pool.
//!
//! sqlx's pool supports one host and keeps opening connections on demand. If the server allows no more, requests wait in vain
//! although sessions are released all the time, and the reason is lost. This pool hands out permits in order of arrival and
//! withholds one whenever the server rejects a connection, so that the number of permits matches the number of available
//! sessions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{Connector, OpenError};
use super::session::Session;
use super::url::Target;
use crate::store::database::config::DbConfig;
use crate::store::database::error::{Cause, Error};

/// The size of the pool and its time limits.
#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    pub max: u32,
    /// Limit for the wait for a session.
    pub timeout: Duration,
    /// Limit for each statement.
    pub statement_timeout: Duration,
}

/// A pool of sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    config: PoolConfig,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Idle sessions, the most recently used last.
    idle: Vec<Session>,
    /// Number of permits that were withheld because the server allowed no more connections.
    withheld: u32,
    refused: Option<(Instant, String)>,
    /// Why the last attempt to connect failed, until an attempt succeeds.
    failed: Option<String>,
}

/// A session borrowed from the pool. Dropping it returns the session, after a reset if needed.
#[derive(Debug)]
pub struct Lease {
    /// `Some` until dropped.
    session: Option<Session>,
    /// Released after the session was returned.
    permit: Option<OwnedSemaphorePermit>,
    pool: Pool,
}

/// A session used this recently is assumed alive: a check on every use would cost a round trip per request.
const ASSUMED_ALIVE_FOR: Duration = Duration::from_secs(1);
/// Idle sessions are closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Bounds the server's memory per session, and redistributes load after a fail-over.
const MAX_LIFETIME: Duration = Duration::from_secs(1800);
/// Time after which a withheld permit is restored, to try the server again.
const REFUSAL_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Pauses between attempts to connect, and the longest pause.
const RECONNECT_PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_millis(400);

impl Pool {
    /// Prepares a pool for a URL. Warns of parameters that have no effect.
    ///
    /// # Errors
    /// The URL is invalid.
    pub async fn open(url: &str, config: &DbConfig) -> Result<Self, Error> {
        let mut target = Target::read(url)?;
        if !target.ignored.is_empty() {
            tracing::warn!("these parameters of DATABASE_URL have no effect: {}", target.ignored.join(", "));
        }
        if target.system_certificates {
            let reading = tokio::task::spawn_blocking(move || {
                target.add_system_certificates();
                target
            });
            target = reading.await.map_err(|error| sqlx::Error::Io(error.into()))?;
        }
        let DbConfig { max_connections: max, timeout, statement_timeout, .. } = *config;
        Ok(Self::new(&target, PoolConfig { max, timeout, statement_timeout }))
    }

    /// Creates a pool, which connects on first use.
    pub fn new(target: &Target, config: PoolConfig) -> Self {
        let connector = Connector::new(target, config.statement_timeout);
        let permits = Arc::new(Semaphore::new(config.max as usize));
        Self(Arc::new(Shared { connector, config, permits, state: Mutex::default() }))
    }

    /// Acquires a session, in order of arrival.
    ///
    /// # Errors
    /// No session was available in time, or the database cannot be used.
    pub async fn lease(&self) -> Result<Lease, Error> {
        let deadline = Instant::now() + self.0.config.timeout;
        let mut pauses = RECONNECT_PAUSES.into_iter();
        let mut earlier = None;
        loop {
            let permit = self.permit(deadline).await?;
            if let Some(session) = self.idle_session().await {
                return Ok(self.lend(session, permit));
            }
            let error = match self.0.connector.open(deadline).await {
                Ok(session) => {
                    self.state().failed = None;
                    return Ok(self.lend(session, permit));
                }
                Err(OpenError::TooManyConnections(cause)) => match self.withhold(permit, cause) {
                    // A session that is in use will be returned.
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(OpenError::Other(error)) => error,
            };
            // The last attempt may have had little time left; the error of an earlier one is more informative.
            let error = match (error, earlier) {
                (Error::TimedOut(_) | Error::NoAnswer { .. }, Some(earlier)) => earlier,
                (error, _) => error,
            };
            self.state().failed = Some(error.cause().unwrap_or_else(|| error.to_string()));
            let pause = pauses.next().unwrap_or(LONGEST_RECONNECT_PAUSE);
            // A rejected password is not accepted a moment later.
            let is_final = !error.is_transient() || matches!(error, Error::Rejected(_));
            if is_final || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            earlier = Some(error);
        }
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        self.restore_withheld();
        match timeout_at(deadline, Arc::clone(&self.0.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed.into()),
            Err(_) => Err(self.no_session_error()),
        }
    }

    fn no_session_error(&self) -> Error {
        let state = self.state();
        match (&state.failed, &state.refused) {
            (Some(reason), _) => Error::Unavailable(Cause::new(reason.clone())),
            (None, Some((_, reason))) if state.withheld > 0 => self.too_many_connections(Cause::new(reason.clone())),
            _ => Error::NoneIdle { max: self.0.config.max, waited: self.0.config.timeout },
        }
    }

    /// Withholds the permit that no session could be opened for, unless no session is open that could be waited for.
    fn withhold(&self, permit: OwnedSemaphorePermit, cause: Cause) -> Result<(), Error> {
        let reason = cause.to_string();
        let error = self.too_many_connections(cause);
        let mut state = self.state();
        if state.refused.as_ref().is_none_or(|(at, _)| at.elapsed() > REFUSAL_RETRY_AFTER) {
            tracing::warn!("{error}: {reason}");
        }
        state.refused = Some((Instant::now(), reason));
        if self.0.connector.open_sessions() == 0 {
            return Err(error);
        }
        state.withheld += 1;
        permit.forget();
        Ok(())
    }

    fn too_many_connections(&self, source: Cause) -> Error {
        Error::TooManyConnections { open: self.0.connector.open_sessions(), max: self.0.config.max, source }
    }

    fn restore_withheld(&self) {
        let mut state = self.state();
        if let Some((at, _)) = &mut state.refused
            && at.elapsed() > REFUSAL_RETRY_AFTER
        {
            *at = Instant::now();
            if state.withheld > 0 {
                state.withheld -= 1;
                self.0.permits.add_permits(1);
            }
        }
    }

    /// Returns the most recently used session that still responds.
    async fn idle_session(&self) -> Option<Session> {
        loop {
            let mut session = self.state().idle.pop()?;
            if !session.needs_ping && session.idle_since.elapsed() < ASSUMED_ALIVE_FOR {
                return Some(session);
            }
            match timeout(self.ping_timeout(), session.ping()).await {
                Ok(Ok(())) => return Some(session),
                // The server may have closed it, which is normal.
                ended => tracing::debug!(?ended, "an idle connection does not respond"),
            }
        }
    }

    /// Limit for the liveness check. A connection that was lost silently does not respond, and the operating system's own timeout
    /// is minutes.
    fn ping_timeout(&self) -> Duration {
        self.0.config.timeout / 4
    }

    fn lend(&self, session: Session, permit: OwnedSemaphorePermit) -> Lease {
        Lease { session: Some(session), permit: Some(permit), pool: self.clone() }
    }

    fn return_session(&self, mut session: Session) {
        if session.is_broken() {
            // A server that shuts down closes all of its sessions.
            self.state().idle.iter_mut().for_each(|session| session.needs_ping = true);
        }
        if session.is_broken() || self.0.permits.is_closed() || session.opened_at.elapsed() > MAX_LIFETIME {
            return close(session);
        }
        session.idle_since = Instant::now();
        let mut state = self.state();
        state.idle.push(session);
        // The least recently used come first.
        let unused = state.idle.iter().take_while(|session| session.idle_since.elapsed() > IDLE_TIMEOUT).count();
        let unused: Vec<Session> = state.idle.drain(..unused).collect();
        drop(state);
        unused.into_iter().for_each(close);
    }

    /// Returns why the last attempt to connect failed; `None` if it succeeded.
    pub fn last_connect_error(&self) -> Option<String> {
        self.state().failed.clone()
    }

    /// Returns the number of open sessions, of idle sessions, and the maximum.
    pub fn in_use(&self) -> (u32, u32, u32) {
        let open = self.0.connector.open_sessions();
        let idle = u32::try_from(self.state().idle.len()).unwrap_or(u32::MAX);
        (open, idle.min(open), self.0.config.max)
    }

    /// Closes idle sessions now and borrowed ones when they are returned.
    pub async fn close(&self) {
        self.0.permits.close();
        let idle = std::mem::take(&mut self.state().idle);
        for session in idle {
            end(session).await;
        }
    }

    /// The state stays consistent if another thread panics, so a poisoned lock is ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Returns the session, which exists until the lease is dropped.
    pub fn session(&mut self) -> Result<&mut Session, sqlx::Error> {
        self.session.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut session), pool, permit) = (self.session.take(), self.pool.clone(), self.permit.take()) else { return };
        if session.is_broken() || session.is_clean() {
            return pool.return_session(session);
        }
        // Without a runtime the process is about to exit, which closes the connection.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            match timeout(pool.ping_timeout(), session.reset()).await {
                Ok(Ok(())) => pool.return_session(session),
                failed => tracing::debug!(?failed, "a connection could not be reset and is closed"),
            }
            drop(permit);
        });
    }
}

/// Closes the session in the background.
fn close(session: Session) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(end(session));
    }
}

async fn end(session: Session) {
    /// Closing takes a single message.
    const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
    match timeout(CLOSE_TIMEOUT, session.close()).await {
        Ok(Ok(())) => {}
        // The socket is closed anyway.
        failed => tracing::debug!(?failed, "a connection was closed without a Terminate message"),
    }
}

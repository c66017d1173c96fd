//! The sessions that are open, and who may have one.
//!
//! sqlx's own pool knows one host, and opens connections for as long as it is asked to: a server that gives no more makes
//! requests wait in vain, although sessions come back all the time, and the reason is lost. This one hands out permits in
//! order of arrival; a server's refusal takes one away, so that as many are left as there are sessions to be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{Connector, Failure};
use super::session::Session;
use super::url::Target;
use crate::store::database::error::{Cause, Error};

/// How large the pool is and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    pub max: u32,
    /// Bounds the wait for a session.
    pub timeout: Duration,
    /// Bounds each statement.
    pub statement_timeout: Duration,
}

/// Cheap to clone.
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
    /// The one that was used last is the last.
    idle: Vec<Session>,
    /// Permits that were taken away because the server gave no more connections; and when, and why it last did so.
    withheld: u32,
    refused: Option<(Instant, String)>,
    /// Why the last attempt to connect failed, until one succeeds.
    failed: Option<String>,
}

/// A session on loan. Dropped, it goes back when it is tidy.
#[derive(Debug)]
pub struct Lease {
    /// There until it is dropped.
    session: Option<Session>,
    /// Let go of after the session has gone back.
    permit: Option<OwnedSemaphorePermit>,
    pool: Pool,
}

/// A session that has just been used is alive; asking each time would cost a round trip a request.
const ALIVE_FOR: Duration = Duration::from_secs(1);
/// Without work for so long, a session is closed.
const IDLE_FOR: Duration = Duration::from_secs(600);
/// So that a server's memory for a session does not grow for ever, and load spreads after a fail-over.
const LIFETIME: Duration = Duration::from_secs(1800);
/// A server that gave no more connections is asked for one more after this time.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Pauses between attempts to connect, and what they grow to.
const PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];
const LAST_PAUSE: Duration = Duration::from_millis(400);

impl Pool {
    /// Connects when it is first asked for a session.
    pub fn new(target: &Target, config: PoolConfig) -> Self {
        let connector = Connector::new(target, config.statement_timeout);
        let permits = Arc::new(Semaphore::new(config.max as usize));
        Self(Arc::new(Shared { connector, config, permits, state: Mutex::default() }))
    }

    /// A session, when it is this caller's turn.
    ///
    /// # Errors
    /// None was to be had in time, or the database cannot be used.
    pub async fn lease(&self) -> Result<Lease, Error> {
        let deadline = Instant::now() + self.0.config.timeout;
        let mut pauses = PAUSES.into_iter();
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
                Err(Failure::TooMany(cause)) => match self.withhold(permit, cause) {
                    // One of those that are open will come back.
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(Failure::Other(error)) => error,
            };
            // The last attempt may have little time left; what an earlier one was told says more.
            let error = match (error, earlier) {
                (Error::TimedOut(_), Some(earlier)) => earlier,
                (error, _) => error,
            };
            self.state().failed = Some(error.cause().unwrap_or_else(|| error.to_string()));
            let pause = pauses.next().unwrap_or(LAST_PAUSE);
            if !error.is_transient() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            earlier = Some(error);
        }
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        self.give_back_withheld();
        match timeout_at(deadline, Arc::clone(&self.0.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed.into()),
            Err(_) => Err(self.why_none_was_idle()),
        }
    }

    fn why_none_was_idle(&self) -> Error {
        let state = self.state();
        match (&state.failed, &state.refused) {
            (Some(reason), _) => Error::Unavailable(Cause::new(reason.clone())),
            (None, Some((_, reason))) if state.withheld > 0 => self.too_many(Cause::new(reason.clone())),
            _ => Error::NoneIdle { max: self.0.config.max, waited: self.0.config.timeout },
        }
    }

    /// Takes away the permit with which no session was to be had, unless none is open that could be waited for.
    fn withhold(&self, permit: OwnedSemaphorePermit, cause: Cause) -> Result<(), Error> {
        let reason = cause.to_string();
        let error = self.too_many(cause);
        let mut state = self.state();
        if state.refused.as_ref().is_none_or(|(at, _)| at.elapsed() > REFUSED_FOR) {
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

    fn too_many(&self, source: Cause) -> Error {
        Error::TooManyConnections { open: self.0.connector.open_sessions(), max: self.0.config.max, source }
    }

    fn give_back_withheld(&self) {
        let mut state = self.state();
        if let Some((at, _)) = &mut state.refused
            && at.elapsed() > REFUSED_FOR
        {
            *at = Instant::now();
            if state.withheld > 0 {
                state.withheld -= 1;
                self.0.permits.add_permits(1);
            }
        }
    }

    /// The session that was used last, if it still answers.
    async fn idle_session(&self) -> Option<Session> {
        loop {
            let mut session = self.state().idle.pop()?;
            if !session.is_doubtful && session.idle_since.elapsed() < ALIVE_FOR {
                return Some(session);
            }
            match timeout(self.answer_time(), session.ping()).await {
                Ok(Ok(())) => return Some(session),
                // It has ended meanwhile, as sessions do.
                ended => tracing::debug!(?ended, "an idle connection does not answer"),
            }
        }
    }

    /// A connection that was lost in silence does not answer, and the system's own patience is minutes.
    fn answer_time(&self) -> Duration {
        self.0.config.timeout / 4
    }

    fn lend(&self, session: Session, permit: OwnedSemaphorePermit) -> Lease {
        Lease { session: Some(session), permit: Some(permit), pool: self.clone() }
    }

    fn take_back(&self, mut session: Session) {
        if session.is_broken() {
            // A server that stops ends all of them.
            self.state().idle.iter_mut().for_each(|session| session.is_doubtful = true);
        }
        if session.is_broken() || self.0.permits.is_closed() || session.opened_at.elapsed() > LIFETIME {
            return close(session);
        }
        session.idle_since = Instant::now();
        let mut state = self.state();
        state.idle.push(session);
        // Those that were used longest ago come first.
        let unused = state.idle.iter().take_while(|session| session.idle_since.elapsed() > IDLE_FOR).count();
        let unused: Vec<Session> = state.idle.drain(..unused).collect();
        drop(state);
        unused.into_iter().for_each(close);
    }

    /// Why the last attempt to connect failed; `None` when it did not.
    pub fn failure(&self) -> Option<String> {
        self.state().failed.clone()
    }

    /// Sessions that are open, of these idle, and the most that there may be.
    pub fn in_use(&self) -> (u32, u32, u32) {
        let open = self.0.connector.open_sessions();
        let idle = u32::try_from(self.state().idle.len()).unwrap_or(u32::MAX);
        (open, idle.min(open), self.0.config.max)
    }

    /// Closes idle sessions, and those on loan when they come back.
    pub async fn close(&self) {
        self.0.permits.close();
        let idle = std::mem::take(&mut self.state().idle);
        for session in idle {
            end(session).await;
        }
    }

    /// A panic elsewhere leaves the state as good as it was.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The session; there until the lease is dropped.
    pub fn session(&mut self) -> Result<&mut Session, sqlx::Error> {
        self.session.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut session), pool, permit) = (self.session.take(), self.pool.clone(), self.permit.take()) else { return };
        if session.is_broken() || session.is_tidy() {
            return pool.take_back(session);
        }
        // Without a runtime the process ends, and the connection with it.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            match timeout(pool.answer_time(), session.tidy_up()).await {
                Ok(Ok(())) => pool.take_back(session),
                failed => tracing::debug!(?failed, "a connection could not be tidied up and is closed"),
            }
            drop(permit);
        });
    }
}

/// Says farewell to the server, without anybody having to wait for it.
fn close(session: Session) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(end(session));
    }
}

async fn end(session: Session) {
    /// A farewell is one message.
    const PATIENCE: Duration = Duration::from_secs(1);
    match timeout(PATIENCE, session.close()).await {
        Ok(Ok(())) => {}
        // It ends all the same: the socket is closed.
        failed => tracing::debug!(?failed, "a connection was closed without a farewell"),
    }
}

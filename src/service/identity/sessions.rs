//! Sessions: the logins of an account. Ending one revokes its access tokens and its refresh token immediately.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::permissions;
use crate::model::account::SessionId;
use crate::model::caller::{AuthMethod, Caller};
use crate::service::Service;
use crate::service::error::Error;
use crate::store;

/// A session of an account.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    /// When it expires unless it is renewed before.
    pub expires_at: DateTime<Utc>,
    /// Whether the request belongs to it.
    pub is_current: bool,
}

/// The sessions to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionSelection {
    All,
    /// The session that the request belongs to.
    Current,
    One(SessionId),
}

impl Service {
    /// Lists the sessions of the caller's account, newest first.
    ///
    /// # Errors
    /// The caller authenticated with an API key, or has no account.
    pub async fn list_sessions(&self, caller: &Caller) -> Result<Vec<Session>, Error> {
        let account = permissions::interactive_account(caller)?;
        let current = current_session(caller);
        let sessions = store::identity::sessions::of_account(&self.db, account.id, self.clock.now()).await?;
        let session = |(id, expires_at)| Session { id, expires_at, is_current: current == Some(id) };
        Ok(sessions.into_iter().map(session).collect())
    }

    /// Logs out: ends the selected sessions.
    ///
    /// # Errors
    /// The caller authenticated with an API key, has no account, or there is no such session.
    pub async fn end_sessions(&self, caller: &Caller, which: SessionSelection) -> Result<(), Error> {
        let account = permissions::interactive_account(caller)?;
        let mut tx = self.db.begin().await?;
        let ended = match which {
            SessionSelection::All => {
                store::identity::sessions::delete_of(&mut tx, account.id, 0).await?;
                "all".to_owned()
            }
            SessionSelection::Current | SessionSelection::One(_) => {
                let id = if let SessionSelection::One(id) = which { Some(id) } else { current_session(caller) };
                let id = id.ok_or_else(no_such_session)?;
                if !store::identity::sessions::delete_one_of(&mut tx, account.id, id).await? {
                    return Err(no_such_session());
                }
                id.to_string()
            }
        };
        self.audit(&mut tx, account, "session.ended", account.id, BTreeMap::from([("session_id".to_owned(), ended)])).await?;
        Ok(tx.commit().await?)
    }
}

/// Returns the session of the caller's access token.
pub(super) fn current_session(caller: &Caller) -> Option<SessionId> {
    match caller.authenticated_user()?.auth_method {
        AuthMethod::Token(id) => Some(id),
        _ => None,
    }
}

pub fn no_such_session() -> Error {
    Error::NotFound { what: "such session".to_owned() }
}

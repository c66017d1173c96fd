//! Sessions: where an account is logged in. Ending one ends its access token at once, and its refresh token.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::permissions;
use crate::model::account::SessionId;
use crate::model::caller::{AuthMethod, Caller};
use crate::service::Service;
use crate::service::error::Error;
use crate::store;

/// A login that lasts.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    /// Unless it is used before.
    pub expires_at: DateTime<Utc>,
    /// Whether the request was made in it.
    pub is_current: bool,
}

/// Which sessions are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    All,
    /// The one that the request was made in.
    Current,
    One(SessionId),
}

impl Service {
    /// The sessions of the caller's account, newest first.
    ///
    /// # Errors
    /// The caller came in by a key, or has no account.
    pub async fn list_sessions(&self, caller: &Caller) -> Result<Vec<Session>, Error> {
        let account = permissions::account_in_person(caller)?;
        let current = current_session(caller);
        let sessions = store::identity::sessions::of_account(&self.db, account.id, self.clock.now()).await?;
        let session = |(id, expires_at)| Session { id, expires_at, is_current: current == Some(id) };
        Ok(sessions.into_iter().map(session).collect())
    }

    /// Logs out.
    ///
    /// # Errors
    /// The caller came in by a key, has no account, or there is no such session.
    pub async fn end_sessions(&self, caller: &Caller, which: Ending) -> Result<(), Error> {
        let account = permissions::account_in_person(caller)?;
        let mut tx = self.db.begin().await?;
        let ended = match which {
            Ending::All => {
                store::identity::sessions::delete_of(&mut tx, account.id, 0).await?;
                "all".to_owned()
            }
            Ending::Current | Ending::One(_) => {
                let id = if let Ending::One(id) = which { Some(id) } else { current_session(caller) };
                let id = id.ok_or_else(no_such_session)?;
                if !store::identity::sessions::delete_one_of(&mut tx, account.id, id).await? {
                    return Err(no_such_session());
                }
                id.to_string()
            }
        };
        self.note(&mut tx, account, "session.ended", account.id, BTreeMap::from([("session_id".to_owned(), ended)])).await?;
        Ok(tx.commit().await?)
    }
}

fn current_session(caller: &Caller) -> Option<SessionId> {
    match caller.authenticated_user()?.auth_method {
        AuthMethod::Token(id) => Some(id),
        _ => None,
    }
}

pub fn no_such_session() -> Error {
    Error::NotFound { what: "such session".to_owned() }
}

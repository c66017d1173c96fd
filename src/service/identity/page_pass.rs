//! The pass of a page: it tells who will use the page before the page's scripts have an access token. It is for reading the first
//! pictures only. It identifies a session, is signed, and is valid as long as that session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::permissions::require_enabled;
use super::sessions::current_session;
use crate::model::account::SessionId;
use crate::model::caller::{AuthMethod, Caller, User};
use crate::service::Service;
use crate::service::error::Error;
use crate::store;

/// Separates this use of the key from others.
const CONTEXT: &str = "image-service: pass of a page, v1";

impl Service {
    /// Returns the pass for the session that the request belongs to.
    ///
    /// # Errors
    /// The caller did not authenticate with an access token.
    pub async fn page_pass(&self, caller: &Caller) -> Result<String, Error> {
        let session = current_session(caller).ok_or(Error::Unauthenticated)?;
        text(&self.url_key().await?, session)
    }

    /// Returns the user of a pass; `None` if the session has ended, or the pass is not one of this service.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn user_of_page_pass(&self, pass: &str) -> Result<Option<User>, Error> {
        let Some(session) = pass.split_once('.').and_then(|(session, _)| SessionId::parse(session)) else { return Ok(None) };
        let expected = text(&self.url_key().await?, session)?;
        if !bool::from(expected.as_bytes().ct_eq(pass.as_bytes())) {
            return Ok(None);
        }
        let account = store::identity::sessions::account_of(&self.db, session, self.clock.now()).await?;
        let account = account.filter(|account| require_enabled(account).is_ok());
        let auth_method = AuthMethod::Token(session);
        Ok(account.map(|account| User { id: account.user_id.clone(), auth_method, account: Some(account) }))
    }
}

/// Returns the id of a session and its signature.
fn text(key: &[u8], session: SessionId) -> Result<String, Error> {
    let signed = format!("{CONTEXT}\n{session}");
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?.chain_update(signed).finalize();
    Ok(format!("{session}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes())))
}

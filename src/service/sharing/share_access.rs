//! What visitors of a share may do. Anyone who has the link can open it, after entering the password if it has one.
//!
//! A share acts for its owner, but only on its own image or collection. Every request is checked against the database, so a share
//! that is deleted, expired or changed stops working immediately.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::shares::require_shares;
use crate::model::caller::{AuthMethod, Caller, User};
use crate::model::share::{Share, ShareToken};
use crate::service::Service;
use crate::service::error::Error;
use crate::store;
use crate::store::sharing::shares::Opened;

/// A share that the visitor may see.
#[derive(Debug, Clone)]
pub struct OpenShare {
    pub share: Share,
    /// The owner, whose permissions the share uses.
    pub(super) owner: Caller,
}

/// The proof that a visitor has entered the password of a share, for a cookie. It is valid for this share and password only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePass {
    pub text: String,
    pub expires_at: DateTime<Utc>,
}

/// How long visitors need not enter the password again.
const PASS_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// Separates this use of the key from others.
const PASS_CONTEXT: &str = "image-service: password of a share, v1";

/// Passwords with more bytes are not hashed. The longest valid one is shorter.
const MAX_PASSWORD_BYTES: usize = 1024;

impl Service {
    /// Opens a share. `pass` is what [`Service::enter_share`] has returned, if the visitor has entered the password.
    ///
    /// # Errors
    /// There is no such share, it has expired, its owner is disabled or the owner's plan no longer includes shares, or the visitor
    /// must enter the password.
    pub async fn open_share(&self, token: &str, pass: Option<&str>) -> Result<OpenShare, Error> {
        let share = self.find_usable(token).await?;
        if let Some(hash) = &share.terms.password_hash {
            let pass = pass.ok_or(Error::SharePasswordRequired)?;
            self.check_pass(&share, hash, pass).await?;
        }
        let user = User { id: share.owner.clone(), auth_method: AuthMethod::Share, account: None };
        Ok(OpenShare { share, owner: Caller::User(Box::new(user)) })
    }

    /// Checks the password of a share, with the same limits as a login. Returns `None` if the share has no password.
    ///
    /// # Errors
    /// As for [`Service::open_share`], the password is wrong, or there were too many attempts.
    pub async fn enter_share(&self, token: &str, password: &str, address: IpAddr) -> Result<Option<SharePass>, Error> {
        let share = self.find_usable(token).await?;
        let Some(hash) = share.terms.password_hash.clone() else { return Ok(None) };
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(wrong_password());
        }
        let slot = self.auth.passwords.slot().await?;
        let attempt = self.auth.logins.begin(&format!("share {}", share.id), Some(address)).map_err(Error::too_many_requests)?;
        let fits = slot.verify(password, Some(hash.clone())).await;
        if matches!(fits, Ok(false)) {
            return Err(wrong_password());
        }
        // A failure of the service is not a failed attempt.
        attempt.succeeded();
        fits?;
        let latest = self.clock.now() + PASS_LIFETIME;
        let expires_at = share.terms.expires_at.map_or(latest, |expires_at| expires_at.min(latest));
        let text = pass_text(&self.url_key().await?, &share, &hash, expires_at.timestamp())?;
        Ok(Some(SharePass { text, expires_at }))
    }

    async fn find_usable(&self, token: &str) -> Result<Share, Error> {
        let token = ShareToken::parse(token).ok_or_else(Error::no_such_share)?;
        let found = store::sharing::shares::find_by_token(&self.db, &token).await?;
        let Opened { share, features, owner_is_disabled } = found.ok_or_else(Error::no_such_share)?;
        if share.is_expired(self.clock.now()) || owner_is_disabled {
            return Err(Error::LinkExpired);
        }
        require_shares(features.as_ref()).map_err(|_| Error::forbidden("This share is not available."))?;
        Ok(share)
    }

    async fn check_pass(&self, share: &Share, hash: &str, pass: &str) -> Result<(), Error> {
        let expires = pass.split_once('.').and_then(|(expires, _)| expires.parse().ok()).ok_or(Error::SharePasswordRequired)?;
        let expected = pass_text(&self.url_key().await?, share, hash, expires)?;
        let is_valid = bool::from(expected.as_bytes().ct_eq(pass.as_bytes())) && expires > self.clock.now().timestamp();
        if is_valid { Ok(()) } else { Err(Error::SharePasswordRequired) }
    }
}

fn wrong_password() -> Error {
    Error::forbidden("The password is wrong.")
}

/// Returns the expiry in seconds since 1970, and a signature that covers it, the share, and the hash of its password.
fn pass_text(key: &[u8], share: &Share, password_hash: &str, expires: i64) -> Result<String, Error> {
    let signed = format!("{PASS_CONTEXT}\n{}\n{expires}\n{password_hash}", share.id);
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?.chain_update(signed).finalize();
    Ok(format!("{expires}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes())))
}

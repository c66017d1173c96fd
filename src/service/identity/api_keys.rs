//! API keys: for programs that come in without a password. A key with scopes can make, change and delete none, so it cannot widen
//! itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::permissions;
use super::permissions::require_enabled;
use super::secrets::{API_KEY_PREFIX, Secret};
use crate::model::account::{Account, ApiKey, KeyId, Scope};
use crate::model::caller::Caller;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::time::after;
use crate::service::time::truncate_to_micros;
use crate::store::{self, Tx};

/// Keys that an account may have.
const MAX_KEYS: u64 = 100;

/// A key to be made.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    pub description: String,
    /// `None` is everything that its account may do.
    pub scopes: Option<BTreeSet<Scope>>,
    /// `None` is for ever.
    pub lifetime: Option<Duration>,
}

/// What of a key is to be changed; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    pub description: Option<String>,
    pub scopes: Option<Option<BTreeSet<Scope>>>,
    /// From now on.
    pub lifetime: Option<Option<Duration>>,
}

impl Service {
    /// The keys of the caller's account, newest first.
    ///
    /// # Errors
    /// The caller has not shown to have an account.
    pub async fn list_keys(&self, caller: &Caller) -> Result<Vec<ApiKey>, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        Ok(store::identity::api_keys::of_account(&self.db, account.id).await?)
    }

    /// A key of the caller's account.
    ///
    /// # Errors
    /// The caller has not shown to have an account, or there is no such key.
    pub async fn find_key(&self, caller: &Caller, id: KeyId) -> Result<ApiKey, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        store::identity::api_keys::find(&self.db, account.id, id).await?.ok_or_else(no_such_key)
    }

    /// Makes a key. The key itself is told now and never again.
    ///
    /// # Errors
    /// The caller came in by a key with scopes, or has as many keys as can be.
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<(ApiKey, String), Error> {
        let account = permissions::unrestricted_account(caller)?;
        let secret = Secret::new()?;
        let id = KeyId::new(&*self.clock);
        let NewKey { description, scopes, lifetime } = new;
        let expires_at = self.key_expiry(lifetime);
        let key = ApiKey { id, account_id: account.id, description, scopes, last_used_at: None, expires_at };
        let mut tx = self.db.begin().await?;
        lock(&mut tx, account).await?;
        if store::identity::api_keys::count(&mut tx, account.id).await? >= MAX_KEYS {
            return Err(Error::Conflict { message: format!("The account has {MAX_KEYS} keys already: delete one first.") });
        }
        store::identity::api_keys::insert(&mut tx, &key, &secret.hash).await?;
        self.audit(&mut tx, account, "api_key.created", id, describe(&key)).await?;
        tx.commit().await?;
        Ok((key, secret.with_id(API_KEY_PREFIX, id.uuid())))
    }

    fn key_expiry(&self, lifetime: Option<Duration>) -> Option<DateTime<Utc>> {
        lifetime.map(|lifetime| truncate_to_micros(after(self.clock.now(), lifetime)))
    }

    /// Changes a key's description, scopes or end.
    ///
    /// # Errors
    /// The caller came in by a key with scopes, or there is no such key.
    pub async fn change_key(&self, caller: &Caller, id: KeyId, change: KeyChange) -> Result<ApiKey, Error> {
        let account = permissions::unrestricted_account(caller)?;
        let mut tx = self.db.begin().await?;
        lock(&mut tx, account).await?;
        let mut key = store::identity::api_keys::find(&mut tx, account.id, id).await?.ok_or_else(no_such_key)?;
        key.description = change.description.unwrap_or(key.description);
        key.scopes = change.scopes.unwrap_or(key.scopes);
        key.expires_at = change.lifetime.map_or(key.expires_at, |lifetime| self.key_expiry(lifetime));
        if !store::identity::api_keys::update(&mut tx, &key).await? {
            return Err(no_such_key());
        }
        self.audit(&mut tx, account, "api_key.changed", id, describe(&key)).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// Deletes a key, which is no longer good from then on.
    ///
    /// # Errors
    /// The caller came in by a key with scopes, or there is no such key.
    pub async fn delete_key(&self, caller: &Caller, id: KeyId) -> Result<(), Error> {
        let account = permissions::unrestricted_account(caller)?;
        let mut tx = self.db.begin().await?;
        if !store::identity::api_keys::delete(&mut tx, account.id, id).await? {
            return Err(no_such_key());
        }
        self.audit(&mut tx, account, "api_key.deleted", id, BTreeMap::new()).await?;
        Ok(tx.commit().await?)
    }
}

/// An account's keys are made and changed one at a time, and not while it is disabled.
async fn lock(tx: &mut Tx, account: &Account) -> Result<(), Error> {
    let now = store::identity::accounts::lock(tx, account.id).await?;
    require_enabled(&now.ok_or(Error::Unauthenticated)?)
}

/// For the audit trail.
fn describe(key: &ApiKey) -> BTreeMap<String, String> {
    let names = |scopes: &BTreeSet<Scope>| scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",");
    let mut details = BTreeMap::from([("scopes".to_owned(), key.scopes.as_ref().map_or_else(|| "all".to_owned(), names))]);
    details.extend(
        key.expires_at.map(|expires_at| ("expires_at".to_owned(), expires_at.to_rfc3339_opts(SecondsFormat::Millis, true))),
    );
    details
}

fn no_such_key() -> Error {
    Error::NotFound { what: "such API key".to_owned() }
}

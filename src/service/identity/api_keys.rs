//! API keys: credentials for programs. A key with scopes cannot create, change or delete keys, so it cannot extend its own
//! permissions.

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

/// The maximum number of keys per account.
const MAX_KEYS: u64 = 100;

/// A key to create.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    pub description: String,
    /// `None` grants all permissions of the account.
    pub scopes: Option<BTreeSet<Scope>>,
    /// `None` means without expiry.
    pub lifetime: Option<Duration>,
}

/// Changes to a key; a field that is `None` stays unchanged.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    pub description: Option<String>,
    pub scopes: Option<Option<BTreeSet<Scope>>>,
    /// From the time of the change.
    pub lifetime: Option<Option<Duration>>,
}

impl Service {
    /// Lists the keys of the caller's account, newest first.
    ///
    /// # Errors
    /// The caller has not authenticated with an account.
    pub async fn list_keys(&self, caller: &Caller) -> Result<Vec<ApiKey>, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        Ok(store::identity::api_keys::of_account(&self.db, account.id).await?)
    }

    /// Finds a key of the caller's account.
    ///
    /// # Errors
    /// The caller has not authenticated with an account, or there is no such key.
    pub async fn find_key(&self, caller: &Caller, id: KeyId) -> Result<ApiKey, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        store::identity::api_keys::find(&self.db, account.id, id).await?.ok_or_else(no_such_key)
    }

    /// Creates a key. The secret is returned only once.
    ///
    /// # Errors
    /// The caller authenticated with a restricted key, or the account has too many keys.
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
            return Err(Error::Conflict { message: format!("The account already has {MAX_KEYS} keys. Delete one first.") });
        }
        store::identity::api_keys::insert(&mut tx, &key, &secret.hash).await?;
        self.audit(&mut tx, account, "api_key.created", id, describe(&key)).await?;
        tx.commit().await?;
        Ok((key, secret.with_id(API_KEY_PREFIX, id.uuid())))
    }

    fn key_expiry(&self, lifetime: Option<Duration>) -> Option<DateTime<Utc>> {
        lifetime.map(|lifetime| truncate_to_micros(after(self.clock.now(), lifetime)))
    }

    /// Changes a key's description, scopes or expiry.
    ///
    /// # Errors
    /// The caller authenticated with a restricted key, or there is no such key.
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

    /// Deletes a key, which is revoked immediately.
    ///
    /// # Errors
    /// The caller authenticated with a restricted key, or there is no such key.
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

/// Locks the account, so that its keys change one at a time, and not while it is disabled.
async fn lock(tx: &mut Tx, account: &Account) -> Result<(), Error> {
    let now = store::identity::accounts::lock(tx, account.id).await?;
    require_enabled(&now.ok_or(Error::Unauthenticated)?)
}

/// Returns details for the audit trail.
fn describe(key: &ApiKey) -> BTreeMap<String, String> {
    let names = |scopes: &BTreeSet<Scope>| scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
    let mut details = BTreeMap::from([("scopes".to_owned(), key.scopes.as_ref().map_or_else(|| "all".to_owned(), names))]);
    details.extend(
        key.expires_at.map(|expires_at| ("expires_at".to_owned(), expires_at.to_rfc3339_opts(SecondsFormat::Millis, true))),
    );
    details
}

fn no_such_key() -> Error {
    Error::NotFound { what: "such API key".to_owned() }
}

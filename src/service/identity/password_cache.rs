//! A cache of verified passwords. Clients with Basic authentication send the password with every request, and should not wait for
//! the hash every time.
//!
//! An entry is a MAC, under a key of this process, of the account, the password, its hash, and the client network. So a changed
//! password invalidates all entries of the account, and guesses from other networks are no faster.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::rate_limits::client_network;
use super::secrets;
use crate::model::account::AccountId;
use crate::service::error::Error;

/// How long an entry is valid.
const LIFETIME: TimeDelta = TimeDelta::minutes(1);

/// When the cache is full, new entries are discarded.
const MAX_ENTRIES: usize = 10_000;

/// MACs of correct passwords, with their expiry.
#[derive(Debug, Default)]
pub(in crate::service) struct PasswordCache {
    key: Mutex<Option<[u8; 32]>>,
    entries: Mutex<HashMap<CacheKey, DateTime<Utc>>>,
}

pub(in crate::service) type CacheKey = [u8; 32];

impl PasswordCache {
    pub fn key_of(&self, account: AccountId, hash: &str, password: &str, address: Option<IpAddr>) -> Result<CacheKey, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key()?).map_err(Error::internal)?;
        mac.update(account.uuid().as_bytes());
        // Variable-length parts are prefixed with their length.
        let network = address.map(client_network).map(|network| network.to_string()).unwrap_or_default();
        mac.update(&(network.len() as u64).to_be_bytes());
        mac.update(network.as_bytes());
        mac.update(&(hash.len() as u64).to_be_bytes());
        mac.update(hash.as_bytes());
        mac.update(password.as_bytes());
        Ok(mac.finalize().into_bytes().into())
    }

    fn key(&self) -> Result<[u8; 32], Error> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = *key {
            return Ok(key);
        }
        let made = secrets::random_bytes()?;
        *key = Some(made);
        Ok(made)
    }

    pub fn contains(&self, cache_key: &CacheKey, now: DateTime<Utc>) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(cache_key).is_some_and(|until| now < *until && *until - now <= LIFETIME)
    }

    pub fn insert(&self, cache_key: CacheKey, now: DateTime<Utc>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, until| now < *until);
        }
        if entries.len() < MAX_ENTRIES {
            entries.insert(cache_key, now + LIFETIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_valid_for_a_minute_and_bound_to_account_hash_and_network() {
        let (cache, now) = (PasswordCache::default(), DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let account = AccountId::from(uuid::Uuid::from_u128(7));
        let here = Some(IpAddr::from([198, 51, 100, 1]));
        let cache_key = cache.key_of(account, "hash", "password", here).unwrap();
        assert!(!cache.contains(&cache_key, now));
        cache.insert(cache_key, now);
        assert!(cache.contains(&cache_key, now + TimeDelta::seconds(59)));
        assert!(!cache.contains(&cache_key, now + LIFETIME));
        assert!(!cache.contains(&cache_key, now - TimeDelta::seconds(1)), "a clock that is set back extends no entry");
        let other = AccountId::from(uuid::Uuid::from_u128(8));
        for (account, hash, password) in
            [(account, "hash2", "password"), (account, "hash", "passwor"), (other, "hash", "password")]
        {
            assert!(!cache.contains(&cache.key_of(account, hash, password, here).unwrap(), now));
        }
        for elsewhere in [None, Some(IpAddr::from([198, 51, 100, 2]))] {
            assert!(!cache.contains(&cache.key_of(account, "hash", "password", elsewhere).unwrap(), now));
        }
        assert!(!PasswordCache::default().contains(&cache_key, now));
    }
}

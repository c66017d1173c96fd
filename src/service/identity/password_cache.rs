//! Passwords that were found right a moment ago: a client that sends e-mail address and password with every request, as basic
//! authentication does, is not made to wait for the hash each time.
//!
//! What is kept is a MAC under a key of this process, of the account, the password, the hash that it fitted, and the address that
//! it came from; so another password of the account leaves nothing that fits, and who guesses elsewhere finds nothing quicker.

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

/// How long a password is remembered.
const LIFETIME: TimeDelta = TimeDelta::minutes(1);

/// Beyond so many, none of them is remembered.
const MAX_ENTRIES: usize = 10_000;

/// Right passwords, by their MACs, and until when.
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
        // Of any length, and each with its own.
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
    fn a_password_is_remembered_for_a_minute_with_its_hash_and_its_account() {
        let (cache, now) = (PasswordCache::default(), DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let account = AccountId::from(uuid::Uuid::from_u128(7));
        let here = Some(IpAddr::from([198, 51, 100, 1]));
        let cache_key = cache.key_of(account, "hash", "password", here).unwrap();
        assert!(!cache.contains(&cache_key, now));
        cache.insert(cache_key, now);
        assert!(cache.contains(&cache_key, now + TimeDelta::seconds(59)));
        assert!(!cache.contains(&cache_key, now + LIFETIME));
        assert!(!cache.contains(&cache_key, now - TimeDelta::seconds(1)), "a clock that was set back lengthens nothing");
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

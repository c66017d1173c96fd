//! Secrets that the service issues: 256 random bits with a recognisable prefix and an id. Only hashes are stored, and they are
//! compared in constant time. A fast hash is enough because the secrets are random.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::service::error::Error;

/// A new secret, and the hash to store.
pub(in crate::service) struct Secret {
    /// Base64url without padding.
    pub text: String,
    pub hash: Hash,
}

pub(in crate::service) type Hash = [u8; 32];

/// The prefix of API keys.
pub const API_KEY_PREFIX: &str = "isk_";
/// The prefix of refresh tokens.
pub(in crate::service) const REFRESH_PREFIX: &str = "isr_";

pub(in crate::service) fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(bytes)
}

impl Secret {
    pub fn new() -> Result<Self, Error> {
        let text = URL_SAFE_NO_PAD.encode(random_bytes::<32>()?);
        let hash = hash(&text);
        Ok(Self { text, hash })
    }

    /// Derives the successor of `previous`. It cannot be computed without both `previous` and the salt; with both it is always
    /// the same.
    pub fn derive_next(previous: &str, salt: &[u8]) -> Result<Self, Error> {
        let mac = Hmac::<Sha256>::new_from_slice(salt).map_err(Error::internal)?.chain_update(previous).finalize();
        let text = URL_SAFE_NO_PAD.encode(mac.into_bytes());
        let hash = hash(&text);
        Ok(Self { text, hash })
    }

    /// Returns the secret with its prefix and the id for finding it.
    pub fn with_id(&self, prefix: &str, id: Uuid) -> String {
        format!("{prefix}{}_{}", id.simple(), self.text)
    }
}

/// Parses the output of [`Secret::with_id`] into the id and the hash of the secret.
pub(in crate::service) fn parse(prefix: &str, text: &str) -> Option<(Uuid, Hash)> {
    let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
    let id = (id.len() == uuid::fmt::Simple::LENGTH).then(|| Uuid::try_parse(id).ok())??;
    Some((id, hash(secret)))
}

/// Returns the SHA-256 of a secret.
pub(in crate::service) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares hashes in constant time.
pub(in crate::service) fn hashes_match(hash: &Hash, kept: &[u8]) -> bool {
    hash.as_slice().ct_eq(kept).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_id_and_matches_only_its_own_hash() {
        let (secret, id) = (Secret::new().unwrap(), Uuid::from_u128(7));
        let text = secret.with_id("isk_", id);
        assert_eq!(text.len(), 4 + 32 + 1 + 43);
        assert_eq!(parse("isk_", &text), Some((id, secret.hash)));
        assert!(
            hashes_match(&secret.hash, &secret.hash)
                && !hashes_match(&secret.hash, &hash("other"))
                && !hashes_match(&secret.hash, b"")
        );
        let upper = id.simple().to_string().to_uppercase();
        for foreign in ["", "isk_", "isr_x_y", &text[1..], &text.replace('_', "-"), &format!("isk_{upper}")] {
            assert_eq!(parse("isk_", foreign), None, "{foreign}");
        }
        assert_ne!(Secret::new().unwrap().text, secret.text);
    }

    #[test]
    fn the_successor_of_a_secret_is_determined_by_its_salt() {
        let (first, again) = (Secret::derive_next("a", b"salt").unwrap(), Secret::derive_next("a", b"salt").unwrap());
        assert_eq!((&first.text, first.hash, first.text.len()), (&again.text, again.hash, 43));
        assert_ne!(first.text, Secret::derive_next("b", b"salt").unwrap().text);
        assert_ne!(first.text, Secret::derive_next("a", b"other").unwrap().text);
    }
}

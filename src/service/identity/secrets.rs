//! Secrets that the service gives out: 256 random bits behind a recognisable prefix and an id. Only their hashes are kept, and
//! they are compared in constant time. As they are random, one fast hash is enough.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::service::error::Error;

/// A new secret, and the hash to keep.
pub(in crate::service) struct Secret {
    /// Base64url without padding.
    pub text: String,
    pub hash: Hash,
}

pub(in crate::service) type Hash = [u8; 32];

/// What API keys begin with.
pub const API_KEY_PREFIX: &str = "isk_";
/// What refresh tokens begin with.
pub(in crate::service) const REFRESH_PREFIX: &str = "isr_";

pub(in crate::service) fn random_bytes() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(bytes)
}

impl Secret {
    pub fn new() -> Result<Self, Error> {
        let text = URL_SAFE_NO_PAD.encode(random_bytes()?);
        let hash = hash(&text);
        Ok(Self { text, hash })
    }

    /// The secret that follows `previous`. Whoever has the one before cannot tell it without the salt, nor who has the salt
    /// without the one before; with both it is the same each time.
    pub fn derive_next(previous: &str, salt: &[u8]) -> Result<Self, Error> {
        let mac = Hmac::<Sha256>::new_from_slice(salt).map_err(Error::internal)?.chain_update(previous).finalize();
        let text = URL_SAFE_NO_PAD.encode(mac.into_bytes());
        let hash = hash(&text);
        Ok(Self { text, hash })
    }

    /// The secret with its prefix and the id that it is found by.
    pub fn with_id(&self, prefix: &str, id: Uuid) -> String {
        format!("{prefix}{}_{}", id.simple(), self.text)
    }
}

/// Takes apart what [`Secret::with_id`] gave: the id, and the hash of the secret.
pub(in crate::service) fn parse(prefix: &str, text: &str) -> Option<(Uuid, Hash)> {
    let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
    let id = (id.len() == uuid::fmt::Simple::LENGTH).then(|| Uuid::try_parse(id).ok())??;
    Some((id, hash(secret)))
}

/// SHA-256 of a secret as it was given out.
pub(in crate::service) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares hashes in a time that tells nothing of where they differ.
pub(in crate::service) fn hashes_match(hash: &Hash, kept: &[u8]) -> bool {
    hash.as_slice().ct_eq(kept).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_id_and_fits_its_hash_alone() {
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
    fn what_follows_a_secret_is_the_same_each_time_for_the_same_salt() {
        let (first, again) = (Secret::derive_next("a", b"salt").unwrap(), Secret::derive_next("a", b"salt").unwrap());
        assert_eq!((&first.text, first.hash, first.text.len()), (&again.text, again.hash, 43));
        assert_ne!(first.text, Secret::derive_next("b", b"salt").unwrap().text);
        assert_ne!(first.text, Secret::derive_next("a", b"other").unwrap().text);
    }
}

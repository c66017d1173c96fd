//! Fingerprints of requests and of lists.

use sha2::{Digest, Sha256};

/// Hashes each part with its length, so that different payloads cannot collide by concatenation.
pub(in crate::service) fn fingerprint_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

//! Keyset paging by the last id seen: every page costs the same, and concurrent writes neither skip nor repeat items.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where a list continues: after `last`, with the filters of this fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    pub last: Uuid,
}

/// Where a list of deleted images continues: after the image with this time of deletion and this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashToken {
    /// Exact to the microsecond.
    pub deleted_at: DateTime<Utc>,
    pub last: Uuid,
}

/// Bytes of the checksum over the position and the filters: enough to detect every accidental change. It is not secret and protects
/// only against client mistakes: a forged token shows only what the same filters show anyway.
const CHECK_BYTES: usize = 12;

/// Increased when tokens of an older layout must be rejected.
const VERSION: u8 = 1;

impl PageToken {
    /// Encodes the token as base64url without padding.
    pub fn encode(self, filter_fingerprint: &[u8; 32]) -> String {
        encode(self.last.as_bytes(), filter_fingerprint)
    }

    /// Decodes a token. Returns `None` if it was altered, belongs to other filters, or was not issued by the service.
    pub fn decode(text: &str, filter_fingerprint: &[u8; 32]) -> Option<Self> {
        Some(Self { last: Uuid::from_bytes(decode(text, filter_fingerprint)?) })
    }
}

impl TrashToken {
    /// Encodes the token as base64url without padding.
    pub fn encode(self, fingerprint: &[u8; 32]) -> String {
        let mut position = [0; 24];
        position[..8].copy_from_slice(&self.deleted_at.timestamp_micros().to_be_bytes());
        position[8..].copy_from_slice(self.last.as_bytes());
        encode(&position, fingerprint)
    }

    /// Decodes a token, as [`PageToken::decode`].
    pub fn decode(text: &str, fingerprint: &[u8; 32]) -> Option<Self> {
        let position: [u8; 24] = decode(text, fingerprint)?;
        let (micros, id) = position.split_first_chunk::<8>()?;
        let deleted_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        Some(Self { deleted_at, last: Uuid::from_slice(id).ok()? })
    }
}

fn encode(position: &[u8], filter_fingerprint: &[u8; 32]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(position);
    bytes.extend(check(position, filter_fingerprint));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<const BYTES: usize>(text: &str, filter_fingerprint: &[u8; 32]) -> Option<[u8; BYTES]> {
    if text.len() > encoded_chars(BYTES) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (position, sent_check) = rest.split_first_chunk::<BYTES>()?;
    (*version == VERSION && sent_check == check(position, filter_fingerprint)).then_some(*position)
}

/// Returns the number of characters of a token with a position of so many bytes.
const fn encoded_chars(position_bytes: usize) -> usize {
    ((1 + position_bytes + CHECK_BYTES) * 4).div_ceil(3)
}

fn check(position: &[u8], filter_fingerprint: &[u8; 32]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update([VERSION]).chain_update(position).chain_update(filter_fingerprint).finalize();
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SystemClock;
    use crate::model::filter::ImageFilter;
    use crate::model::id::ImageId;
    use crate::model::tag::Tag;

    #[test]
    fn a_token_is_read_back_only_unaltered_and_under_its_filter() {
        let token = PageToken { last: ImageId::new(&SystemClock).uuid() };
        let all = ImageFilter::default().fingerprint();
        let sea = ImageFilter { tags: vec![Tag::parse("sea").unwrap()], ..ImageFilter::default() }.fingerprint();
        let text = token.encode(&all);
        assert_eq!(text.len(), encoded_chars(16));
        assert_eq!(PageToken::decode(&text, &all), Some(token));
        assert_eq!(PageToken::decode(&text, &sea), None);
        for position in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(PageToken::decode(&altered, &all), None, "{altered}");
        }
        for foreign in ["", "eyJrZXkiOiJ2YWx1ZSJ9", "!", &text[1..], &format!("{text}=")] {
            assert_eq!(PageToken::decode(foreign, &all), None, "{foreign}");
        }
    }

    #[test]
    fn a_token_of_the_trash_is_exact_to_the_microsecond_and_no_token_of_another_list() {
        let list = ImageFilter::default().fingerprint();
        let deleted_at = DateTime::from_timestamp_micros(1_767_225_600_123_457).unwrap();
        let token = TrashToken { deleted_at, last: Uuid::from_u128(7) };
        let text = token.encode(&list);
        assert_eq!(TrashToken::decode(&text, &list), Some(token));
        assert_eq!((PageToken::decode(&text, &list), text.len()), (None, encoded_chars(24)));
        assert_eq!(TrashToken::decode(&PageToken { last: token.last }.encode(&list), &list), None);
    }

    #[test]
    fn the_order_of_tags_does_not_matter_to_a_token() {
        let tags = |list: &str| ImageFilter { tags: Tag::parse_list(list).unwrap(), ..ImageFilter::default() }.fingerprint();
        assert_eq!(tags("a,b"), tags("b,a"));
        assert_ne!(tags("a,b"), tags("a"));
    }
}

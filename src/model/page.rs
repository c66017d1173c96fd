//! Keyset paging by the last id seen: every page costs the same, and concurrent writes neither skip nor repeat items.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where a list continues: after `last`, with the filters of this fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    pub last: Uuid,
}

/// Bytes of the checksum over id and filters: enough to detect every accidental change. It is not secret and protects only
/// against client mistakes: a forged token shows only what the same filters show anyway.
const CHECK_BYTES: usize = 12;

/// Increased when tokens of an older layout must be rejected.
const VERSION: u8 = 1;

impl PageToken {
    /// Characters of an encoded token.
    pub const ENCODED_CHARS: usize = (1 + 16 + CHECK_BYTES) * 4 / 3 + 1;

    /// Encodes the token as base64url without padding.
    pub fn encode(self, filter_fingerprint: &[u8; 32]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.last.as_bytes());
        bytes.extend(check(self.last, filter_fingerprint));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a token. Returns `None` if it was altered, belongs to other filters, or was not issued by the service.
    pub fn decode(text: &str, filter_fingerprint: &[u8; 32]) -> Option<Self> {
        if text.len() > Self::ENCODED_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (id, sent_check) = rest.split_first_chunk::<16>()?;
        let last = Uuid::from_bytes(*id);
        (*version == VERSION && sent_check == check(last, filter_fingerprint)).then_some(Self { last })
    }
}

fn check(last: Uuid, filter_fingerprint: &[u8; 32]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update([VERSION]).chain_update(last.as_bytes()).chain_update(filter_fingerprint).finalize();
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
        assert_eq!(text.len(), PageToken::ENCODED_CHARS);
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
    fn the_order_of_tags_does_not_matter_to_a_token() {
        let tags = |list: &str| ImageFilter { tags: Tag::parse_list(list).unwrap(), ..ImageFilter::default() }.fingerprint();
        assert_eq!(tags("a,b"), tags("b,a"));
        assert_ne!(tags("a,b"), tags("a"));
    }
}

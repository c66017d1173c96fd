//! Shares: links that show an image or a collection to anyone.

use std::fmt;

use chrono::{DateTime, Utc};

use super::collection::{CollectionId, CollectionName};
use super::id::ImageId;
pub use super::id::ShareId;
use super::user_id::UserId;

/// A share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub id: ShareId,
    pub token: ShareToken,
    pub owner: UserId,
    pub target: ShareTarget,
    pub terms: ShareTerms,
    /// How many images visitors have added.
    pub guest_images: u32,
}

/// What a share shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareTarget {
    Image(ImageId),
    Collection(CollectionId, CollectionName),
}

/// What the owner of a share decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareTerms {
    /// `None` means never.
    pub expires_at: Option<DateTime<Utc>>,
    /// As a PHC string; `None` means that the link is enough.
    pub password_hash: Option<String>,
    /// How many images visitors may add in total; `None` means that they may not add any.
    pub max_guest_images: Option<u32>,
}

impl Share {
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.terms.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Returns how many more images visitors may add.
    pub fn guest_images_left(&self) -> u32 {
        self.terms.max_guest_images.unwrap_or_default().saturating_sub(self.guest_images)
    }
}

/// The secret part of a share's URL: 128 random bits in base64url. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareToken(String);

impl ShareToken {
    pub const CHARS: usize = 22;

    pub fn from_generated(text: String) -> Self {
        Self(text)
    }

    /// Returns `None` for texts that no token equals.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (text.len() == Self::CHARS && text.bytes().all(is_valid)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_22_characters_of_base64url() {
        assert!(ShareToken::parse("3q2-7wAAAAAAAAA_AAAAAA").is_some());
        for other in [
            "",
            "assets",
            "3q2-7wAAAAAAAAA_AAAAA",
            "3q2-7wAAAAAAAAA_AAAAAAA",
            "3q2+7wAAAAAAAAA_AAAAAA",
            "3q2-7wAAAAAAAAA_AAAA\u{fc}",
        ] {
            assert_eq!(ShareToken::parse(other), None, "{other}");
        }
        assert_eq!(format!("{:?}", ShareToken::parse("3q2-7wAAAAAAAAA_AAAAAA")), "Some(ShareToken)");
    }
}

//! User ids.

use std::fmt;

/// A user id: 1–255 characters of `A-Z a-z 0-9 . _ @ : - | + ~ =`, which covers the ids of identity providers (`auth0|5f7c…`,
/// `ann+photos@example.org`). A slash is not allowed, because ids appear in paths, nor a comma, because they appear in keys of
/// counters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    pub const MAX_CHARS: usize = 255;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:-|+~=".contains(&byte);
        if text.is_empty() || text.len() > Self::MAX_CHARS {
            return Err(format!("must have 1 to {} characters", Self::MAX_CHARS));
        }
        if !text.bytes().all(allowed) {
            return Err("must contain only letters A-Z and a-z, digits and . _ @ : - | + ~ =".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_has_1_to_255_plain_characters() {
        for good in ["a", "User.Name_1@example.org:x-y", "auth0|5f7c=", "ann+x@example.org", "~a", &"a".repeat(255)] {
            assert_eq!(UserId::parse(good).as_ref().map(UserId::as_str), Ok(good));
        }
        for bad in ["", "a b", "a/b", "ü", "a\0", "a,b", "a%b", "a;b", &"a".repeat(256)] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }
}

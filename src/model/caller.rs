//! Who asks. Handlers pass a [`Caller`] on; what it may do is decided in `service/`.

use std::fmt;

/// A user's name: 1–128 characters of `A-Z a-z 0-9 . _ @ : -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    pub const MAX_CHARS: usize = 128;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._@:-".contains(c);
        if text.is_empty() || text.len() > Self::MAX_CHARS {
            return Err(format!("must have 1 to {} characters", Self::MAX_CHARS));
        }
        if !text.chars().all(allowed) {
            return Err("may only contain letters A-Z and a-z, digits and . _ @ : -".to_owned());
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

/// Who makes a request, and how that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    User { id: UserId, proof: Proof },
}

/// What the service relied on when it took a caller for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The `X-User-Id` header, set by a gateway that the operator trusts.
    GatewayHeader,
    /// A job that the user ordered, which the service works off.
    Job,
}

impl Caller {
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Anonymous => None,
            Self::User { id, .. } => Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_has_1_to_128_plain_characters() {
        for good in ["a", "User.Name_1@example.org:x-y", &"a".repeat(128)] {
            assert_eq!(UserId::parse(good).as_ref().map(UserId::as_str), Ok(good));
        }
        for bad in ["", "a b", "a/b", "ü", "a\0", &"a".repeat(129)] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }
}

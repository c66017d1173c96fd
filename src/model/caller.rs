//! Who makes a request. Handlers pass a [`Caller`] on; `service/` decides what it may do.

use std::collections::BTreeSet;
use std::fmt;

use super::account::{Account, KeyId, Scope, SessionId};

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
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._@:-|+~=".contains(c);
        if text.is_empty() || text.len() > Self::MAX_CHARS {
            return Err(format!("must have 1 to {} characters", Self::MAX_CHARS));
        }
        if !text.chars().all(allowed) {
            return Err("may only contain letters A-Z and a-z, digits and . _ @ : - | + ~ =".to_owned());
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

/// The caller of a request, and how it was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// A gateway that names no user, but may act for any user that the request names.
    Gateway,
    User(Box<User>),
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub proof: Proof,
    /// `None` for users of a gateway that have no account.
    pub account: Option<Account>,
}

/// How a caller was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By the `X-User-Id` header, set by a trusted gateway.
    GatewayHeader,
    /// The service itself, processing a job of the user.
    Job,
    /// E-mail address and password.
    Password,
    /// An access token of this session.
    Token(SessionId),
    /// An API key and its scopes; `None` means everything that its account may do.
    ApiKey(KeyId, Option<BTreeSet<Scope>>),
}

impl Caller {
    pub fn known(&self) -> Option<&User> {
        match self {
            Self::Anonymous | Self::Gateway => None,
            Self::User(user) => Some(user),
        }
    }

    pub fn user(&self) -> Option<&UserId> {
        self.known().map(|user| &user.id)
    }
}

impl User {
    /// Returns the account if the caller authenticated with its credentials. A user named by a gateway did not.
    pub fn own_account(&self) -> Option<&Account> {
        match self.proof {
            Proof::Password | Proof::Token(_) | Proof::ApiKey(..) => self.account.as_ref(),
            Proof::GatewayHeader | Proof::Job => None,
        }
    }

    /// Returns whether the caller's credentials permit `scope`.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.proof {
            Proof::ApiKey(_, Some(scopes)) => scopes.contains(&scope),
            _ => true,
        }
    }

    /// Returns whether the caller's credentials permit less than its account may do.
    pub fn is_restricted(&self) -> bool {
        matches!(self.proof, Proof::ApiKey(_, Some(_)))
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

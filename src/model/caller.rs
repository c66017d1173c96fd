//! Who asks. Handlers pass a [`Caller`] on; what it may do is decided in `service/`.

use std::collections::BTreeSet;
use std::fmt;

use super::account::{Account, KeyId, Scope, SessionId};

/// A user's name: 1–255 characters of `A-Z a-z 0-9 . _ @ : - | + ~ =`, which is what identity providers make theirs of
/// (`auth0|5f7c…`, `ann+photos@example.org`). No slash, for it stands in paths; no comma, for it stands in keys of counters.
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

/// Who makes a request, and how that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// Nobody in particular, but from where a gateway vouches for whatever user the request names.
    Gateway,
    User(Box<User>),
}

/// A caller who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub proof: Proof,
    /// Behind a gateway there are users without one.
    pub account: Option<Account>,
}

/// What the service relied on when it took a caller for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The `X-User-Id` header, set by a gateway that the operator trusts.
    GatewayHeader,
    /// A job that the user ordered, which the service works off.
    Job,
    /// E-mail address and password.
    Password,
    /// An access token of this session.
    Token(SessionId),
    /// An API key, and what it is good for; `None` is everything that its account may do.
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
    /// The account, where the caller has shown to be its owner, and not merely a gateway that it is.
    pub fn own_account(&self) -> Option<&Account> {
        match self.proof {
            Proof::Password | Proof::Token(_) | Proof::ApiKey(..) => self.account.as_ref(),
            Proof::GatewayHeader | Proof::Job => None,
        }
    }

    /// Whether what the caller came in with is good for this.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.proof {
            Proof::ApiKey(_, Some(scopes)) => scopes.contains(&scope),
            _ => true,
        }
    }

    /// Whether the caller came in with less than all that the account may do.
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

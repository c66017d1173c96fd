//! Accounts: the people and programs that the service can authenticate, and their credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use unicode_normalization::UnicodeNormalization;

pub use super::id::{AccountId, EntryId, KeyId, LinkId, SessionId};
use super::plan::PlanName;
use super::user_id::UserId;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// The user that images and imports name as their owner.
    pub user_id: UserId,
    pub email: Email,
    /// `None` means no restrictions.
    pub plan: Option<PlanName>,
    pub admin: bool,
    pub updated_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
}

/// An e-mail address, in lower case and in the normal form NFC. Accounts log in with it; the service never sends mail.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    pub const MAX_CHARS: usize = 254;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > Self::MAX_CHARS {
            return Err(format!("must have 1 to {} characters", Self::MAX_CHARS));
        }
        // In basic authentication a colon ends the user name.
        let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == ':');
        let parts = text.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
        if !plain || parts.is_none() {
            return Err("must be like name@example.org, without spaces and colons".to_owned());
        }
        Ok(Self(text.nfc().collect::<String>().to_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an API key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything that its account may read.
    Read,
    /// Uploads and imports images, and changes, deletes, restores and shares those of its account.
    Upload,
    /// Adopts objects that are already in the storage as images of its account.
    Adopt,
    /// Administrative requests, if its account is an administrator.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Read, Self::Upload, Self::Adopt, Self::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Upload => "upload",
            Self::Adopt => "adopt",
            Self::Admin => "admin",
        }
    }

    /// # Errors
    /// The rule, in words for the client.
    pub fn parse(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.name() == name);
        known.ok_or_else(|| "must be read, upload, adopt or admin".to_owned())
    }
}

/// An API key without its secret, of which only a hash is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub account_id: AccountId,
    pub description: String,
    /// `None` means everything that its account may do.
    pub scopes: Option<BTreeSet<Scope>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// `None` means never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    pub const MAX_DESCRIPTION_CHARS: usize = 200;
}

/// An expiring link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringLink {
    pub id: LinkId,
    pub expires_at: DateTime<Utc>,
    pub max_views: Option<u32>,
    /// How often it was opened.
    pub views: u32,
    /// Bytes of range requests that a view has paid for and that were not fetched yet.
    pub paid_bytes: u64,
}

impl ExpiringLink {
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now || self.is_used_up()
    }

    /// Returns whether all permitted views are used up.
    pub fn is_used_up(&self) -> bool {
        self.max_views.is_some_and(|max| self.views >= max)
    }
}

/// An entry of the audit trail: something that was done or attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    /// The e-mail address of the account that acted, or the name of another actor.
    pub actor: String,
    pub action: String,
    /// The id or name of the object.
    pub subject: String,
    /// The changes, by field.
    pub details: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_kept_in_lower_case() {
        assert_eq!(Email::parse("Ann@Example.ORG").map(|email| email.to_string()), Ok("ann@example.org".to_owned()));
        for bad in ["", "ann", "@b", "a@", "a b@c", "a@b@c", "a:b@c", "a@b\0", &format!("{}@b", "a".repeat(253))] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Who makes a request. Handlers pass a [`Caller`] on; `service/` decides what it may do.

use std::collections::BTreeSet;

use super::account::{Account, KeyId, Scope, SessionId};
pub use super::user_id::UserId;

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
    pub auth_method: AuthMethod,
    /// `None` for users of a gateway that have no account.
    pub account: Option<Account>,
}

/// How a caller was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// By the `X-User-Id` header, set by a trusted gateway.
    GatewayHeader,
    /// The service itself, processing a job of the user.
    Job,
    /// The service itself, for a visitor of a share of the user.
    Share,
    /// E-mail address and password.
    Password,
    /// An access token of this session.
    Token(SessionId),
    /// An API key and its scopes; `None` means everything that its account may do.
    ApiKey(KeyId, Option<BTreeSet<Scope>>),
}

impl Caller {
    pub fn authenticated_user(&self) -> Option<&User> {
        match self {
            Self::Anonymous | Self::Gateway => None,
            Self::User(user) => Some(user),
        }
    }

    pub fn user(&self) -> Option<&UserId> {
        self.authenticated_user().map(|user| &user.id)
    }
}

impl User {
    /// Returns the account if the caller authenticated with its credentials. A user named by a gateway did not.
    pub fn own_account(&self) -> Option<&Account> {
        match self.auth_method {
            AuthMethod::Password | AuthMethod::Token(_) | AuthMethod::ApiKey(..) => self.account.as_ref(),
            AuthMethod::GatewayHeader | AuthMethod::Job | AuthMethod::Share => None,
        }
    }

    /// Returns whether the caller's credentials permit `scope`.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.auth_method {
            AuthMethod::ApiKey(_, Some(scopes)) => scopes.contains(&scope),
            _ => true,
        }
    }

    /// Returns whether the caller's credentials permit less than its account may do.
    pub fn is_restricted(&self) -> bool {
        matches!(self.auth_method, AuthMethod::ApiKey(_, Some(_)))
    }
}

//! The callers in the tables' columns, and the credentials that their requests carry.

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::table::Column;
use crate::harness::{Login, PASSWORD, TestApp};

/// One credential of a request.
#[derive(Debug, Clone)]
enum Credential {
    /// `X-User-Id`.
    UserId(String),
    Token(String),
    Basic(String, String),
    /// A literal `Authorization` header.
    Authorization(String),
}

/// One combination of credentials for the caller of a column.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user that the caller would upload for.
    pub user: String,
    parts: Vec<Credential>,
}

impl Credentials {
    fn new(user: &str, parts: impl IntoIterator<Item = Credential>) -> Self {
        Self { user: user.to_owned(), parts: parts.into_iter().collect() }
    }

    pub fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        self.parts.iter().fold(request, |request, credential| match credential {
            Credential::UserId(user) => request.header("X-User-Id", user),
            Credential::Token(token) => request.bearer_auth(token),
            Credential::Basic(user, password) => request.basic_auth(user, Some(password)),
            Credential::Authorization(text) => request.header("Authorization", text),
        })
    }
}

impl std::fmt::Display for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.parts.iter().map(|credential| match credential {
            Credential::UserId(user) => format!("X-User-Id: {user}"),
            Credential::Token(_) => "a token".to_owned(),
            Credential::Basic(user, _) => format!("Basic {user}"),
            Credential::Authorization(text) => text.clone(),
        });
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

/// An account's API keys, by column name.
type Keys = [(&'static str, String); 4];

/// All callers.
pub struct Callers {
    pub owner: Login,
    pub admin: Login,
    /// An account that any caller may log in to or change.
    pub guest: Login,
    other: Login,
    disabled: Login,
    disabled_key: String,
    expired: String,
    owner_keys: Keys,
    admin_keys: Keys,
}

impl Callers {
    pub async fn new(app: &TestApp) -> Self {
        // The expired token is created in the past. The clock must then return to the machine's time, by which the
        // storage checks presigned URLs.
        app.clock.advance(TimeDelta::minutes(-16));
        let mut admin = app.admin().await;
        let mut owner = app.account(&admin, "owner", &json!({})).await;
        let mut other = app.account(&admin, "other", &json!({})).await;
        let guest = app.account(&admin, "guest", &json!({})).await;
        let mut disabled = app.account(&admin, "disabled", &json!({})).await;
        app.clock.advance(TimeDelta::minutes(16));
        let expired = owner.access.clone();
        for login in [&mut admin, &mut owner, &mut other, &mut disabled] {
            log_in_again(app, login).await;
        }
        let disabled_key = app.key(&disabled, &json!({})).await;
        let disable = json!({"disabled": true});
        app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", disabled.id), &disable).await.ok();
        let (owner_keys, admin_keys) = (keys(app, &owner).await, keys(app, &admin).await);
        Self { owner, admin, guest, other, disabled, disabled_key, expired, owner_keys, admin_keys }
    }

    /// Creates new sessions after the old ones were revoked.
    pub async fn log_in_again(&mut self, app: &TestApp) {
        for login in [&mut self.owner, &mut self.other, &mut self.admin] {
            log_in_again(app, login).await;
        }
    }

    /// The user of the disabled account.
    pub fn disabled_user(&self) -> &str {
        &self.disabled.user_id
    }

    pub fn credentials(&self, column: Column) -> Vec<Credentials> {
        use Credential::{Authorization, Basic, Token, UserId};
        let (owner, other) = (self.owner.user_id.as_str(), self.other.user_id.as_str());
        let (admin, disabled) = (self.admin.user_id.as_str(), self.disabled_user());
        let named = |user: &str| Credentials::new(user, [UserId(user.to_owned())]);
        let key = |key: &str| Basic("any".to_owned(), key.to_owned());
        let token = |login: &Login| Token(login.access.clone());
        match (column.group, column.name) {
            ("trusted", "-") => vec![Credentials::new("anyone", [])],
            ("trusted", "own") => vec![named(owner)],
            ("trusted", "oth") => vec![named(other), named("stranger")],
            ("trusted", "adm") => vec![named(admin)],
            ("trusted", "dis") => vec![named(disabled)],
            ("req", "any") => vec![Credentials::new("anyone", []), named(owner), named(other), named(admin), named(disabled)],
            ("owner", "own") => vec![
                Credentials::new(owner, [token(&self.owner)]),
                Credentials::new(owner, [Basic(self.owner.email.clone(), PASSWORD.to_owned())]),
            ],
            ("owner", name) => vec![Credentials::new(owner, [key(of(&self.owner_keys, name))])],
            // An authenticated caller cannot claim to be another user.
            ("oth", "oth") => {
                vec![
                    Credentials::new(other, [token(&self.other)]),
                    Credentials::new(other, [token(&self.other), UserId(owner.to_owned())]),
                ]
            }
            ("admin", "own") => vec![Credentials::new(admin, [token(&self.admin)])],
            ("admin", name) => vec![Credentials::new(admin, [key(of(&self.admin_keys, name))])],
            ("refused", "dis") => {
                vec![Credentials::new(disabled, [key(&self.disabled_key)]), Credentials::new(disabled, [token(&self.disabled)])]
            }
            ("refused", "exp") => vec![Credentials::new(owner, [Token(self.expired.clone())])],
            // Wrong credentials are never treated as weaker or missing ones.
            ("refused", "bad") => vec![
                Credentials::new(owner, [Token("nonsense".to_owned())]),
                Credentials::new(owner, [Token("nonsense".to_owned()), UserId(owner.to_owned())]),
                Credentials::new(owner, [key(&altered(of(&self.owner_keys, "key")))]),
                Credentials::new(owner, [Authorization("Digest username=\"owner\"".to_owned())]),
            ],
            _ => panic!("no caller is defined for {column:?}"),
        }
    }
}

async fn log_in_again(app: &TestApp, login: &mut Login) {
    let tokens = app.post_json("/token", &json!({"email": login.email, "password": PASSWORD})).await;
    assert_eq!(tokens.status, 201, "{}", tokens.text());
    login.access = tokens.json()["access"].as_str().expect("a token").to_owned();
}

async fn keys(app: &TestApp, login: &Login) -> Keys {
    let mut keys = [("key", Value::Null), ("rd", json!(["read"])), ("up", json!(["upload"])), ("ad", json!(["admin"]))]
        .map(|(name, scopes)| (name, scopes, String::new()));
    for (_, scopes, key) in &mut keys {
        *key = app.key(login, &json!({"scopes": scopes})).await;
    }
    keys.map(|(name, _, key)| (name, key))
}

fn of<'a>(keys: &'a Keys, column: &str) -> &'a str {
    keys.iter().find(|(name, _)| *name == column).map(|(_, key)| key.as_str()).expect("a key")
}

/// A key with the id of an existing key and a wrong secret.
fn altered(key: &str) -> String {
    // The last character of the secret contains unused bits, so an earlier one is changed.
    let (kept, last) = key.split_at(key.len() - 5);
    let other = if last.starts_with('A') { 'B' } else { 'A' };
    format!("{kept}{other}{}", &last[1..])
}

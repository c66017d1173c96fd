//! Who asks: credentials become a [`Caller`], or a refusal. What is there but wrong is refused, and never read as something
//! weaker.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;

use super::login_throttle::LoginGuard;
use super::password_cache::Verified;
use super::passwords::Passwords;
use super::rate_limits::RateClass;
use super::secrets;
pub use super::secrets::API_KEY_PREFIX;
use super::tokens::SigningKeys;
use crate::model::account::{Account, Email, KeyId};
use crate::model::caller::{AuthMethod, Caller, User, UserId};
use crate::model::clock::Clock;
use crate::service::error::{Error, chain};
use crate::service::{Limits, Service};
use crate::store;

/// What a request brings.
#[derive(Clone)]
pub enum Credentials {
    None,
    /// `X-User-Id`.
    Gateway(UserId),
    /// An access token, or an API key.
    Bearer(String),
    /// `X-API-Key`.
    ApiKey(String),
    Basic {
        user: String,
        password: String,
    },
    /// An `Authorization` of another kind, or one that cannot be read.
    Unreadable,
}

/// What checking credentials needs.
#[derive(Debug)]
pub(in crate::service) struct Auth {
    pub passwords: Passwords,
    pub logins: LoginGuard,
    pub verified: Verified,
    pub keys: SigningKeys,
    /// API keys whose use is being noted.
    touching: Mutex<HashSet<KeyId>>,
}

/// That a key was used is noted once in so long, for reading is not to write.
const TOUCHED: TimeDelta = TimeDelta::minutes(1);

/// Bytes of a password that is looked at; a longer one is nobody's.
const MAX_PASSWORD_BYTES: usize = 1024;

impl Auth {
    pub fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            passwords: Passwords::new(limits.admission_wait),
            logins: LoginGuard::new(Arc::clone(clock)),
            verified: Verified::default(),
            keys: SigningKeys::new(&limits.jwt_secrets),
            touching: Mutex::default(),
        }
    }
}

impl Service {
    /// Finds out who asks. `address` is what attempts at passwords are counted by, beside the account.
    ///
    /// # Errors
    /// The credentials are wrong or no longer good, the account is disabled, or there were too many attempts.
    pub async fn authenticate(self: &Arc<Self>, credentials: Credentials, address: Option<IpAddr>) -> Result<Caller, Error> {
        match credentials {
            Credentials::None => Ok(Caller::Anonymous),
            Credentials::Gateway(id) => self.authenticate_gateway(id).await,
            Credentials::Bearer(key) if key.starts_with(API_KEY_PREFIX) => self.authenticate_key(&key).await,
            Credentials::ApiKey(key) => self.authenticate_key(&key).await,
            Credentials::Bearer(token) => {
                let (session, account) = self.read_access_token(&token).await?;
                Ok(caller(account, AuthMethod::Token(session)))
            }
            Credentials::Basic { password, .. } if password.starts_with(API_KEY_PREFIX) => self.authenticate_key(&password).await,
            // `curl -u KEY:`. An e-mail address may begin like a key, but comes with a password.
            Credentials::Basic { user, password } if password.is_empty() && user.starts_with(API_KEY_PREFIX) => {
                self.authenticate_key(&user).await
            }
            Credentials::Basic { user, password } => {
                let account = self.check_password(&user, &password, address, Charge::Now).await?;
                Ok(caller(account, AuthMethod::Password))
            }
            Credentials::Unreadable => Err(Error::BadCredentials(
                "Authorization must be Bearer with an access token or an API key, or Basic, and X-API-Key an API key",
            )),
        }
    }

    /// `X-User-Id`, where a gateway vouches for it. It makes nobody an administrator.
    async fn authenticate_gateway(&self, id: UserId) -> Result<Caller, Error> {
        let account = store::identity::accounts::find_by_user(&self.db, &id).await?;
        if account.as_ref().is_some_and(|account| account.disabled_at.is_some()) {
            return Err(Error::forbidden("This account is disabled."));
        }
        Ok(Caller::User(Box::new(User { id, auth_method: AuthMethod::GatewayHeader, account })))
    }

    async fn authenticate_key(self: &Arc<Self>, text: &str) -> Result<Caller, Error> {
        const WRONG: Error = Error::BadCredentials("there is no such API key");
        let (id, hash) = secrets::parse(API_KEY_PREFIX, text).ok_or(WRONG)?;
        let id = KeyId::from(id);
        let mut reader = self.db.reader().await?;
        let (key, kept) = store::identity::api_keys::find_with_hash(&mut reader, id).await?.ok_or(WRONG)?;
        if !secrets::is_same(&hash, &kept) {
            return Err(WRONG);
        }
        let account = store::identity::accounts::find(&mut reader, key.account_id).await?.ok_or(WRONG)?;
        drop(reader);
        require_enabled(&account)?;
        let now = self.clock.now();
        if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Error::BadCredentials("the API key has expired"));
        }
        if key.last_used_at.is_none_or(|used| now - used >= TOUCHED) {
            // Nobody waits for it, and of many at once one does.
            if self.auth.touching.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                let service = Arc::clone(self);
                self.tasks.spawn(async move { service.touch_key(id).await });
            }
        }
        Ok(caller(account, AuthMethod::ApiKey(id, key.scopes)))
    }

    /// Using a key succeeds even if this does not.
    async fn touch_key(&self, id: KeyId) {
        let touched = async {
            let mut tx = self.db.begin().await?;
            let now = self.clock.now();
            store::identity::api_keys::touch(&mut tx, id, now - TOUCHED, now).await?;
            tx.commit().await
        };
        if let Err(error) = touched.await {
            tracing::warn!(key_id = %id, "an API key's use was not noted: {}", chain(&error));
        }
        self.auth.touching.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The account of this e-mail address and password. Takes as long for an address that is nobody's, and counts as an
    /// attempt for either.
    pub(in crate::service) async fn check_password(
        &self,
        email: &str,
        password: &str,
        address: Option<IpAddr>,
        charge: Charge,
    ) -> Result<Account, Error> {
        let email = Email::parse(email).map_err(|_| WRONG)?;
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(WRONG);
        }
        let found = store::identity::accounts::find_with_hash(&self.db, &email).await?;
        let tag = match &found {
            Some((account, hash)) => Some(self.auth.verified.tag(account.id, hash, password, address)?),
            None => None,
        };
        let is_known = || tag.is_some_and(|tag| self.auth.verified.is_known(&tag, self.clock.now()));
        // Who guesses from here is told nothing while there is to wait, not even by the right one.
        let wait = self.auth.logins.wait(email.as_str(), address);
        if !wait.is_zero() {
            return Err(Error::too_many_requests(wait));
        }
        if is_known() {
            return enabled(found);
        }
        if let (Charge::Now, Some(address)) = (charge, address)
            && let Err(exceeded) = self.rates.check_address(RateClass::Login, address)
        {
            return Err(Error::too_many_requests(exceeded.retry_after));
        }
        // An attempt begins with its turn, so that those who send many requests at once do not run into their own.
        let turn = self.auth.passwords.turn().await?;
        if !is_known() {
            let attempt = self.auth.logins.begin(email.as_str(), address).map_err(Error::too_many_requests)?;
            let hash = found.as_ref().map(|(_, hash)| hash.clone());
            let fits = turn.verify(password, hash).await;
            if matches!(fits, Ok(false)) {
                if attempt.is_slowed_down() {
                    self.note_failed_login(found.map(|(account, _)| account.id), address).await;
                }
                return Err(WRONG);
            }
            // What the service could not find out is no failure of the client's.
            attempt.succeeded();
            fits?;
        }
        let account = enabled(found)?;
        if let Some(tag) = tag {
            self.auth.verified.remember(tag, self.clock.now());
        }
        Ok(account)
    }
}

/// Whether the rate of logins is still to be charged for a password that has to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Charge {
    Now,
    /// The request as a whole was.
    Done,
}

const WRONG: Error = Error::BadCredentials("no active account has this e-mail address and password");

fn enabled(found: Option<(Account, String)>) -> Result<Account, Error> {
    let account = found.map(|(account, _)| account).ok_or(WRONG)?;
    if account.disabled_at.is_some() { Err(WRONG) } else { Ok(account) }
}

/// For metrics.
pub fn proof_name(caller: &Caller) -> &'static str {
    match caller.authenticated_user().map(|user| &user.auth_method) {
        None => "none",
        Some(AuthMethod::GatewayHeader) => "gateway",
        Some(AuthMethod::Password) => "password",
        Some(AuthMethod::Token(_)) => "token",
        Some(AuthMethod::ApiKey(..)) => "api_key",
        Some(AuthMethod::Job) => "job",
    }
}

fn caller(account: Account, auth_method: AuthMethod) -> Caller {
    Caller::User(Box::new(User { id: account.user_id.clone(), auth_method, account: Some(account) }))
}

pub(in crate::service) fn require_enabled(account: &Account) -> Result<(), Error> {
    match account.disabled_at {
        None => Ok(()),
        Some(_) => Err(Error::BadCredentials("the account is disabled")),
    }
}

//! Authentication: turns credentials into a [`Caller`]. Invalid credentials are refused; the request never continues with weaker
//! ones or as anonymous.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;

use super::login_throttle::LoginThrottle;
use super::password_cache::PasswordCache;
use super::passwords::Passwords;
use super::permissions::require_enabled;
use super::rate_limits::{LoginCharge, RateClass};
use super::secrets;
pub use super::secrets::API_KEY_PREFIX;
use super::tokens::SigningKeys;
use crate::model::account::{Account, Email, KeyId};
use crate::model::caller::{AuthMethod, Caller, User, UserId};
use crate::model::clock::Clock;
use crate::service::error::{Error, chain};
use crate::service::{Limits, Service};
use crate::store;

/// The credentials of a request.
#[derive(Clone)]
pub enum Credentials {
    None,
    /// The `X-User-Id` header.
    Gateway(UserId),
    /// An access token or an API key.
    Bearer(String),
    /// The `X-API-Key` header.
    ApiKey(String),
    Basic {
        user: String,
        password: String,
    },
    /// An `Authorization` header with another scheme, or one that cannot be parsed.
    Unreadable,
}

/// The state for checking credentials.
#[derive(Debug)]
pub(in crate::service) struct Auth {
    pub passwords: Passwords,
    pub logins: LoginThrottle,
    pub password_cache: PasswordCache,
    pub keys: SigningKeys,
    /// API keys whose use is being recorded.
    keys_being_touched: Mutex<HashSet<KeyId>>,
}

/// Use of a key is recorded once per interval, so that most reads do not write.
const TOUCH_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// Longer passwords are refused unchecked, because no account can have one.
const MAX_PASSWORD_BYTES: usize = 1024;

impl Auth {
    pub fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            passwords: Passwords::new(limits.admission_wait),
            logins: LoginThrottle::new(Arc::clone(clock)),
            password_cache: PasswordCache::default(),
            keys: SigningKeys::new(&limits.jwt_secrets),
            keys_being_touched: Mutex::default(),
        }
    }
}

impl Service {
    /// Authenticates a request. Password attempts are counted by `address` and by account.
    ///
    /// # Errors
    /// The credentials are wrong or no longer valid, the account is disabled, or there were too many attempts.
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
            // `curl -u KEY:`. An e-mail address may start like a key, but comes with a password.
            Credentials::Basic { user, password } if password.is_empty() && user.starts_with(API_KEY_PREFIX) => {
                self.authenticate_key(&user).await
            }
            Credentials::Basic { user, password } => {
                let account = self.check_password(&user, &password, address, LoginCharge::Now).await?;
                Ok(caller(account, AuthMethod::Password))
            }
            Credentials::Unreadable => Err(Error::BadCredentials(
                "Authorization must be Bearer with an access token or an API key, or Basic; X-API-Key must be an API key",
            )),
        }
    }

    /// Authenticates the `X-User-Id` header of a trusted gateway. It never grants administrator permissions.
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
        let (key, stored_hash) = store::identity::api_keys::find_with_hash(&mut reader, id).await?.ok_or(WRONG)?;
        if !secrets::hashes_match(&hash, &stored_hash) {
            return Err(WRONG);
        }
        let account = store::identity::accounts::find(&mut reader, key.account_id).await?.ok_or(WRONG)?;
        drop(reader);
        require_enabled(&account)?;
        let now = self.clock.now();
        if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Error::BadCredentials("the API key has expired"));
        }
        if key.last_used_at.is_none_or(|used| now - used >= TOUCH_INTERVAL) {
            // In the background, so that requests do not wait. Of concurrent uses only one is recorded.
            if self.auth.keys_being_touched.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                let service = Arc::clone(self);
                self.tasks.spawn(async move { service.touch_key(id).await });
            }
        }
        Ok(caller(account, AuthMethod::ApiKey(id, key.scopes)))
    }

    /// Records the use of a key. Failing to do so does not fail the request.
    async fn touch_key(&self, id: KeyId) {
        let touched = async {
            let mut tx = self.db.begin().await?;
            let now = self.clock.now();
            store::identity::api_keys::touch(&mut tx, id, now - TOUCH_INTERVAL, now).await?;
            tx.commit().await
        };
        if let Err(error) = touched.await {
            tracing::warn!(key_id = %id, "failed to record the use of an API key: {}", chain(&error));
        }
        self.auth.keys_being_touched.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Finds the account with this e-mail address and password. Takes the same time, and counts as an attempt, whether or not the
    /// account exists.
    pub(in crate::service) async fn check_password(
        &self,
        email: &str,
        password: &str,
        address: Option<IpAddr>,
        charge: LoginCharge,
    ) -> Result<Account, Error> {
        let email = Email::parse(email).map_err(|_| WRONG)?;
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(WRONG);
        }
        let found = store::identity::accounts::find_with_hash(&self.db, &email).await?;
        let cache_key = match &found {
            Some((account, hash)) => Some(self.auth.password_cache.key_of(account.id, hash, password, address)?),
            None => None,
        };
        let is_cached = || cache_key.is_some_and(|cache_key| self.auth.password_cache.contains(&cache_key, self.clock.now()));
        // While an address must wait it gets no answer, not even for the correct password.
        let wait = self.auth.logins.wait(email.as_str(), address);
        if !wait.is_zero() {
            return Err(Error::too_many_requests(wait));
        }
        if is_cached() {
            return enabled(found);
        }
        if let (LoginCharge::Now, Some(address)) = (charge, address)
            && let Err(exceeded) = self.rate_limiters.check_address(RateClass::Login, address)
        {
            return Err(Error::too_many_requests(exceeded.retry_after));
        }
        // An attempt counts from its slot on, so that a client's concurrent requests do not throttle each other.
        let slot = self.auth.passwords.slot().await?;
        if !is_cached() {
            let attempt = self.auth.logins.begin(email.as_str(), address).map_err(Error::too_many_requests)?;
            let hash = found.as_ref().map(|(_, hash)| hash.clone());
            let fits = slot.verify(password, hash).await;
            if matches!(fits, Ok(false)) {
                if attempt.is_slowed_down() {
                    self.audit_failed_login(found.map(|(account, _)| account.id), address).await;
                }
                return Err(WRONG);
            }
            // A failure of the service is not a failed attempt.
            attempt.succeeded();
            fits?;
        }
        let account = enabled(found)?;
        if let Some(cache_key) = cache_key {
            self.auth.password_cache.insert(cache_key, self.clock.now());
        }
        Ok(account)
    }
}

const WRONG: Error = Error::BadCredentials("no active account has this e-mail address and password");

fn enabled(found: Option<(Account, String)>) -> Result<Account, Error> {
    let account = found.map(|(account, _)| account).ok_or(WRONG)?;
    if account.disabled_at.is_some() { Err(WRONG) } else { Ok(account) }
}

/// Returns the name for metrics.
pub fn proof_name(caller: &Caller) -> &'static str {
    match caller.authenticated_user().map(|user| &user.auth_method) {
        None => "none",
        Some(AuthMethod::GatewayHeader) => "gateway",
        Some(AuthMethod::Password) => "password",
        Some(AuthMethod::Token(_)) => "token",
        Some(AuthMethod::ApiKey(..)) => "api_key",
        Some(AuthMethod::Job) => "job",
        Some(AuthMethod::Share) => "share",
    }
}

fn caller(account: Account, auth_method: AuthMethod) -> Caller {
    Caller::User(Box::new(User { id: account.user_id.clone(), auth_method, account: Some(account) }))
}

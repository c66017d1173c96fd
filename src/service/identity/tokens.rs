//! Access and refresh tokens. An access token is a JWT that is valid for 15 minutes. A refresh token can be exchanged for the
//! next pair once. If it is used a second time one of its two users is a thief, so its session ends. Within a few seconds,
//! however, a repetition is considered a lost response or a second browser tab, and gets the same response again.
//!
//! Access tokens are signed with HS256 only. Each names its session, which is looked up for every request. So ending a session,
//! by disabling the account or changing the password, revokes its tokens immediately.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::audit;
use super::permissions::require_enabled;
use super::rate_limits::LoginCharge;
use super::secrets;
use super::secrets::{Hash, REFRESH_PREFIX, Secret};
use crate::model::account::{Account, AccountId, SessionId};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::time::after;
use crate::service::time::truncate_to_micros;
use crate::store;
use crate::store::identity::sessions::{Rotation, Session, SigningKey};

/// The tokens of a login.
#[derive(Clone)]
pub struct TokenPair {
    /// A JWT (RFC 7519).
    pub access: String,
    /// An opaque token for one use.
    pub refresh: String,
}

/// The lifetime of an access token.
pub const ACCESS_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// The lifetime of a refresh token.
pub const REFRESH_TOKEN_LIFETIME: TimeDelta = TimeDelta::days(30);

/// The maximum clock difference between two instances.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// For this time after its exchange a refresh token gets the same response again. A thief within this time gets the same
/// successor as the owner, and is detected when both use it.
pub const REFRESH_GRACE: TimeDelta = TimeDelta::seconds(10);

/// A database key signs for this time, and verifies for the same time after that.
const SIGNING_KEY_LIFETIME: TimeDelta = TimeDelta::days(30);

/// Database keys are reloaded at most once per interval, even if clients send tokens with made-up key ids.
const KEY_RELOAD_INTERVAL: Duration = Duration::from_millis(100);

/// The maximum number of sessions per account. A further login ends the oldest.
const MAX_SESSIONS: u32 = 100;

const ISSUER: &str = "image-service";
const AUDIENCE: &str = "image-service";

/// The claims of an access token (RFC 7519, 4.1); `sid` is the session.
#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    /// Seconds since the Unix epoch.
    iat: i64,
    exp: i64,
}

/// The keys that sign access tokens.
#[derive(Debug)]
pub(in crate::service) struct SigningKeys {
    /// The keys from the configuration.
    configured: Vec<Key>,
    /// The keys from the database, newest first, and when they were loaded.
    stored: Mutex<(Vec<Key>, Option<Instant>)>,
    /// Held while reloading keys that other instances may have created.
    reload_lock: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
pub(in crate::service) struct Key {
    /// The key id: a hash of the key.
    kid: String,
    pub secret: Vec<u8>,
    generation: i64,
    created_at: DateTime<Utc>,
}

impl Key {
    fn new(secret: Vec<u8>, generation: i64, created_at: DateTime<Utc>) -> Self {
        let digest = Sha256::new().chain_update(b"kid").chain_update(&secret).finalize();
        Self { kid: hex::encode(&digest[..8]), secret, generation, created_at }
    }
}

impl SigningKeys {
    pub fn new(configured: &[String]) -> Self {
        let key = |secret: &String| Key::new(secret.clone().into_bytes(), 0, DateTime::UNIX_EPOCH);
        Self {
            configured: configured.iter().map(key).collect(),
            stored: Mutex::default(),
            reload_lock: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> Vec<Key> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn keep(&self, keys: Vec<SigningKey>) {
        let keys = keys.into_iter().map(|key| Key::new(key.secret, key.generation, key.created_at)).collect();
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = (keys, Some(Instant::now()));
    }

    /// Returns whether the database may have newer keys.
    fn is_stale(&self) -> bool {
        let looked_up = self.stored.lock().unwrap_or_else(PoisonError::into_inner).1;
        self.configured.is_empty() && looked_up.is_none_or(|at| at.elapsed() >= KEY_RELOAD_INTERVAL)
    }
}

/// Returns the current refresh token again, for its predecessor that was exchanged a moment ago.
fn repeat_rotation(session: &Session, refresh: &str, hash: &Hash, now: DateTime<Utc>) -> Result<Option<Secret>, Error> {
    let just_now =
        |rotation: &&Rotation| now - rotation.at <= REFRESH_GRACE && secrets::hashes_match(hash, &rotation.previous_hash);
    let Some(rotation) = session.rotation.as_ref().filter(just_now) else { return Ok(None) };
    let secret = Secret::derive_next(refresh, &rotation.salt)?;
    // An instance of an older version may have exchanged the current token since.
    Ok(secrets::hashes_match(&secret.hash, &session.refresh_hash).then_some(secret))
}

/// Returns the random id by which a refresh token finds its session. It cannot be guessed.
fn random_id() -> Result<Uuid, Error> {
    Ok(uuid::Builder::from_random_bytes(secrets::random_bytes()?).into_uuid())
}

impl Service {
    /// Logs in.
    ///
    /// # Errors
    /// No active account has this e-mail address and password, or there were too many attempts.
    pub async fn log_in(&self, email: &str, password: &str, address: Option<IpAddr>) -> Result<TokenPair, Error> {
        let account = self.check_password(email, password, address, LoginCharge::Done).await?;
        let (id, secret, refresh_id) = (SessionId::new(&*self.clock), Secret::new()?, random_id()?);
        let access = self.access_token(&self.signing_key().await?, account.id, id)?;
        let mut tx = self.db.begin().await?;
        // The account may have been disabled, or its password changed, since the check.
        let now = store::identity::accounts::lock(&mut tx, account.id).await?.filter(|now| now.updated_at == account.updated_at);
        require_enabled(&now.ok_or(Error::BadCredentials("the account was changed at the same time"))?)?;
        store::identity::sessions::delete_of(&mut tx, account.id, MAX_SESSIONS - 1).await?;
        let expires_at = self.session_expiry(id, self.clock.now());
        store::identity::sessions::insert(&mut tx, id, account.id, (refresh_id, &secret.hash), expires_at).await?;
        tx.commit().await?;
        Ok(TokenPair { access, refresh: secret.with_id(REFRESH_PREFIX, refresh_id) })
    }

    /// Exchanges a refresh token for a new pair.
    ///
    /// # Errors
    /// The token is unknown or has expired. If it was exchanged before, other than just now, its session ends.
    pub async fn refresh_tokens(&self, refresh: &str) -> Result<TokenPair, Error> {
        const WRONG: Error = Error::BadCredentials("the refresh token is invalid or has expired");
        let (refresh_id, hash) = secrets::parse(REFRESH_PREFIX, refresh).ok_or(WRONG)?;
        // Prepared before the exchange, so that a failure here leaves the token valid.
        let (key, salt, now) = (self.signing_key().await?, secrets::random_bytes::<32>()?, truncate_to_micros(self.clock.now()));
        let mut tx = self.db.begin().await?;
        let session = store::identity::sessions::lock(&mut tx, refresh_id).await?.ok_or(WRONG)?;
        let account = store::identity::accounts::find(&mut tx, session.account_id).await?.ok_or(WRONG)?;
        if session.expires_at <= now || require_enabled(&account).is_err() {
            return Err(WRONG);
        }
        let secret = if secrets::hashes_match(&hash, &session.refresh_hash) {
            let secret = Secret::derive_next(refresh, &salt)?;
            let rotation = Rotation { previous_hash: hash.to_vec(), salt: salt.to_vec(), at: now };
            store::identity::sessions::rotate(&mut tx, session.id, &secret.hash, &rotation, self.session_expiry(session.id, now))
                .await?;
            secret
        } else if let Some(secret) = repeat_rotation(&session, refresh, &hash, now)? {
            secret
        } else {
            store::identity::sessions::delete(&mut tx, session.id).await?;
            let details = [("session_id".to_owned(), session.id.to_string())].into();
            audit::record(&mut tx, &*self.clock, audit::UNKNOWN_ACTOR, "session.token_reused", session.account_id, details)
                .await?;
            tx.commit().await?;
            tracing::warn!(
                account_id = %session.account_id,
                session_id = %session.id,
                "a refresh token was used twice, so its session was ended"
            );
            return Err(WRONG);
        };
        let access = self.access_token(&key, session.account_id, session.id)?;
        tx.commit().await?;
        Ok(TokenPair { access, refresh: secret.with_id(REFRESH_PREFIX, refresh_id) })
    }

    /// Logs out: ends the session of a refresh token, or of the one before it, which a renewal at the same time may have replaced.
    /// Does nothing if there is no such session.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn log_out(&self, refresh: &str) -> Result<(), Error> {
        let Some((refresh_id, hash)) = secrets::parse(REFRESH_PREFIX, refresh) else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        let Some(session) = store::identity::sessions::lock(&mut tx, refresh_id).await? else { return Ok(()) };
        let is_previous = session.rotation.as_ref().is_some_and(|rotation| secrets::hashes_match(&hash, &rotation.previous_hash));
        if !is_previous && !secrets::hashes_match(&hash, &session.refresh_hash) {
            return Ok(());
        }
        store::identity::sessions::delete(&mut tx, session.id).await?;
        if let Some(account) = store::identity::accounts::find(&mut tx, session.account_id).await? {
            let details = [("session_id".to_owned(), session.id.to_string())].into();
            self.audit(&mut tx, &account, "session.ended", account.id, details).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Returns when a session expires that is used now and never again.
    fn session_expiry(&self, id: SessionId, now: DateTime<Utc>) -> DateTime<Utc> {
        after(id.created_at(), self.limits.session_max_age).min(now + REFRESH_TOKEN_LIFETIME)
    }

    /// Returns the session of an access token, and its account.
    pub(in crate::service) async fn read_access_token(&self, token: &str) -> Result<(SessionId, Account), Error> {
        const WRONG: Error = Error::BadCredentials("the access token was not issued by this service");
        let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).ok_or(WRONG)?;
        let key = self.key_of(&kid).await?.ok_or(WRONG)?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, with the service's own clock.
        rules.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &rules);
        let claims = decoded.map_err(|_| WRONG)?.claims;
        let now = self.clock.now();
        // The service issues no token with a longer lifetime, so a longer one was forged with a leaked key.
        let longest = ACCESS_TOKEN_LIFETIME + CLOCK_SKEW;
        if claims.exp.saturating_sub(claims.iat.min(now.timestamp())) > longest.num_seconds() {
            return Err(WRONG);
        }
        if claims.exp <= now.timestamp() {
            return Err(Error::BadCredentials("the access token has expired"));
        }
        let session = SessionId::parse(&claims.sid).ok_or(WRONG)?;
        let account = store::identity::sessions::account_of(&self.db, session, now).await?;
        let account = account.filter(|account| account.id.to_string() == claims.sub);
        let account = account.ok_or(Error::BadCredentials("the session of the access token has ended"))?;
        require_enabled(&account)?;
        Ok((session, account))
    }

    fn access_token(&self, key: &Key, account: AccountId, session: SessionId) -> Result<String, Error> {
        let now = self.clock.now();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.kid.clone());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: account.to_string(),
            sid: session.to_string(),
            iat: now.timestamp(),
            exp: (now + ACCESS_TOKEN_LIFETIME).timestamp(),
        };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret)).map_err(Error::internal)
    }

    /// Finds a key by its id. Another instance may have created it just now.
    async fn key_of(&self, kid: &str) -> Result<Option<Key>, Error> {
        self.find_in_signing_keys(|key| (key.kid == kid).then(|| key.clone())).await
    }

    /// Searches the signing keys. Another instance may have created one just now.
    pub(in crate::service) async fn find_in_signing_keys<T>(
        &self,
        find: impl Fn(&Key) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error>
    where
        T: Send,
    {
        let find = |keys: Vec<Key>| keys.iter().find_map(&find);
        // A new key may exist since the last reload. Many waiting requests share the next one.
        for _ in 0..2 {
            let known = find(self.auth.keys.known());
            if known.is_some() || !self.auth.keys.configured.is_empty() {
                return Ok(known);
            }
            if self.auth.keys.is_stale() {
                break;
            }
            tokio::time::sleep(KEY_RELOAD_INTERVAL).await;
        }
        let _one_at_a_time = self.auth.keys.reload_lock.lock().await;
        if self.auth.keys.is_stale() {
            self.reload_keys().await?;
        }
        Ok(find(self.auth.keys.known()))
    }

    /// Returns the key for signing: the first configured one, or the newest in the database, which is replaced in time.
    pub(in crate::service) async fn signing_key(&self) -> Result<Key, Error> {
        if let Some(key) = self.auth.keys.configured.first() {
            return Ok(key.clone());
        }
        let now = self.clock.now();
        let fresh = |keys: Vec<Key>| keys.into_iter().next().filter(|key| now - key.created_at < SIGNING_KEY_LIFETIME);
        if let Some(key) = fresh(self.auth.keys.known()) {
            return Ok(key);
        }
        self.reload_keys().await?;
        if let Some(key) = fresh(self.auth.keys.known()) {
            return Ok(key);
        }
        let generation = self.auth.keys.known().first().map_or(1, |key| key.generation + 1);
        let mut tx = self.db.begin().await?;
        let key = SigningKey { generation, secret: secrets::random_bytes::<32>()?.to_vec(), created_at: now };
        store::identity::sessions::add_signing_key(&mut tx, &key).await?;
        tx.commit().await?;
        // Another instance may have created one first.
        self.reload_keys().await?;
        fresh(self.auth.keys.known()).ok_or_else(|| Error::internal("the signing key that was just created is missing"))
    }

    async fn reload_keys(&self) -> Result<(), Error> {
        let keys = store::identity::sessions::signing_keys(&self.db, 2).await?;
        self.auth.keys.keep(keys);
        Ok(())
    }
}

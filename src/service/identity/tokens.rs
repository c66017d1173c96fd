//! Tokens: an access token is a JWT that is good for a quarter of an hour; a refresh token brings the next pair, once. A refresh
//! token that comes a second time was stolen, by whoever came first or by whoever comes now: it ends its session. Only within
//! seconds it is somebody whose answer was lost, or who has two tabs open: the answer is given again.
//!
//! Access tokens are signed with HS256 and nothing else. Each names its session, which is looked up at every request, so that
//! ending a session (by disabling the account, by a new password) ends its tokens at once.

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

/// What a login gives.
#[derive(Clone)]
pub struct TokenPair {
    /// A JWT (RFC 7519).
    pub access: String,
    /// Opaque; good once.
    pub refresh: String,
}

/// The life of an access token.
pub const ACCESS_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// The life of a refresh token.
pub const REFRESH_TOKEN_LIFETIME: TimeDelta = TimeDelta::days(30);

/// By how much the clocks of two instances may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// For so long after its exchange a refresh token is answered again, with the same next one. A thief who comes within these
/// seconds has the same next one as its owner, and is found out when both have gone on with it.
pub const REFRESH_GRACE: TimeDelta = TimeDelta::seconds(10);

/// A key of the database's signs for so long, and is read for as long again.
const SIGNING_KEY_LIFETIME: TimeDelta = TimeDelta::days(30);

/// Keys of the database are not looked for more often, whoever makes tokens up.
const KEY_RELOAD_INTERVAL: Duration = Duration::from_millis(100);

/// Sessions that an account may have; beyond them the oldest ends.
const MAX_SESSIONS: u32 = 100;

const ISSUER: &str = "image-service";
const AUDIENCE: &str = "image-service";

/// RFC 7519, 4.1; `sid` is the session.
#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
}

/// What access tokens are signed with.
#[derive(Debug)]
pub(in crate::service) struct SigningKeys {
    /// Those that the operator has set.
    configured: Vec<Key>,
    /// Those that the database keeps, newest first, and when they were looked for.
    stored: Mutex<(Vec<Key>, Option<Instant>)>,
    /// Held by who looks for keys that others may have made.
    reload_lock: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
pub(in crate::service) struct Key {
    /// The key's id: a hash of it.
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

    /// Whether looking for keys in the database may show others than those that are known.
    fn is_stale(&self) -> bool {
        let looked_up = self.stored.lock().unwrap_or_else(PoisonError::into_inner).1;
        self.configured.is_empty() && looked_up.is_none_or(|at| at.elapsed() >= KEY_RELOAD_INTERVAL)
    }
}

/// The newest refresh token once more, for the one that it was given for a moment ago.
fn repeat_rotation(session: &Session, refresh: &str, hash: &Hash, now: DateTime<Utc>) -> Result<Option<Secret>, Error> {
    let just_now =
        |rotation: &&Rotation| now - rotation.at <= REFRESH_GRACE && secrets::hashes_match(hash, &rotation.previous_hash);
    let Some(rotation) = session.rotation.as_ref().filter(just_now) else { return Ok(None) };
    let secret = Secret::derive_next(refresh, &rotation.salt)?;
    // An instance of an older version may have exchanged the newest one since.
    Ok(secrets::hashes_match(&secret.hash, &session.refresh_hash).then_some(secret))
}

/// What refresh tokens find their session by; nobody guesses it.
fn random_id() -> Result<Uuid, Error> {
    let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = secrets::random_bytes()?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
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
        // The account may have been disabled meanwhile, or have another password.
        let now = store::identity::accounts::lock(&mut tx, account.id).await?.filter(|now| now.updated_at == account.updated_at);
        require_enabled(&now.ok_or(Error::BadCredentials("the account has just been changed"))?)?;
        store::identity::sessions::delete_of(&mut tx, account.id, MAX_SESSIONS - 1).await?;
        let expires_at = self.session_expiry(id, self.clock.now());
        store::identity::sessions::insert(&mut tx, id, account.id, (refresh_id, &secret.hash), expires_at).await?;
        tx.commit().await?;
        Ok(TokenPair { access, refresh: secret.with_id(REFRESH_PREFIX, refresh_id) })
    }

    /// Gives a new pair for a refresh token, which is spent by that.
    ///
    /// # Errors
    /// The token is not ours, has expired, or was spent before, and not just now; then its session ends.
    pub async fn refresh_tokens(&self, refresh: &str) -> Result<TokenPair, Error> {
        const WRONG: Error = Error::BadCredentials("the refresh token is not good, or not any more");
        let (refresh_id, hash) = secrets::parse(REFRESH_PREFIX, refresh).ok_or(WRONG)?;
        // Before the token is spent: what fails now costs nothing.
        let (key, salt, now) = (self.signing_key().await?, secrets::random_bytes()?, truncate_to_micros(self.clock.now()));
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
            tracing::warn!(account_id = %session.account_id, session_id = %session.id, "a refresh token came a second time: its session was ended");
            return Err(WRONG);
        };
        let access = self.access_token(&key, session.account_id, session.id)?;
        tx.commit().await?;
        Ok(TokenPair { access, refresh: secret.with_id(REFRESH_PREFIX, refresh_id) })
    }

    /// When a session ends that is used at this moment and never again.
    fn session_expiry(&self, id: SessionId, now: DateTime<Utc>) -> DateTime<Utc> {
        after(id.created_at(), self.limits.session_max_age).min(now + REFRESH_TOKEN_LIFETIME)
    }

    /// The session that an access token is of, and its account.
    pub(in crate::service) async fn read_access_token(&self, token: &str) -> Result<(SessionId, Account), Error> {
        const WRONG: Error = Error::BadCredentials("the access token is not one of this service");
        let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).ok_or(WRONG)?;
        let key = self.key_of(&kid).await?.ok_or(WRONG)?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our own clock, below.
        rules.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &rules);
        let claims = decoded.map_err(|_| WRONG)?.claims;
        let now = self.clock.now();
        // This service issues none that live longer, whoever has the key.
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
        let account = account.ok_or(Error::BadCredentials("the session that the access token is of has ended"))?;
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

    /// The key with this id, which another instance may have made just now.
    async fn key_of(&self, kid: &str) -> Result<Option<Key>, Error> {
        self.find_in_signing_keys(|key| (key.kid == kid).then(|| key.clone())).await
    }

    /// What `find` finds in a key, which another instance may have made just now.
    pub(in crate::service) async fn find_in_signing_keys<T>(
        &self,
        find: impl Fn(&Key) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error>
    where
        T: Send,
    {
        let find = |keys: Vec<Key>| keys.iter().find_map(&find);
        // It may have been made since the last look; many who wait share the next one.
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

    /// The key that signs now: the first that is configured, or the database's newest, which is followed by another in time.
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
        let key = SigningKey { generation, secret: secrets::random_bytes()?.to_vec(), created_at: now };
        store::identity::sessions::add_signing_key(&mut tx, &key).await?;
        tx.commit().await?;
        // Another instance may have been first.
        self.reload_keys().await?;
        fresh(self.auth.keys.known()).ok_or_else(|| Error::internal("the key that was just made is not there"))
    }

    async fn reload_keys(&self) -> Result<(), Error> {
        let keys = store::identity::sessions::signing_keys(&self.db, 2).await?;
        self.auth.keys.keep(keys);
        Ok(())
    }
}

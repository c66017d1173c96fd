//! The keys that sign URLs: asked for anew from time to time, so that rotated ones are taken up, and kept for as long as
//! they are valid when their source does not answer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::error::{Error, chain};

/// Where credentials come from, and those that were had from there.
pub(super) struct CredentialsCache {
    source: SharedCredentialsProvider,
    /// How long the source may take.
    timeout: Duration,
    times: Times,
    kept: RwLock<Option<Kept>>,
    /// Held by the one who asks the source.
    asking: Mutex<()>,
    /// Whether the log has told that the source does not answer.
    told: AtomicBool,
}

struct Kept {
    credentials: Credentials,
    /// From when on the source is asked again.
    ask_again: Instant,
}

/// When the source is asked again.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// After an answer.
    after_answer: Duration,
    /// After none.
    after_failure: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { after_answer: Duration::from_secs(300), after_failure: Duration::from_secs(10) }
    }
}

/// Credentials that live for no longer than this are replaced: what they sign ends with them.
const NEARLY_EXPIRED: Duration = Duration::from_secs(60);

impl CredentialsCache {
    pub(super) fn new(source: SharedCredentialsProvider, timeout: Duration, times: Times) -> Self {
        Self { source, timeout, times, kept: RwLock::new(None), asking: Mutex::new(()), told: AtomicBool::new(false) }
    }

    /// Credentials that are valid, and fresh if their source answers. One request asks the source; the others go on with
    /// what there is.
    ///
    /// # Errors
    /// There are none, and the source gives none.
    pub(super) async fn current(&self) -> Result<Credentials, Error> {
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        let asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => match self.valid().await {
                Some(valid) => return Ok(valid),
                None => self.asking.lock().await,
            },
        };
        // Who asked before may have got them.
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        let credentials = match self.ask().await {
            Ok(new) => {
                let life = life_left(&new).map_or(self.times.after_answer, |left| left.saturating_sub(NEARLY_EXPIRED));
                self.keep(&new, life.min(self.times.after_answer)).await;
                self.told.store(false, Ordering::Relaxed);
                new
            }
            Err(error) => {
                let Some(valid) = self.valid().await else { return Err(error) };
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the storage credentials cannot be renewed; the old ones are still used: {}", chain(&error));
                }
                self.keep(&valid, self.times.after_failure).await;
                valid
            }
        };
        drop(asking);
        Ok(credentials)
    }

    async fn fresh(&self) -> Option<Credentials> {
        let kept = self.kept.read().await;
        kept.as_ref()
            .filter(|kept| Instant::now() < kept.ask_again && is_valid(&kept.credentials))
            .map(|kept| kept.credentials.clone())
    }

    async fn valid(&self) -> Option<Credentials> {
        let kept = self.kept.read().await;
        kept.as_ref().map(|kept| &kept.credentials).filter(|credentials| is_valid(credentials)).cloned()
    }

    async fn keep(&self, credentials: &Credentials, wait: Duration) {
        *self.kept.write().await = Some(Kept { credentials: credentials.clone(), ask_again: Instant::now() + wait });
    }

    async fn ask(&self) -> Result<Credentials, Error> {
        let asked = tokio::time::timeout(self.timeout, self.source.provide_credentials()).await;
        let timed_out = |_| Error::TimedOut { operation: "find credentials", timeout: self.timeout };
        asked.map_err(timed_out)?.map_err(|error| Error::no_credentials(&error))
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsCache").finish_non_exhaustive()
    }
}

/// How long they live by the machine's clock, which is the storage's too; `None` for those that do not expire.
fn life_left(credentials: &Credentials) -> Option<Duration> {
    // `elapsed` is an error, with the time until then, for a moment to come.
    credentials.expiry().map(|expiry| expiry.elapsed().err().map_or(Duration::ZERO, |ahead| ahead.duration()))
}

fn is_valid(credentials: &Credentials) -> bool {
    life_left(credentials).is_none_or(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::UNIX_EPOCH;

    use aws_credential_types::provider::{error::CredentialsError, future};

    use super::*;
    use crate::model::clock::{Clock, SystemClock};

    /// Answers the first so many times, then no more; each answer has its number and lives for so many seconds.
    #[derive(Debug)]
    struct Source {
        answers: u32,
        life_seconds: i64,
        asked: Arc<AtomicU32>,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                let expiry = u64::try_from(SystemClock.now().timestamp() + self.life_seconds).unwrap();
                let expiry = Some(UNIX_EPOCH + Duration::from_secs(expiry));
                if number <= self.answers {
                    Ok(Credentials::new(format!("key {number}"), "secret", None, expiry, "test"))
                } else {
                    Err(CredentialsError::provider_error("the source is down"))
                }
            })
        }
    }

    /// With times in milliseconds.
    fn cache(answers: u32, life_seconds: i64, times: [u64; 2]) -> (CredentialsCache, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let source = SharedCredentialsProvider::new(Source { answers, life_seconds, asked: Arc::clone(&asked) });
        let [after_answer, after_failure] = times.map(Duration::from_millis);
        (CredentialsCache::new(source, Duration::from_secs(5), Times { after_answer, after_failure }), asked)
    }

    async fn key(cache: &CredentialsCache) -> Option<String> {
        cache.current().await.ok().map(|credentials| credentials.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn they_are_kept_for_a_while_and_then_taken_up_anew() {
        let (kept, asked) = cache(9, 3600, [60_000, 0]);
        assert_eq!((key(&kept).await, key(&kept).await), (Some("key 1".to_owned()), Some("key 1".to_owned())));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let (rotated, _) = cache(9, 3600, [0, 0]);
        assert_eq!((key(&rotated).await, key(&rotated).await), (Some("key 1".to_owned()), Some("key 2".to_owned())));
    }

    #[tokio::test]
    async fn valid_ones_are_kept_when_the_source_fails_and_expired_ones_are_not() {
        let (valid, asked) = cache(1, 3600, [0, 60_000]);
        for _ in 0..5 {
            assert_eq!(key(&valid).await.as_deref(), Some("key 1"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a source that fails is left alone for a while");
        let (expired, _) = cache(1, -1, [0, 0]);
        key(&expired).await;
        assert_eq!(key(&expired).await, None);
    }

    #[tokio::test]
    async fn many_at_once_ask_once() {
        let (cache, asked) = cache(9, 3600, [60_000, 0]);
        let keys = futures::future::join_all((0..20).map(|_| key(&cache))).await;
        assert!(keys.iter().all(|key| key.as_deref() == Some("key 1")), "{keys:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

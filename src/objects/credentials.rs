//! The cached credentials that sign URLs. They are refreshed regularly, so that rotated keys take effect, and stay in use until
//! they expire if the provider fails.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::error::Error;
use super::error_chain::error_chain;

/// A credentials provider and the last credentials that it returned.
pub(super) struct CredentialsCache {
    provider: SharedCredentialsProvider,
    /// The limit for one request to the provider.
    timeout: Duration,
    intervals: RefreshIntervals,
    cached: RwLock<Option<Cached>>,
    /// Held by the task that requests credentials from the provider.
    refreshing: Mutex<()>,
    /// Whether the log has reported that the provider fails.
    warned: AtomicBool,
}

struct Cached {
    credentials: Credentials,
    refresh_at: Instant,
}

/// How long to wait before the next request to the provider.
#[derive(Clone, Copy)]
pub(super) struct RefreshIntervals {
    after_success: Duration,
    after_failure: Duration,
}

impl Default for RefreshIntervals {
    fn default() -> Self {
        Self { after_success: Duration::from_secs(300), after_failure: Duration::from_secs(10) }
    }
}

/// Credentials are refreshed this long before they expire: presigned URLs expire with the credentials that signed them.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(60);

impl CredentialsCache {
    pub(super) fn new(provider: SharedCredentialsProvider, timeout: Duration, intervals: RefreshIntervals) -> Self {
        Self {
            provider,
            timeout,
            intervals,
            cached: RwLock::new(None),
            refreshing: Mutex::new(()),
            warned: AtomicBool::new(false),
        }
    }

    /// Returns valid credentials, refreshed if they are due and the provider responds. One task refreshes them; meanwhile the
    /// others use the cached ones.
    ///
    /// # Errors
    /// No valid credentials are cached and the provider returns none.
    pub(super) async fn current(&self) -> Result<Credentials, Error> {
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        let refreshing = match self.refreshing.try_lock() {
            Ok(refreshing) => refreshing,
            Err(_) => match self.valid().await {
                Some(valid) => return Ok(valid),
                None => self.refreshing.lock().await,
            },
        };
        // Another task may have refreshed them meanwhile.
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        let credentials = match self.load().await {
            Ok(new) => {
                let after_success = self.intervals.after_success;
                let interval = time_to_expiry(&new).map_or(after_success, |left| left.saturating_sub(REFRESH_BEFORE_EXPIRY));
                self.store(&new, interval.min(after_success)).await;
                self.warned.store(false, Ordering::Relaxed);
                new
            }
            Err(error) => {
                let Some(valid) = self.valid().await else { return Err(error) };
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the storage credentials cannot be refreshed; the old ones remain in use: {}",
                        error_chain(&error)
                    );
                }
                self.store(&valid, self.intervals.after_failure).await;
                valid
            }
        };
        drop(refreshing);
        Ok(credentials)
    }

    async fn fresh(&self) -> Option<Credentials> {
        let cached = self.cached.read().await;
        cached
            .as_ref()
            .filter(|cached| Instant::now() < cached.refresh_at && is_valid(&cached.credentials))
            .map(|cached| cached.credentials.clone())
    }

    async fn valid(&self) -> Option<Credentials> {
        let cached = self.cached.read().await;
        cached.as_ref().map(|cached| &cached.credentials).filter(|credentials| is_valid(credentials)).cloned()
    }

    async fn store(&self, credentials: &Credentials, wait: Duration) {
        *self.cached.write().await = Some(Cached { credentials: credentials.clone(), refresh_at: Instant::now() + wait });
    }

    async fn load(&self) -> Result<Credentials, Error> {
        let result = tokio::time::timeout(self.timeout, self.provider.provide_credentials()).await;
        let timed_out = |_| Error::TimedOut { operation: "load credentials", timeout: self.timeout };
        result.map_err(timed_out)?.map_err(|error| Error::no_credentials(&error))
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsCache").finish_non_exhaustive()
    }
}

/// Returns the time until the credentials expire, by the machine's clock; `None` if they never expire.
fn time_to_expiry(credentials: &Credentials) -> Option<Duration> {
    // For a time in the future, `elapsed` returns an error with the time until then.
    credentials.expiry().map(|expiry| expiry.elapsed().err().map_or(Duration::ZERO, |ahead| ahead.duration()))
}

fn is_valid(credentials: &Credentials) -> bool {
    time_to_expiry(credentials).is_none_or(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::UNIX_EPOCH;

    use aws_credential_types::provider::{error::CredentialsError, future};

    use super::*;
    use crate::model::clock::{Clock, SystemClock};

    /// Returns numbered credentials for the first `successes` requests, then fails.
    #[derive(Debug)]
    struct TestProvider {
        successes: u32,
        lifetime_seconds: i64,
        requests: Arc<AtomicU32>,
    }

    impl ProvideCredentials for TestProvider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                let expiry = u64::try_from(SystemClock.now().timestamp() + self.lifetime_seconds).unwrap();
                let expiry = Some(UNIX_EPOCH + Duration::from_secs(expiry));
                if number <= self.successes {
                    Ok(Credentials::new(format!("key {number}"), "secret", None, expiry, "test"))
                } else {
                    Err(CredentialsError::provider_error("the provider is down"))
                }
            })
        }
    }

    /// Returns a cache and the number of requests to its provider. The refresh intervals (after success, after failure) are in
    /// milliseconds.
    fn cache(successes: u32, lifetime_seconds: i64, intervals_ms: [u64; 2]) -> (CredentialsCache, Arc<AtomicU32>) {
        let requests = Arc::new(AtomicU32::new(0));
        let provider = TestProvider { successes, lifetime_seconds, requests: Arc::clone(&requests) };
        let [after_success, after_failure] = intervals_ms.map(Duration::from_millis);
        let intervals = RefreshIntervals { after_success, after_failure };
        (CredentialsCache::new(SharedCredentialsProvider::new(provider), Duration::from_secs(5), intervals), requests)
    }

    async fn key(cache: &CredentialsCache) -> Option<String> {
        cache.current().await.ok().map(|credentials| credentials.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn credentials_are_cached_and_then_refreshed() {
        let (cached, requests) = cache(9, 3600, [60_000, 0]);
        assert_eq!((key(&cached).await, key(&cached).await), (Some("key 1".to_owned()), Some("key 1".to_owned())));
        assert_eq!(requests.load(Ordering::SeqCst), 1);
        let (rotated, _) = cache(9, 3600, [0, 0]);
        assert_eq!((key(&rotated).await, key(&rotated).await), (Some("key 1".to_owned()), Some("key 2".to_owned())));
    }

    #[tokio::test]
    async fn a_failing_provider_leaves_valid_credentials_in_use_but_not_expired_ones() {
        let (valid, requests) = cache(1, 3600, [0, 60_000]);
        for _ in 0..5 {
            assert_eq!(key(&valid).await.as_deref(), Some("key 1"));
        }
        assert_eq!(requests.load(Ordering::SeqCst), 2, "a failing provider is not queried again before the interval has passed");
        let (expired, _) = cache(1, -1, [0, 0]);
        key(&expired).await;
        assert_eq!(key(&expired).await, None);
    }

    #[tokio::test]
    async fn concurrent_callers_send_one_request() {
        let (cache, requests) = cache(9, 3600, [60_000, 0]);
        let keys = futures::future::join_all((0..20).map(|_| key(&cache))).await;
        assert!(keys.iter().all(|key| key.as_deref() == Some("key 1")), "{keys:?}");
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }
}

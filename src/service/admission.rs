//! Admission: memory is reserved before it is used, so that a burst ends in waiting and then in 503, never in a crash.
//!
//! There are two budgets. Bodies are reserved by their length before they are read; decoding is reserved by what the
//! picture's header says before it is decoded. They are apart, because bodies that wait for decoding, holding what
//! decoding needs, would wait for ever. Both are fair: first come, first served.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::error::Error;
use crate::imaging;

/// Semaphores count KiB, because tokio's cannot count much more than that.
const UNIT_BYTES: u64 = 1024;

/// What any picture within the default limits needs at most.
const ALWAYS_DECODED_BYTES: u64 = 256 << 20;

#[derive(Debug)]
pub struct Admission {
    bodies: Budget,
    /// The part of `bodies` that may be held for foreign servers.
    foreign: Budget,
    decoding: Budget,
    threads: Arc<Semaphore>,
    activity: Arc<Activity>,
    wait: Duration,
}

/// Memory for a request's body; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    /// How long it was waited for.
    pub waited: Duration,
    _body: OwnedSemaphorePermit,
    _foreign: Option<OwnedSemaphorePermit>,
}

/// Memory and a thread for a decode; given back when dropped.
#[derive(Debug)]
pub struct DecodeSlot {
    _memory: OwnedSemaphorePermit,
    _thread: OwnedSemaphorePermit,
    _activity: Active,
}

/// Whether pictures are being decoded. Without locks: those who ask have the lowest priority, and would keep the others waiting.
#[derive(Debug)]
pub struct Activity {
    decoding: AtomicUsize,
    /// When it last ended, in milliseconds since `start`.
    last_ended: AtomicU64,
    start: Instant,
}

/// One of those that are being decoded; over when dropped.
#[derive(Debug)]
struct Active(Arc<Activity>);

/// Between two pictures there is no more than this, where one follows the other.
const LINGER: Duration = Duration::from_millis(50);

impl Activity {
    fn new() -> Self {
        Self { decoding: AtomicUsize::new(0), last_ended: AtomicU64::new(0), start: Instant::now() }
    }

    /// Whether pictures are being decoded, or were a moment ago.
    pub fn is_on(&self) -> bool {
        let ended = Duration::from_millis(self.last_ended.load(Relaxed));
        self.decoding.load(Relaxed) > 0 || (!ended.is_zero() && self.start.elapsed().saturating_sub(ended) < LINGER)
    }

    fn begin(self: &Arc<Self>) -> Active {
        self.decoding.fetch_add(1, Relaxed);
        Active(Arc::clone(self))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ended.store(now.max(1), Relaxed);
        self.0.decoding.fetch_sub(1, Relaxed);
    }
}

/// What is in use of what there is, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct BudgetUse {
    pub in_use_bytes: u64,
    pub total_bytes: u64,
}

impl Admission {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bodies: Budget::new(limits.upload_memory_bytes),
            foreign: Budget::new(limits.upload_memory_bytes / 2),
            decoding: Budget::new(limits.decode_memory_bytes),
            threads: Arc::new(Semaphore::new(limits.decode_threads)),
            activity: Arc::new(Activity::new()),
            wait: limits.admission_wait,
        }
    }

    /// Waits for room for a body of up to `bytes`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn body(&self, bytes: u64) -> Result<Admitted, Error> {
        let started = Instant::now();
        let _body = self.in_time(self.bodies.take(bytes)).await?;
        Ok(Admitted { waited: started.elapsed(), _body, _foreign: None })
    }

    /// As [`Admission::body`], but without waiting: for those who hold what others wait for.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none.
    pub fn body_at_once(&self, bytes: u64) -> Result<Admitted, Error> {
        let _body = self.bodies.take_at_once(bytes).ok_or_else(|| overloaded(self.wait))?;
        Ok(Admitted { waited: Duration::ZERO, _body, _foreign: None })
    }

    /// As [`Admission::body`], for one that a foreign server sends: waits for up to `patience` for its part, which holds up no
    /// request, and then for room.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn foreign_body(&self, bytes: u64, patience: Duration) -> Result<Admitted, Error> {
        let started = Instant::now();
        let _foreign = Some(within(patience, self.foreign.take(bytes)).await?);
        let _body = self.in_time(self.bodies.take(bytes)).await?;
        Ok(Admitted { waited: started.elapsed(), _body, _foreign })
    }

    /// Bytes that an upload's picture may need for decoding. A budget below `ALWAYS_DECODED_BYTES` is exceeded by a picture
    /// that needs more, which is decoded alone then.
    pub fn most_weight_bytes(&self) -> u64 {
        (u64::from(self.decoding.total_units) * UNIT_BYTES).max(ALWAYS_DECODED_BYTES)
    }

    /// Waits for room and a thread to decode a picture that needs `weight_bytes`. One that needs more than the whole
    /// budget takes all of it, and so is decoded alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn decode(&self, weight_bytes: u64) -> Result<DecodeSlot, Error> {
        self.in_time(async {
            let memory = self.decoding.take(weight_bytes).await?;
            let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(Error::internal)?;
            Ok(DecodeSlot { _memory: memory, _thread: thread, _activity: self.activity.begin() })
        })
        .await
    }

    /// Runs what decodes a picture that needs `weight_bytes`, on a thread for it, when there is room.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time; or what `work` fails with: of a picture that was accepted before that is
    /// nobody's fault but the service's.
    pub async fn decode_stored<T: Send + 'static>(
        &self,
        weight_bytes: u64,
        work: impl FnOnce() -> Result<T, imaging::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.decode(weight_bytes).await?;
        let decoding = tokio::task::spawn_blocking(move || {
            let decoded = work();
            drop(slot);
            decoded
        });
        decoding.await.map_err(Error::internal)?.map_err(Error::internal)
    }

    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    pub fn bodies_in_use(&self) -> BudgetUse {
        self.bodies.in_use()
    }

    pub fn decoding_in_use(&self) -> BudgetUse {
        self.decoding.in_use()
    }

    async fn in_time<T>(&self, taking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        within(self.wait, taking).await
    }
}

async fn within<T>(wait: Duration, taking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(wait, taking).await.map_err(|_| overloaded(wait))?
}

fn overloaded(wait: Duration) -> Error {
    Error::Overloaded { retry_after: wait.max(Duration::from_secs(1)) }
}

#[derive(Debug)]
struct Budget {
    semaphore: Arc<Semaphore>,
    total_units: u32,
}

impl Budget {
    fn new(bytes: u64) -> Self {
        let total_units = units(bytes);
        Self { semaphore: Arc::new(Semaphore::new(total_units as usize)), total_units }
    }

    async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let units = units(bytes).min(self.total_units);
        Arc::clone(&self.semaphore).acquire_many_owned(units).await.map_err(Error::internal)
    }

    fn take_at_once(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let units = units(bytes).min(self.total_units);
        Arc::clone(&self.semaphore).try_acquire_many_owned(units).ok()
    }

    fn in_use(&self) -> BudgetUse {
        let total_bytes = u64::from(self.total_units) * UNIT_BYTES;
        BudgetUse { in_use_bytes: total_bytes - (self.semaphore.available_permits() as u64) * UNIT_BYTES, total_bytes }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_is_told_until_a_moment_after_its_end() {
        let activity = Arc::new(Activity::new());
        assert!(!activity.is_on());
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert!(activity.is_on());
        std::thread::sleep(2 * LINGER);
        assert!(activity.is_on(), "the second goes on");
        drop(second);
        std::thread::sleep(2 * LINGER);
        assert!(!activity.is_on());
    }
}

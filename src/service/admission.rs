//! Admission: memory is reserved before it is used, so that a burst ends in waiting and then in 503, never in a crash.
//!
//! There are three budgets, each a [`FairQueue`], so that callers take turns. Bodies that are arriving hold memory for what has
//! arrived (`receiving.rs`). Bodies that are whole, and pictures that are made, hold memory until they are stored. Decoding holds
//! memory, by what the picture's header says, and a thread.
//!
//! They are apart because of who may wait while holding what. A body is as slow as its client, so those that are arriving
//! must not hold what those that are whole wait for. And bodies that wait for decoding, holding what decoding needs, would wait for
//! ever. The order is receiving, processing, decoding; nobody waits for one of them while holding a later one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use super::Limits;
use super::error::Error;
use super::fair_queue::{Amount, FairQueue, Permit, Turn};
use crate::imaging;

/// What any picture within the default limits needs at most.
const ALWAYS_DECODED_BYTES: u64 = 256 << 20;

#[derive(Debug)]
pub struct Admission {
    /// `None` if bodies are not spilled to disk: then whoever sends one holds memory for all of it, as there is no other place for
    /// what does not fit.
    receiving: Option<FairQueue>,
    processing: FairQueue,
    decoding: FairQueue,
    activity: Arc<Activity>,
    wait: Duration,
}

/// Memory for a file, and for whose turn it was reserved; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    pub turn: Turn,
    /// How long it was waited for.
    pub waited: Duration,
    _memory: Permit,
}

/// Memory for a file that a foreign server is about to send.
#[derive(Debug)]
pub struct AdmittedImport {
    waited: Duration,
    receiving: Permit,
    /// What does not fit into the budget for receiving.
    excess: Option<Permit>,
}

/// Memory and a thread for a decode; given back when dropped.
#[derive(Debug)]
pub struct DecodeSlot {
    _permit: Permit,
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
#[derive(Debug, Clone, Copy, Default)]
pub struct BudgetUse {
    pub in_use_bytes: u64,
    pub total_bytes: u64,
}

impl BudgetUse {
    pub(super) fn of(queue: &FairQueue) -> Self {
        Self { in_use_bytes: queue.in_use().bytes, total_bytes: queue.total().bytes }
    }
}

impl Admission {
    pub fn new(limits: &Limits) -> Self {
        let bytes = limits.upload_memory_bytes;
        let (receiving, processing) = if limits.spooling.disk_bytes > 0 {
            // Half each, except that the largest file must fit.
            let processing_bytes = (bytes / 2).max(limits.max_file_bytes).min(bytes);
            let receiving = FairQueue::with_halves(Amount::bytes(bytes - processing_bytes));
            (Some(receiving), FairQueue::new(Amount::bytes(processing_bytes)))
        } else {
            // Slow clients hold it, too, so that nobody may have all.
            (None, FairQueue::with_halves(Amount::bytes(bytes)))
        };
        let decoding = Amount { bytes: limits.decode_memory_bytes, slots: limits.decode_threads as u64 };
        Self {
            receiving,
            processing,
            decoding: FairQueue::new(decoding),
            activity: Arc::new(Activity::new()),
            wait: limits.admission_wait,
        }
    }

    /// Whether memory for bodies is reserved as they arrive, and not for the whole before.
    pub fn receives_in_steps(&self) -> bool {
        self.receiving.is_some()
    }

    fn receiving(&self) -> &FairQueue {
        self.receiving.as_ref().unwrap_or(&self.processing)
    }

    /// Memory for what arrives, if there is some.
    pub(super) fn receive_at_once(&self, turn: &Turn, bytes: u64) -> Option<Permit> {
        self.receiving().take_at_once(turn, Amount::bytes(bytes))
    }

    /// Waits, however long, for memory for what arrives.
    pub(super) async fn receive(&self, turn: &Turn, bytes: u64) -> Permit {
        self.receiving().take(turn, Amount::bytes(bytes)).await
    }

    /// Waits for memory for a file of up to `bytes`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn file(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let started = Instant::now();
        let _memory = self.in_time(self.processing.take(turn, Amount::bytes(bytes))).await?;
        Ok(Admitted { turn: turn.clone(), waited: started.elapsed(), _memory })
    }

    /// As [`Admission::file`], but without waiting: for those who hold what others wait for.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none.
    pub fn file_at_once(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let taken = self.processing.take_at_once(turn, Amount::bytes(bytes));
        let _memory = taken.ok_or_else(|| overloaded(self.wait))?;
        Ok(Admitted { turn: turn.clone(), waited: Duration::ZERO, _memory })
    }

    /// Waits for up to `patience` for memory for what a foreign server is about to send, up to `bytes`. All of them together
    /// hold half of what there is for bodies that are arriving.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn import(&self, turn: &Turn, bytes: u64, patience: Duration) -> Result<AdmittedImport, Error> {
        let started = Instant::now();
        let receiving = within(patience, self.receive(turn, bytes)).await?;
        let excess = match bytes.saturating_sub(self.receiving().total().bytes) {
            0 => None,
            _ if !self.receives_in_steps() => None,
            bytes => Some(self.in_time(self.processing.take(turn, Amount::bytes(bytes))).await?),
        };
        Ok(AdmittedImport { waited: started.elapsed(), receiving, excess })
    }

    /// Waits for memory for a file that has arrived from a foreign server and is `bytes` long.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn imported_file(&self, turn: &Turn, admitted: AdmittedImport, bytes: u64) -> Result<Admitted, Error> {
        let AdmittedImport { waited, receiving, excess } = admitted;
        if !self.receives_in_steps() {
            return Ok(Admitted { turn: turn.clone(), waited, _memory: receiving });
        }
        // Whoever holds memory of this budget does not wait for more of it.
        drop(excess);
        let admitted = self.file(turn, bytes).await?;
        drop(receiving);
        Ok(Admitted { waited: waited + admitted.waited, ..admitted })
    }

    /// Bytes that an upload's picture may need for decoding. A budget below `ALWAYS_DECODED_BYTES` is exceeded by a picture
    /// that needs more, which is decoded alone then.
    pub fn most_weight_bytes(&self) -> u64 {
        self.decoding.total().bytes.max(ALWAYS_DECODED_BYTES)
    }

    /// Waits for room and a thread to decode a picture that needs `weight_bytes`. One that needs more than the whole
    /// budget takes all of it, and so is decoded alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn decode(&self, turn: &Turn, weight_bytes: u64) -> Result<DecodeSlot, Error> {
        let _permit = self.in_time(self.decoding.take(turn, Amount { bytes: weight_bytes, slots: 1 })).await?;
        Ok(DecodeSlot { _permit, _activity: self.activity.begin() })
    }

    /// Runs what decodes a picture that needs `weight_bytes`, on a thread for it, when there is room.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time; or what `work` fails with: of a picture that was accepted before that is
    /// nobody's fault but the service's.
    pub async fn decode_stored<T: Send + 'static>(
        &self,
        turn: &Turn,
        weight_bytes: u64,
        work: impl FnOnce() -> Result<T, imaging::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.decode(turn, weight_bytes).await?;
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

    /// Of all bodies: those that are arriving, and those that are whole.
    pub fn bodies_in_use(&self) -> BudgetUse {
        let (receiving, processing) = (self.receiving_in_use(), BudgetUse::of(&self.processing));
        BudgetUse {
            in_use_bytes: receiving.in_use_bytes + processing.in_use_bytes,
            total_bytes: receiving.total_bytes + processing.total_bytes,
        }
    }

    /// Of bodies that are arriving.
    pub fn receiving_in_use(&self) -> BudgetUse {
        self.receiving.as_ref().map(BudgetUse::of).unwrap_or_default()
    }

    pub fn decoding_in_use(&self) -> BudgetUse {
        BudgetUse::of(&self.decoding)
    }

    /// # Errors
    /// [`Error::Overloaded`] when it takes longer than a request is kept waiting.
    pub(super) async fn in_time<T>(&self, taking: impl Future<Output = T>) -> Result<T, Error> {
        within(self.wait, taking).await
    }
}

async fn within<T>(wait: Duration, taking: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(wait, taking).await.map_err(|_| overloaded(wait))
}

fn overloaded(wait: Duration) -> Error {
    Error::Overloaded { retry_after: wait.max(Duration::from_secs(1)) }
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

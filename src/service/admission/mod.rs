//! Admission control: memory is reserved before it is used, so that a burst leads to waiting and then to 503, never to a crash.
//!
//! There are three budgets, each a [`FairQueue`], so that callers take turns. Arriving bodies hold memory for the bytes received
//! so far (`body_buffer.rs`). Complete bodies and rendered images hold memory until they are stored. Decoding holds a thread, and
//! memory according to the image header.
//!
//! The budgets are separate to prevent deadlocks and starvation. A body arrives as slowly as its client sends, so arriving bodies
//! must not hold memory that complete ones wait for. Bodies that wait for decoding while holding memory that decoding needs would
//! wait forever. The order is receiving, processing, decoding; no task waits for a budget while it holds a later one.

pub mod body_buffer;
pub mod decode_activity;
pub mod downloads;
pub mod fair_queue;
pub mod spool;
pub mod threads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::decode_activity::{ActiveDecode, DecodeActivity};
use self::fair_queue::{Amount, FairQueue, Permit, Turn};
use super::error::Error;
use crate::imaging;

/// One part in eight of the receiving budget is for bodies that are not uploads.
const SMALL_BODIES_SHARE: u64 = 8;

/// The most that any image within the default limits needs.
const ALWAYS_DECODED_BYTES: u64 = 256 << 20;

/// The budgets to share.
#[derive(Debug, Clone, Copy)]
pub struct Budgets {
    pub upload_memory_bytes: u64,
    /// The largest file must fit, even if half of the memory is less.
    pub largest_file_bytes: u64,
    /// Whether bodies spill to disk when memory runs out.
    pub spills: bool,
    pub decode_memory_bytes: u64,
    pub decode_threads: usize,
    /// How long a request waits.
    pub wait: Duration,
}

#[derive(Debug)]
pub struct Admission {
    /// `None` if bodies do not spill to disk. Then a body reserves memory for all of it in advance, because there is no other
    /// place for the excess.
    receiving: Option<FairQueue>,
    /// For short bodies that are not uploads, so that slow uploads do not block them.
    small_bodies: FairQueue,
    processing: FairQueue,
    decoding: FairQueue,
    activity: Arc<DecodeActivity>,
    wait: Duration,
}

/// Memory reserved for a file, and the turn it was reserved for. Released when dropped.
#[derive(Debug)]
pub struct Admitted {
    pub turn: Turn,
    /// How long the reservation waited.
    pub waited: Duration,
    _memory: Permit,
}

/// Memory for a file that a remote server is about to send.
#[derive(Debug)]
pub struct AdmittedImport {
    waited: Duration,
    receiving: Permit,
    /// The part that exceeds the receiving budget.
    excess: Option<Permit>,
}

/// Memory and a thread for decoding. Released when dropped.
#[derive(Debug)]
pub struct DecodeSlot {
    _permit: Permit,
    _activity: ActiveDecode,
}

/// Reserved and total bytes of a budget.
#[derive(Debug, Clone, Copy, Default)]
pub struct BudgetUsage {
    pub in_use_bytes: u64,
    pub total_bytes: u64,
}

impl BudgetUsage {
    pub(super) fn of(queue: &FairQueue) -> Self {
        Self { in_use_bytes: queue.in_use().bytes, total_bytes: queue.total().bytes }
    }
}

impl Admission {
    pub fn new(budgets: &Budgets) -> Self {
        let bytes = budgets.upload_memory_bytes;
        // Half each, except that the largest file must fit.
        let processing_bytes = (bytes / 2).max(budgets.largest_file_bytes).min(bytes);
        let small_bodies_bytes = (bytes - processing_bytes) / SMALL_BODIES_SHARE;
        let receiving_bytes = bytes - processing_bytes - small_bodies_bytes;
        let (receiving, processing) = if budgets.spills {
            let receiving = FairQueue::with_half_per_key(Amount::bytes(receiving_bytes));
            (Some(receiving), FairQueue::new(Amount::bytes(processing_bytes)))
        } else {
            // Slow clients hold this budget too, so no caller may hold all of it.
            (None, FairQueue::with_half_per_key(Amount::bytes(processing_bytes + receiving_bytes)))
        };
        let decoding = Amount { bytes: budgets.decode_memory_bytes, slots: budgets.decode_threads as u64 };
        Self {
            receiving,
            small_bodies: FairQueue::with_half_per_key(Amount::bytes(small_bodies_bytes)),
            processing,
            decoding: FairQueue::new(decoding),
            activity: Arc::new(DecodeActivity::new()),
            wait: budgets.wait,
        }
    }

    /// Returns whether memory for bodies is reserved as they arrive, instead of in advance.
    pub fn reserves_in_steps(&self) -> bool {
        self.receiving.is_some()
    }

    fn receiving(&self) -> &FairQueue {
        self.receiving.as_ref().unwrap_or(&self.processing)
    }

    /// Reserves memory for arriving bytes, if some is free.
    pub(super) fn try_reserve_receiving(&self, turn: &Turn, bytes: u64) -> Option<Permit> {
        self.receiving().try_acquire(turn, Amount::bytes(bytes))
    }

    /// Waits without a time limit for memory for arriving bytes.
    pub(super) async fn reserve_receiving(&self, turn: &Turn, bytes: u64) -> Permit {
        self.receiving().acquire(turn, Amount::bytes(bytes)).await
    }

    /// Waits for memory for a body of up to `bytes` that is not an upload.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn reserve_small_body(&self, turn: &Turn, bytes: u64) -> Result<Permit, Error> {
        self.with_timeout(self.small_bodies.acquire(turn, Amount::bytes(bytes))).await
    }

    /// Waits for memory for a file of up to `bytes`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn reserve_file(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let started = Instant::now();
        let _memory = self.with_timeout(self.processing.acquire(turn, Amount::bytes(bytes))).await?;
        Ok(Admitted { turn: turn.clone(), waited: started.elapsed(), _memory })
    }

    /// Like [`Admission::reserve_file`], but without waiting: for callers that hold what others wait for.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free.
    pub fn try_reserve_file(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let taken = self.processing.try_acquire(turn, Amount::bytes(bytes));
        let _memory = taken.ok_or_else(|| overloaded(self.wait))?;
        Ok(Admitted { turn: turn.clone(), waited: Duration::ZERO, _memory })
    }

    /// Waits for up to `patience` for memory for up to `bytes` from a remote server. All imports together hold at most half of
    /// the receiving budget.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn reserve_import(&self, turn: &Turn, bytes: u64, patience: Duration) -> Result<AdmittedImport, Error> {
        let started = Instant::now();
        let receiving = within(patience, self.reserve_receiving(turn, bytes)).await?;
        let excess = match bytes.saturating_sub(self.receiving().total().bytes) {
            0 => None,
            _ if !self.reserves_in_steps() => None,
            bytes => Some(self.with_timeout(self.processing.acquire(turn, Amount::bytes(bytes))).await?),
        };
        Ok(AdmittedImport { waited: started.elapsed(), receiving, excess })
    }

    /// Waits for memory for a file of `bytes` that has arrived from a remote server.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time.
    pub async fn reserve_imported_file(&self, turn: &Turn, admitted: AdmittedImport, bytes: u64) -> Result<Admitted, Error> {
        let AdmittedImport { waited, receiving, excess } = admitted;
        if !self.reserves_in_steps() {
            return Ok(Admitted { turn: turn.clone(), waited, _memory: receiving });
        }
        // A task that holds memory of this budget must not wait for more of it.
        drop(excess);
        let admitted = self.reserve_file(turn, bytes).await?;
        drop(receiving);
        Ok(Admitted { waited: waited + admitted.waited, ..admitted })
    }

    /// Returns how many bytes of memory an upload may need for decoding. An image that needs more than a budget below
    /// `ALWAYS_DECODED_BYTES` is decoded alone.
    pub fn max_decode_bytes(&self) -> u64 {
        self.decoding.total().bytes.max(ALWAYS_DECODED_BYTES)
    }

    /// Waits for memory and a thread to decode an image that needs `weight_bytes`. An image that needs more than the whole budget
    /// takes all of it, so it is decoded alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if they are not free in time.
    pub async fn reserve_decode(&self, turn: &Turn, weight_bytes: u64) -> Result<DecodeSlot, Error> {
        let _permit = self.with_timeout(self.decoding.acquire(turn, Amount { bytes: weight_bytes, slots: 1 })).await?;
        Ok(DecodeSlot { _permit, _activity: self.activity.begin() })
    }

    /// Decodes a stored image that needs `weight_bytes`, on a thread, once memory is free.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no memory is free in time. A failure of `work` is an internal error, because the image was
    /// accepted before.
    pub async fn decode_stored<T: Send + 'static>(
        &self,
        turn: &Turn,
        weight_bytes: u64,
        work: impl FnOnce() -> Result<T, imaging::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.reserve_decode(turn, weight_bytes).await?;
        let decoding = move || {
            let decoded = work();
            drop(slot);
            decoded
        };
        threads::run(turn.class.priority(), decoding).await?.map_err(Error::internal)
    }

    pub fn activity(&self) -> Arc<DecodeActivity> {
        Arc::clone(&self.activity)
    }

    /// Returns the usage of all bodies, arriving and complete.
    pub fn body_usage(&self) -> BudgetUsage {
        let (receiving, processing) = (self.receiving_usage(), BudgetUsage::of(&self.processing));
        BudgetUsage {
            in_use_bytes: receiving.in_use_bytes + processing.in_use_bytes,
            total_bytes: receiving.total_bytes + processing.total_bytes,
        }
    }

    /// Returns the usage of arriving bodies.
    pub fn receiving_usage(&self) -> BudgetUsage {
        let (uploads, small_bodies) =
            (self.receiving.as_ref().map(BudgetUsage::of).unwrap_or_default(), BudgetUsage::of(&self.small_bodies));
        BudgetUsage {
            in_use_bytes: uploads.in_use_bytes + small_bodies.in_use_bytes,
            total_bytes: uploads.total_bytes + small_bodies.total_bytes,
        }
    }

    pub fn decode_usage(&self) -> BudgetUsage {
        BudgetUsage::of(&self.decoding)
    }

    /// # Errors
    /// [`Error::Overloaded`] after the time that a request may wait.
    pub(super) async fn with_timeout<T>(&self, taking: impl Future<Output = T>) -> Result<T, Error> {
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
    use futures::FutureExt;

    use super::fair_queue::{Class, TurnKey};
    use super::*;
    use crate::model::caller::UserId;

    const MIB: u64 = 1 << 20;

    fn admission(spills: bool) -> Admission {
        Admission::new(&Budgets {
            upload_memory_bytes: 32 * MIB,
            largest_file_bytes: 10 * MIB,
            spills,
            decode_memory_bytes: 256 * MIB,
            decode_threads: 2,
            wait: Duration::from_millis(50),
        })
    }

    fn turn(name: &str, class: Class) -> Turn {
        Turn::new(TurnKey::User(UserId::parse(name).unwrap()), class)
    }

    #[tokio::test]
    async fn sixty_clients_that_resize_leave_a_thread_and_memory_for_uploads() {
        let admission = admission(true);
        let network = |host| TurnKey::Network([192, 0, 2, host].into());
        let sizes = (1..=60).map(|host| Turn::new(network(host), Class::AnonymousResize));
        let turns: Vec<Turn> = sizes.chain([turn("ann", Class::Resize)]).collect();
        let mut files: Vec<_> = turns.iter().map(|turn| Box::pin(admission.reserve_file(turn, 5 * MIB))).collect();
        let mut decodes: Vec<_> = turns.iter().map(|turn| Box::pin(admission.reserve_decode(turn, 50 * MIB))).collect();
        let held_files: Vec<_> = files.iter_mut().filter_map(|file| file.now_or_never()).map(Result::unwrap).collect();
        let held_decodes: Vec<_> = decodes.iter_mut().filter_map(|slot| slot.now_or_never()).map(Result::unwrap).collect();
        assert_eq!((held_files.len(), held_decodes.len()), (1, 1), "half of 16 MiB, and of two threads");
        let upload = turn("bob", Class::Request);
        let file = admission.reserve_file(&upload, 10 * MIB).now_or_never().expect("no waiting").unwrap();
        let slot = admission.reserve_decode(&upload, 100 * MIB).now_or_never().expect("no waiting").unwrap();
        drop((file, slot));
    }

    #[tokio::test]
    async fn arriving_bodies_hold_no_memory_that_complete_ones_wait_for() {
        let admission = admission(true);
        let arriving: Vec<_> = (0..7)
            .map(|number| admission.try_reserve_receiving(&turn(&format!("slow{number}"), Class::Request), 2 * MIB).unwrap())
            .collect();
        assert!(admission.try_reserve_receiving(&turn("late", Class::Request), 1).is_none());
        admission.reserve_file(&turn("whole", Class::Request), 10 * MIB).now_or_never().expect("no waiting").unwrap();
        drop(arriving);
        let greedy = turn("greedy", Class::Request);
        let held: Vec<_> = std::iter::from_fn(|| admission.try_reserve_receiving(&greedy, MIB)).collect();
        assert_eq!(held.len(), 7, "half of the budget");
        assert!(admission.try_reserve_receiving(&turn("other", Class::Request), 7 * MIB).is_some());
        admission.reserve_small_body(&turn("greedy", Class::Request), MIB).now_or_never().expect("no waiting").unwrap();
    }

    #[tokio::test]
    async fn imports_hold_half_and_move_to_processing_once_complete() {
        for spills in [true, false] {
            let admission = admission(spills);
            let (ann, bob) = (turn("ann", Class::Import), turn("bob", Class::Import));
            // A compressed response may need more than the receiving budget.
            let first = admission.reserve_import(&ann, 20 * MIB, Duration::from_secs(1)).await.unwrap();
            assert!(admission.reserve_import(&bob, MIB, Duration::from_millis(10)).await.is_err());
            let file = admission.reserve_imported_file(&ann, first, 10 * MIB).await.unwrap();
            assert_eq!(admission.body_usage().in_use_bytes, if spills { 10 } else { 20 } * MIB);
            drop(file);
            assert_eq!(admission.body_usage().in_use_bytes, 0);
        }
    }

    #[tokio::test]
    async fn without_a_disk_one_budget_serves_all_and_no_caller_holds_all_of_it() {
        let admission = admission(false);
        let totals = (admission.receiving_usage().total_bytes, admission.body_usage().total_bytes);
        assert_eq!(totals, (2 * MIB, 32 * MIB), "excluding the budget for small bodies");
        let greedy = turn("greedy", Class::Request);
        let held = admission.reserve_file(&greedy, 10 * MIB).await.unwrap();
        assert!(matches!(admission.reserve_file(&greedy, 10 * MIB).await, Err(Error::Overloaded { .. })));
        admission.reserve_file(&turn("other", Class::Request), 10 * MIB).await.unwrap();
        drop(held);
    }
}

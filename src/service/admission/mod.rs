//! Admission: memory is reserved before it is used, so that a burst ends in waiting and then in 503, never in a crash.
//!
//! There are three budgets, each a [`FairQueue`], so that callers take turns. Bodies that are arriving hold memory for what has
//! arrived (`receiving.rs`). Bodies that are whole, and pictures that are made, hold memory until they are stored. Decoding holds
//! memory, by what the picture's header says, and a thread.
//!
//! They are apart because of who may wait while holding what. A body is as slow as its client, so those that are arriving
//! must not hold what those that are whole wait for. And bodies that wait for decoding, holding what decoding needs, would wait for
//! ever. The order is receiving, processing, decoding; nobody waits for one of them while holding a later one.

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

/// Of what there is for arriving bodies, this part is for those that are no uploads.
const SMALL_BODIES_SHARE: u64 = 8;

/// What any picture within the default limits needs at most.
const ALWAYS_DECODED_BYTES: u64 = 256 << 20;

/// What there is to share.
#[derive(Debug, Clone, Copy)]
pub struct Budgets {
    pub upload_memory_bytes: u64,
    /// Must be processed, whatever half of the memory is.
    pub largest_file_bytes: u64,
    /// Whether bodies for which there is no memory go to disk.
    pub spills: bool,
    pub decode_memory_bytes: u64,
    pub decode_threads: usize,
    /// How long a request waits.
    pub wait: Duration,
}

#[derive(Debug)]
pub struct Admission {
    /// `None` if bodies are not spilled to disk: then whoever sends one holds memory for all of it, as there is no other place for
    /// what does not fit.
    receiving: Option<FairQueue>,
    /// For bodies that are short and no uploads: slow uploads must not keep them out.
    small_bodies: FairQueue,
    processing: FairQueue,
    decoding: FairQueue,
    activity: Arc<DecodeActivity>,
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
    _activity: ActiveDecode,
}

/// What is in use of what there is, in bytes.
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
            // Slow clients hold it, too, so that nobody may have all.
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

    /// Whether memory for bodies is reserved as they arrive, and not for the whole before.
    pub fn reserves_in_steps(&self) -> bool {
        self.receiving.is_some()
    }

    fn receiving(&self) -> &FairQueue {
        self.receiving.as_ref().unwrap_or(&self.processing)
    }

    /// Memory for what arrives, if there is some.
    pub(super) fn try_reserve_receiving(&self, turn: &Turn, bytes: u64) -> Option<Permit> {
        self.receiving().try_acquire(turn, Amount::bytes(bytes))
    }

    /// Waits, however long, for memory for what arrives.
    pub(super) async fn reserve_receiving(&self, turn: &Turn, bytes: u64) -> Permit {
        self.receiving().acquire(turn, Amount::bytes(bytes)).await
    }

    /// Waits for memory for a body of up to `bytes` that is no upload.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn reserve_small_body(&self, turn: &Turn, bytes: u64) -> Result<Permit, Error> {
        self.with_timeout(self.small_bodies.acquire(turn, Amount::bytes(bytes))).await
    }

    /// Waits for memory for a file of up to `bytes`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn reserve_file(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let started = Instant::now();
        let _memory = self.with_timeout(self.processing.acquire(turn, Amount::bytes(bytes))).await?;
        Ok(Admitted { turn: turn.clone(), waited: started.elapsed(), _memory })
    }

    /// As [`Admission::reserve_file`], but without waiting: for those who hold what others wait for.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none.
    pub fn try_reserve_file(&self, turn: &Turn, bytes: u64) -> Result<Admitted, Error> {
        let taken = self.processing.try_acquire(turn, Amount::bytes(bytes));
        let _memory = taken.ok_or_else(|| overloaded(self.wait))?;
        Ok(Admitted { turn: turn.clone(), waited: Duration::ZERO, _memory })
    }

    /// Waits for up to `patience` for memory for what a foreign server is about to send, up to `bytes`. All of them together
    /// hold half of what there is for bodies that are arriving.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
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

    /// Waits for memory for a file that has arrived from a foreign server and is `bytes` long.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn reserve_imported_file(&self, turn: &Turn, admitted: AdmittedImport, bytes: u64) -> Result<Admitted, Error> {
        let AdmittedImport { waited, receiving, excess } = admitted;
        if !self.reserves_in_steps() {
            return Ok(Admitted { turn: turn.clone(), waited, _memory: receiving });
        }
        // Whoever holds memory of this budget does not wait for more of it.
        drop(excess);
        let admitted = self.reserve_file(turn, bytes).await?;
        drop(receiving);
        Ok(Admitted { waited: waited + admitted.waited, ..admitted })
    }

    /// Bytes that an upload's picture may need for decoding. A budget below `ALWAYS_DECODED_BYTES` is exceeded by a picture
    /// that needs more, which is decoded alone then.
    pub fn max_decode_bytes(&self) -> u64 {
        self.decoding.total().bytes.max(ALWAYS_DECODED_BYTES)
    }

    /// Waits for room and a thread to decode a picture that needs `weight_bytes`. One that needs more than the whole
    /// budget takes all of it, and so is decoded alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none in time.
    pub async fn reserve_decode(&self, turn: &Turn, weight_bytes: u64) -> Result<DecodeSlot, Error> {
        let _permit = self.with_timeout(self.decoding.acquire(turn, Amount { bytes: weight_bytes, slots: 1 })).await?;
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

    /// Of all bodies: those that are arriving, and those that are whole.
    pub fn body_usage(&self) -> BudgetUsage {
        let (receiving, processing) = (self.receiving_usage(), BudgetUsage::of(&self.processing));
        BudgetUsage {
            in_use_bytes: receiving.in_use_bytes + processing.in_use_bytes,
            total_bytes: receiving.total_bytes + processing.total_bytes,
        }
    }

    /// Of bodies that are arriving.
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
    /// [`Error::Overloaded`] when it takes longer than a request is kept waiting.
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
    async fn sixty_who_want_other_sizes_leave_a_thread_and_memory_to_uploads() {
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
    async fn bodies_that_arrive_hold_nothing_that_those_that_are_whole_wait_for() {
        let admission = admission(true);
        let arriving: Vec<_> = (0..7)
            .map(|number| admission.try_reserve_receiving(&turn(&format!("slow{number}"), Class::Request), 2 * MIB).unwrap())
            .collect();
        assert!(admission.try_reserve_receiving(&turn("late", Class::Request), 1).is_none());
        admission.reserve_file(&turn("whole", Class::Request), 10 * MIB).now_or_never().expect("no waiting").unwrap();
        drop(arriving);
        let greedy = turn("greedy", Class::Request);
        let held: Vec<_> = std::iter::from_fn(|| admission.try_reserve_receiving(&greedy, MIB)).collect();
        assert_eq!(held.len(), 7, "half of what there is");
        assert!(admission.try_reserve_receiving(&turn("other", Class::Request), 7 * MIB).is_some());
        admission.reserve_small_body(&turn("greedy", Class::Request), MIB).now_or_never().expect("no waiting").unwrap();
    }

    #[tokio::test]
    async fn imports_hold_half_and_go_on_to_processing_when_they_have_come() {
        for spills in [true, false] {
            let admission = admission(spills);
            let (ann, bob) = (turn("ann", Class::Import), turn("bob", Class::Import));
            // What is compressed may need more than there is for arriving bodies.
            let first = admission.reserve_import(&ann, 20 * MIB, Duration::from_secs(1)).await.unwrap();
            assert!(admission.reserve_import(&bob, MIB, Duration::from_millis(10)).await.is_err());
            let file = admission.reserve_imported_file(&ann, first, 10 * MIB).await.unwrap();
            assert_eq!(admission.body_usage().in_use_bytes, if spills { 10 } else { 20 } * MIB);
            drop(file);
            assert_eq!(admission.body_usage().in_use_bytes, 0);
        }
    }

    #[tokio::test]
    async fn without_a_disk_there_is_one_budget_and_nobody_has_all_of_it() {
        let admission = admission(false);
        let totals = (admission.receiving_usage().total_bytes, admission.body_usage().total_bytes);
        assert_eq!(totals, (2 * MIB, 32 * MIB), "beside what is for small_bodies");
        let greedy = turn("greedy", Class::Request);
        let held = admission.reserve_file(&greedy, 10 * MIB).await.unwrap();
        assert!(matches!(admission.reserve_file(&greedy, 10 * MIB).await, Err(Error::Overloaded { .. })));
        admission.reserve_file(&turn("other", Class::Request), 10 * MIB).await.unwrap();
        drop(held);
    }
}

//! The model inside the process, on threads of its own that give way to everything else.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
use thread_priority::{set_thread_priority_and_policy, thread_native_id, thread_schedule_policy};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::blip::{self, Blip};
use super::{Error, OpenError, Others, Pixels};

#[derive(Debug)]
pub(super) struct Local {
    model: Blip,
    threads: rayon::ThreadPool,
    /// One at a time: threads that wait for a part of one caption would begin another, and be charged for it.
    turn: Arc<Semaphore>,
}

/// While others are at work, a thread rests so many times as long as it has worked.
const REST: u32 = 99;

/// How often a thread that rests looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

impl Local {
    /// `threads` of 0 is one for each processor.
    pub fn open(folder: &Path, threads: usize) -> Result<Self, OpenError> {
        let model = Blip::open(folder)?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("caption-{number}"))
            .start_handler(|_| give_way())
            .build();
        let threads = threads.map_err(|error| OpenError::Threads(error.into()))?;
        Ok(Self { model, threads, turn: Arc::new(Semaphore::new(1)) })
    }

    pub fn side(&self) -> u32 {
        self.model.image_size()
    }

    /// Runs on threads of its own; they stop soon after `stop`, or when the caption has had `timeout` of a processor. By the clock
    /// it may take as long as everything else has the processors.
    pub async fn caption(
        self: &Arc<Self>,
        pixels: Pixels,
        timeout: Duration,
        stop: &CancellationToken,
        others: &Others,
    ) -> Result<String, Error> {
        let turn = tokio::select! {
            turn = Arc::clone(&self.turn).acquire_owned() => turn.map_err(|error| Error::Internal(error.to_string()))?,
            () = stop.cancelled() => return Err(Error::Stopped),
        };
        let (answer, answered) = oneshot::channel();
        let (local, stop, others) = (Arc::clone(self), stop.clone(), Arc::clone(others));
        self.threads.spawn(move || {
            // Nobody waits any more when the service has stopped.
            drop(answer.send(local.caption_here(&pixels, timeout, &stop, &others)));
            drop(turn);
        });
        answered.await.unwrap_or_else(|_| Err(Error::Internal("a caption ended without an answer".to_owned())))
    }

    fn caption_here(
        &self,
        pixels: &Pixels,
        timeout: Duration,
        stop: &CancellationToken,
        others: &Others,
    ) -> Result<String, Error> {
        let (this, started, late) = (std::thread::current().id(), cpu_time(), AtomicBool::new(false));
        let is_over = || {
            rest(|| !stop.is_cancelled() && others());
            // Others work for a part of the time, and are asked on their own threads.
            if std::thread::current().id() == this && cpu_time().saturating_sub(started) >= timeout {
                late.store(true, Ordering::Relaxed);
            }
            late.load(Ordering::Relaxed) || stop.is_cancelled()
        };
        let picture = blip::Picture { width: pixels.width, height: pixels.height, rgb: &pixels.rgb };
        // A panic would end the process: the pool's threads have nobody else to tell.
        match catch_unwind(AssertUnwindSafe(|| self.model.caption(picture, &is_over))) {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(blip::CaptionError::Stopped)) if stop.is_cancelled() => Err(Error::Stopped),
            Ok(Err(blip::CaptionError::Stopped)) => Err(Error::TimedOut),
            Ok(Err(error)) => Err(Error::Internal(error.to_string())),
            Err(_) => Err(Error::Internal("the model panicked".to_owned())),
        }
    }
}

/// Sleeps for [`REST`] times as long as this thread has worked since it was here last, as long as it is to.
fn rest(is_to: impl Fn() -> bool) {
    thread_local!(static SEEN: Cell<Duration> = const { Cell::new(Duration::ZERO) });
    let worked = cpu_time().saturating_sub(SEEN.get());
    let until = Instant::now() + worked * REST;
    while Instant::now() < until && is_to() {
        std::thread::sleep(LOOK);
    }
    SEEN.set(cpu_time());
}

/// What this thread has had of a processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Puts this thread into the class that Linux keeps for what may wait (`SCHED_IDLE`): whatever else wakes up has the processor at once.
/// A thread that is merely nice is not interrupted so soon. Neither is enough by itself: what runs where nobody wants the processor
/// still takes caches, memory and the clock's rate from those beside it, hence [`rest`].
fn give_way() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    // Afterwards it sets the niceness, of which the class knows none, to 0; a service that was started with `nice` may not.
    if let Err(error) = set
        && thread_schedule_policy() != Ok(idle)
    {
        tracing::warn!("captions are made at the same priority as everything else: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn local() -> Arc<Local> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captions/drawings");
        Arc::new(Local::open(&folder, 2).unwrap())
    }

    fn pixels() -> Pixels {
        Pixels { width: 2, height: 2, rgb: vec![90; 12] }
    }

    #[tokio::test]
    async fn it_goes_on_when_the_others_are_done() {
        let (local, asked) = (local(), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&asked);
        let others: Others = Arc::new(move || seen.fetch_add(1, Ordering::Relaxed) < 3);
        let never = CancellationToken::new();
        let rested = local.caption(pixels(), Duration::from_secs(60), &never, &others).await.unwrap();
        assert!(asked.load(Ordering::Relaxed) > 3);
        let alone: Others = Arc::new(|| false);
        assert_eq!(local.caption(pixels(), Duration::from_secs(60), &never, &alone).await.unwrap(), rested);
    }

    #[tokio::test]
    async fn others_that_never_end_leave_it_a_part_and_stopping_it_does_not_wait_for_them() {
        let (local, busy) = (local(), Arc::new(|| true) as Others);
        let stop = CancellationToken::new();
        local.caption(pixels(), Duration::from_secs(60), &stop, &busy).await.unwrap();
        stop.cancel();
        let stopped = local.caption(pixels(), Duration::from_secs(60), &stop, &busy).await;
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    }

    #[tokio::test]
    async fn what_takes_more_of_a_processor_than_it_may_is_late() {
        let alone: Others = Arc::new(|| false);
        let late = local().caption(pixels(), Duration::ZERO, &CancellationToken::new(), &alone).await;
        assert!(matches!(late, Err(Error::TimedOut)), "{late:?}");
    }
}

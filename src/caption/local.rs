//! The local model. It runs on its own threads, which yield to all other work.

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
use super::{Error, OpenError, Pixels, PriorityWork};

#[derive(Debug)]
pub(super) struct Local {
    model: Blip,
    threads: rayon::ThreadPool,
    /// One caption at a time: a thread that waits for part of one caption would start another, which would count as its CPU time.
    slot: Arc<Semaphore>,
}

/// During priority work, a thread sleeps this many times as long as it has worked.
const REST_FACTOR: u32 = 99;

/// How often a sleeping thread checks whether the priority work is done.
const REST_POLL: Duration = Duration::from_millis(5);

impl Local {
    /// Opens the model in a directory. `threads` is the number of threads; 0 means one per processor.
    pub fn open(folder: &Path, threads: usize) -> Result<Self, OpenError> {
        let model = Blip::open(folder)?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("caption-{number}"))
            .start_handler(|_| set_idle_priority())
            .build();
        let threads = threads.map_err(|error| OpenError::Threads(error.into()))?;
        Ok(Self { model, threads, slot: Arc::new(Semaphore::new(1)) })
    }

    pub fn side(&self) -> u32 {
        self.model.image_size()
    }

    /// Creates a caption on the model's threads. They stop soon after `stop`, or when one has used `timeout` of CPU time. There
    /// is no limit on wall-clock time: other work may occupy the processors for any time.
    pub async fn caption(
        self: &Arc<Self>,
        pixels: Pixels,
        timeout: Duration,
        stop: &CancellationToken,
        priority_work: &PriorityWork,
    ) -> Result<String, Error> {
        let slot = tokio::select! {
            slot = Arc::clone(&self.slot).acquire_owned() => slot.map_err(|error| Error::Internal(error.to_string()))?,
            () = stop.cancelled() => return Err(Error::Stopped),
        };
        let (sender, receiver) = oneshot::channel();
        let (local, stop, priority_work) = (Arc::clone(self), stop.clone(), Arc::clone(priority_work));
        self.threads.spawn(move || {
            // Sending fails if the service has stopped meanwhile.
            drop(sender.send(local.caption_blocking(&pixels, timeout, &stop, &priority_work)));
            drop(slot);
        });
        receiver.await.unwrap_or_else(|_| Err(Error::Internal("the caption thread stopped without a result".to_owned())))
    }

    fn caption_blocking(
        &self,
        pixels: &Pixels,
        timeout: Duration,
        stop: &CancellationToken,
        priority_work: &PriorityWork,
    ) -> Result<String, Error> {
        let (this, started, late) = (std::thread::current().id(), cpu_time(), AtomicBool::new(false));
        let should_stop = || {
            rest(|| !stop.is_cancelled() && priority_work());
            // The model calls this on its other threads too. They work only part of the time, so their CPU time does not count.
            if std::thread::current().id() == this && cpu_time().saturating_sub(started) >= timeout {
                late.store(true, Ordering::Relaxed);
            }
            late.load(Ordering::Relaxed) || stop.is_cancelled()
        };
        let image = blip::RgbImage { width: pixels.width, height: pixels.height, rgb: &pixels.rgb };
        // rayon aborts the process if a spawned closure panics.
        match catch_unwind(AssertUnwindSafe(|| self.model.caption(image, &should_stop))) {
            Ok(Ok(caption)) => Ok(caption),
            Ok(Err(blip::CaptionError::Stopped)) if stop.is_cancelled() => Err(Error::Stopped),
            Ok(Err(blip::CaptionError::Stopped)) => Err(Error::TimedOut),
            Ok(Err(error)) => Err(Error::Internal(error.to_string())),
            Err(_) => Err(Error::Internal("the model panicked".to_owned())),
        }
    }
}

/// Sleeps [`REST_FACTOR`] times as long as this thread has worked since the last call, but only while `must_rest` returns true.
fn rest(must_rest: impl Fn() -> bool) {
    thread_local!(static LAST_CPU_TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) });
    let worked = cpu_time().saturating_sub(LAST_CPU_TIME.get());
    let until = Instant::now() + worked * REST_FACTOR;
    while Instant::now() < until && must_rest() {
        std::thread::sleep(REST_POLL);
    }
    LAST_CPU_TIME.set(cpu_time());
}

/// Returns this thread's CPU time.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Sets this thread's scheduling class to `SCHED_IDLE`, so that any other thread that wakes up preempts it immediately, which a
/// high niceness alone does not achieve. That is not enough: a thread on an idle processor still competes with its neighbours for
/// caches, memory bandwidth and clock frequency, hence [`rest`].
fn set_idle_priority() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    // The call also sets the niceness to 0, which has no effect in this class but fails if the service was started with `nice`.
    if let Err(error) = set
        && thread_schedule_policy() != Ok(idle)
    {
        tracing::warn!("cannot lower the priority of captioning, which may slow down requests: {error}");
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
    async fn captioning_continues_after_priority_work() {
        let (local, calls) = (local(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&calls);
        let priority_work: PriorityWork = Arc::new(move || counter.fetch_add(1, Ordering::Relaxed) < 3);
        let never = CancellationToken::new();
        let rested = local.caption(pixels(), Duration::from_secs(60), &never, &priority_work).await.unwrap();
        assert!(calls.load(Ordering::Relaxed) > 3);
        let alone: PriorityWork = Arc::new(|| false);
        assert_eq!(local.caption(pixels(), Duration::from_secs(60), &never, &alone).await.unwrap(), rested);
    }

    #[tokio::test]
    async fn endless_priority_work_leaves_some_time_for_captions_and_does_not_delay_stopping() {
        let (local, busy) = (local(), Arc::new(|| true) as PriorityWork);
        let stop = CancellationToken::new();
        local.caption(pixels(), Duration::from_secs(60), &stop, &busy).await.unwrap();
        stop.cancel();
        let stopped = local.caption(pixels(), Duration::from_secs(60), &stop, &busy).await;
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    }

    #[tokio::test]
    async fn a_caption_times_out_by_cpu_time() {
        let alone: PriorityWork = Arc::new(|| false);
        let late = local().caption(pixels(), Duration::ZERO, &CancellationToken::new(), &alone).await;
        assert!(matches!(late, Err(Error::TimedOut)), "{late:?}");
    }
}

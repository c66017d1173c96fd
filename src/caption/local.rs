//! The model inside the process, on threads of its own that give way to everything else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::blip::{self, Blip};
use super::{Error, OpenError, Pixels};

#[derive(Debug)]
pub(super) struct Local {
    model: Blip,
    threads: rayon::ThreadPool,
}

/// The lowest there is. Where the processors are busy such a thread still gets a little, and others wait for it to be interrupted.
const NICENESS: i32 = 19;

impl Local {
    /// `threads` of 0 is one for each processor.
    pub fn open(folder: &Path, threads: usize) -> Result<Self, OpenError> {
        let model = Blip::open(folder)?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("caption-{number}"))
            .start_handler(|_| give_way())
            .build();
        Ok(Self { model, threads: threads.map_err(|error| OpenError::Threads(error.into()))? })
    }

    pub fn side(&self) -> u32 {
        self.model.image_size()
    }
}

/// Runs on the threads of `local`; they stop soon after `stop`, or when the caption has taken `timeout` of a processor. By the clock
/// it may take as long as everything else has the processors.
pub(super) async fn caption(
    local: &Arc<Local>,
    pixels: Pixels,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<String, Error> {
    let (answer, answered) = oneshot::channel();
    let (worker, stop) = (Arc::clone(local), stop.clone());
    local.threads.spawn(move || {
        let (this, started, late) = (std::thread::current().id(), cpu_time(), AtomicBool::new(false));
        let is_over = || {
            // Others work for a part of the time, and are asked on their own threads.
            if std::thread::current().id() == this && cpu_time().saturating_sub(started) >= timeout {
                late.store(true, Ordering::Relaxed);
            }
            late.load(Ordering::Relaxed) || stop.is_cancelled()
        };
        let picture = blip::Picture { width: pixels.width, height: pixels.height, rgb: &pixels.rgb };
        // A panic would end the process: the pool's threads have nobody else to tell.
        let said = catch_unwind(AssertUnwindSafe(|| worker.model.caption(picture, &is_over)));
        let said = match said {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(blip::CaptionError::Stopped)) if stop.is_cancelled() => Err(Error::Stopped),
            Ok(Err(blip::CaptionError::Stopped)) => Err(Error::TimedOut),
            Ok(Err(error)) => Err(Error::Internal(error.to_string())),
            Err(_) => Err(Error::Internal("the model panicked".to_owned())),
        };
        // Nobody waits any more when the service has stopped.
        drop(answer.send(said));
    });
    answered.await.unwrap_or_else(|_| Err(Error::Internal("a caption ended without an answer".to_owned())))
}

/// What this thread has had of a processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Lowers the priority of this thread alone, as Linux does it.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "captions are made at the same priority as everything else");
    }
}

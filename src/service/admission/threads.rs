//! Threads for CPU-intensive work.
//!
//! Uploads, for which clients wait most, use the blocking threads of the runtime. All other work has lower priority. On Linux it
//! runs on threads with a higher nice value: they use idle processor time, and beside each busy thread a tenth of its share.

use tokio::sync::oneshot;

use crate::service::error::Error;

/// The priority of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Normal,
    Low,
}

/// Added to the nice value of low-priority threads. By the weights of Linux's scheduler they get a tenth of the share of a normal
/// one.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Runs work that would block the runtime. It runs to completion even if the caller stops waiting; callers limit the number of
/// concurrent calls.
///
/// # Errors
/// The work panicked, or no thread can be started.
pub async fn run<T: Send + 'static>(priority: Priority, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    match priority {
        Priority::Normal => tokio::task::spawn_blocking(work).await.map_err(Error::internal),
        Priority::Low => {
            let (answer, answered) = oneshot::channel();
            // The threads of the runtime serve all requests, and a thread cannot raise its own priority again.
            let thread = std::thread::Builder::new().name("low-priority".to_owned()).spawn(move || {
                lower_priority();
                // This fails if the caller has stopped waiting.
                drop(answer.send(work()));
            });
            thread.map_err(|error| Error::internal(format!("failed to start a thread: {error}")))?;
            answered.await.map_err(|_| Error::internal("work on a low-priority thread panicked"))
        }
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "failed to lower the priority of a thread");
    }
}

/// On other systems the nice value applies to the whole process.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_completes_with_any_priority() {
        for priority in [Priority::Normal, Priority::Low] {
            assert_eq!(run(priority, || 7).await.unwrap(), 7);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        for priority in [Priority::Normal, Priority::Low] {
            assert!(matches!(run(priority, || panic!("on purpose")).await, Err(Error::Internal(_))));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn low_priority_applies_to_the_thread_only() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        assert_eq!(run(Priority::Low, niceness).await.unwrap(), (before + NICENESS).min(19));
        assert_eq!((run(Priority::Normal, niceness).await.unwrap(), niceness()), (before, before));
    }
}

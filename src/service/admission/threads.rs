//! Threads for work that keeps a processor busy for a while.
//!
//! What clients wait for most, uploads, has the runtime's own threads. All else gives way to it: on Linux it is done by threads that
//! are nice, so that it takes what the others leave, and beside each that is busy a tenth of what that one has.

use tokio::sync::oneshot;

use crate::service::error::Error;

/// The priority of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Normal,
    Low,
}

/// Added to the niceness of a thread of low priority. By the weights of Linux's scheduler it then has a tenth of what another one has.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Runs work that would block the runtime. It runs to completion even if the caller stops waiting; callers limit how much of it
/// runs at once.
///
/// # Errors
/// It panicked, or there are no more threads.
pub async fn run<T: Send + 'static>(priority: Priority, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    match priority {
        Priority::Normal => tokio::task::spawn_blocking(work).await.map_err(Error::internal),
        Priority::Low => {
            let (answer, answered) = oneshot::channel();
            // The runtime's threads serve everybody, and a thread cannot raise its own priority again.
            let thread = std::thread::Builder::new().name("low-priority".to_owned()).spawn(move || {
                lower_priority();
                // Nobody waits any more when this fails.
                drop(answer.send(work()));
            });
            thread.map_err(|error| Error::internal(format!("a thread cannot be started: {error}")))?;
            answered.await.map_err(|_| Error::internal("work on a thread of low priority came to no end"))
        }
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Elsewhere the whole process would be nice.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_whatever_its_priority() {
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
    async fn low_priority_is_the_threads_own() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        assert_eq!(run(Priority::Low, niceness).await.unwrap(), (before + NICENESS).min(19));
        assert_eq!((run(Priority::Normal, niceness).await.unwrap(), niceness()), (before, before));
    }
}

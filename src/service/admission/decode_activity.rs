//! Whether images are being decoded.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// Tracks whether images are being decoded. Lock-free, because low-priority readers must not delay the decoding threads.
#[derive(Debug)]
pub struct DecodeActivity {
    decoding: AtomicUsize,
    /// When decoding last finished, in milliseconds since `start`.
    last_ended: AtomicU64,
    start: Instant,
}

/// A running decode; finished when dropped.
#[derive(Debug)]
pub(super) struct ActiveDecode(Arc<DecodeActivity>);

/// Longer than the gap between two consecutive images.
const LINGER: Duration = Duration::from_millis(50);

impl DecodeActivity {
    pub(super) fn new() -> Self {
        Self { decoding: AtomicUsize::new(0), last_ended: AtomicU64::new(0), start: Instant::now() }
    }

    /// Returns whether images are being decoded, or were within the last 50 ms.
    pub fn is_busy(&self) -> bool {
        let ended = Duration::from_millis(self.last_ended.load(Relaxed));
        self.decoding.load(Relaxed) > 0 || (!ended.is_zero() && self.start.elapsed().saturating_sub(ended) < LINGER)
    }

    pub(super) fn begin(self: &Arc<Self>) -> ActiveDecode {
        self.decoding.fetch_add(1, Relaxed);
        ActiveDecode(Arc::clone(self))
    }
}

impl Drop for ActiveDecode {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ended.store(now.max(1), Relaxed);
        self.0.decoding.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_activity_outlasts_decoding_by_a_moment() {
        let activity = Arc::new(DecodeActivity::new());
        assert!(!activity.is_busy());
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert!(activity.is_busy());
        std::thread::sleep(2 * LINGER);
        assert!(activity.is_busy(), "the second is still running");
        drop(second);
        std::thread::sleep(2 * LINGER);
        assert!(!activity.is_busy());
    }
}

//! Whether images are being decoded.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// Whether pictures are being decoded. Without locks: those who ask have the lowest priority, and would keep the others waiting.
#[derive(Debug)]
pub struct DecodeActivity {
    decoding: AtomicUsize,
    /// When it last ended, in milliseconds since `start`.
    last_ended: AtomicU64,
    start: Instant,
}

/// One of those that are being decoded; over when dropped.
#[derive(Debug)]
pub(super) struct ActiveDecode(Arc<DecodeActivity>);

/// Between two pictures there is no more than this, where one follows the other.
const LINGER: Duration = Duration::from_millis(50);

impl DecodeActivity {
    pub(super) fn new() -> Self {
        Self { decoding: AtomicUsize::new(0), last_ended: AtomicU64::new(0), start: Instant::now() }
    }

    /// Whether pictures are being decoded, or were a moment ago.
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
    fn decoding_is_told_until_a_moment_after_its_end() {
        let activity = Arc::new(DecodeActivity::new());
        assert!(!activity.is_busy());
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert!(activity.is_busy());
        std::thread::sleep(2 * LINGER);
        assert!(activity.is_busy(), "the second goes on");
        drop(second);
        std::thread::sleep(2 * LINGER);
        assert!(!activity.is_busy());
    }
}

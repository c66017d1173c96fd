//! Logging of repeated failures: the first is logged immediately, and after that their number once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a persistent failure is logged.
const PERIOD: Duration = Duration::from_secs(60);

/// Failures that are tracked. Beyond this number each one is logged every time.
const MAX_FAILURES: usize = 100;

/// The failures that were logged, by their text.
#[derive(Debug, Default)]
pub struct RepeatedFailures(Mutex<HashMap<String, Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    repeats: u64,
}

impl RepeatedFailures {
    /// Logs a failure, unless it was logged within the last minute. `sentence` ends with the cause.
    pub fn warn(&self, sentence: String) {
        if self.is_new(&sentence, Instant::now()) {
            tracing::warn!("{sentence}");
        }
    }

    fn is_new(&self, sentence: &str, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(logged) = logged.get_mut(sentence) {
            logged.repeats += 1;
            return false;
        }
        if logged.len() < MAX_FAILURES {
            logged.insert(sentence.to_owned(), Logged { at: now, repeats: 0 });
        }
        true
    }

    /// Logs how often failures were repeated, a minute after they were last logged. Must be called regularly.
    pub fn log_repeats(&self) {
        for (sentence, repeats) in self.take_due(Instant::now()) {
            let times = if repeats == 1 { "1 more time".to_owned() } else { format!("{repeats} more times") };
            tracing::warn!("{times} within {} seconds: {sentence}", PERIOD.as_secs());
        }
    }

    /// Returns the failures to log. One that was not repeated is removed.
    fn take_due(&self, now: Instant) -> Vec<(String, u64)> {
        let mut due = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|sentence, logged| {
            if now - logged.at < PERIOD {
                return true;
            }
            if logged.repeats == 0 {
                return false;
            }
            due.push((sentence.clone(), logged.repeats));
            *logged = Logged { at: now, repeats: 0 };
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_logged_immediately_and_then_as_a_count() {
        let (repeated, start) = (RepeatedFailures::default(), Instant::now());
        assert!(repeated.is_new("down", start) && !repeated.is_new("down", start) && repeated.is_new("full", start));
        let nearly = start + PERIOD - Duration::from_millis(1);
        assert!(!repeated.is_new("down", nearly) && repeated.take_due(nearly).is_empty());
        assert_eq!(repeated.take_due(start + PERIOD), [("down".to_owned(), 2)]);
        let later = start + PERIOD;
        assert!(!repeated.is_new("down", later) && repeated.is_new("full", later), "only one of them continued");
        assert_eq!(repeated.take_due(start + 2 * PERIOD), [("down".to_owned(), 1)]);
        assert!(repeated.take_due(start + 3 * PERIOD).is_empty());
        assert!(repeated.is_new("down", start + 3 * PERIOD), "it was over, and starts again");
    }

    #[test]
    fn the_number_of_tracked_failures_is_bounded() {
        let (repeated, now) = (RepeatedFailures::default(), Instant::now());
        (0..2 * MAX_FAILURES).for_each(|number| assert!(repeated.is_new(&number.to_string(), now)));
        assert_eq!(repeated.0.lock().unwrap().len(), MAX_FAILURES);
        assert!(!repeated.is_new("0", now) && repeated.is_new("150", now));
    }
}

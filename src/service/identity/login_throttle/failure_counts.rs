//! A bounded table of failure counts, by the hash of the account, the address, or both.

use std::collections::HashMap;
use std::time::Duration;

/// How long failures are kept after their wait is over.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// The maximum number of keys.
pub(super) const MAX_ENTRIES: usize = 20_000;
/// The number of keys evicted when the table is full.
pub(super) const BATCH: usize = MAX_ENTRIES / 10;

#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Failures without a wait.
    pub free_failures: u32,
    pub longest_wait: Duration,
}

impl Rule {
    fn wait_after(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free_failures + 1) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_secs(1 << doublings.min(32)).min(self.longest_wait),
        }
    }
}

pub(super) struct FailureCounts {
    rule: Rule,
    entries: HashMap<u64, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    /// When the next attempt is allowed.
    free_at: Duration,
}

impl Entry {
    fn is_forgotten(&self, now: Duration) -> bool {
        now >= self.free_at + MEMORY
    }
}

impl FailureCounts {
    pub fn new(rule: Rule) -> Self {
        Self { rule, entries: HashMap::new() }
    }

    pub fn wait(&self, key: u64, now: Duration) -> Duration {
        self.entries.get(&key).map_or(Duration::ZERO, |entry| entry.free_at.saturating_sub(now))
    }

    pub fn forget(&mut self, key: u64) {
        self.entries.remove(&key);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a failure. Returns when the next attempt is allowed.
    pub fn add(&mut self, key: u64, now: Duration) -> Duration {
        let known = self.entries.get(&key).filter(|entry| !entry.is_forgotten(now));
        let failures = known.map_or(0, |entry| entry.failures).saturating_add(1);
        let free_at = now + self.rule.wait_after(failures);
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.evict(now);
        }
        self.entries.insert(key, Entry { failures, free_at });
        free_at
    }

    /// Removes one failure, and its wait until `free_at` unless a later failure has extended it.
    pub fn undo(&mut self, key: u64, free_at: Duration, now: Duration) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.failures = entry.failures.saturating_sub(1);
        if entry.free_at == free_at {
            entry.free_at = free_at.min(now);
        }
        if entry.failures == 0 {
            self.entries.remove(&key);
        }
    }

    /// Evicts a batch, so that not every insertion scans the table: the keys with the fewest failures first, of those the oldest.
    /// To have many failures evicted, an attacker must cause about as many for all other keys.
    fn evict(&mut self, now: Duration) {
        self.entries.retain(|_, entry| !entry.is_forgotten(now));
        let excess = self.entries.len().saturating_sub(MAX_ENTRIES - BATCH);
        if excess == 0 {
            return;
        }
        let mut ranks: Vec<_> = self.entries.iter().map(|(key, entry)| (entry.failures, entry.free_at, *key)).collect();
        ranks.select_nth_unstable(excess - 1);
        for (.., key) in &ranks[..excess] {
            self.entries.remove(key);
        }
    }
}

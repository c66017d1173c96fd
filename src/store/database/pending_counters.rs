//! The counter changes of a transaction, until it writes them.

use std::collections::BTreeMap;
use std::mem;

use super::sql::Sql;
use crate::model::counter::Counter;

/// The counter changes of a transaction. They are written at commit, all together and in one order, so that transactions cannot
/// deadlock on counters, and the busiest rows are locked for the shortest time.
#[derive(Debug, Default)]
pub(in crate::store) struct PendingCounters(BTreeMap<(Counter, u8), i64>);

/// Counters per statement: each binds four values, and databases accept some ten thousand.
const COUNTERS_PER_STATEMENT: usize = 1000;

impl PendingCounters {
    pub fn add(&mut self, slot: u8, changes: impl IntoIterator<Item = (Counter, i64)>) {
        for (counter, difference) in changes {
            *self.0.entry((counter, slot)).or_default() += difference;
        }
    }

    /// Returns the pending change of a counter, summed over its slots.
    pub fn difference(&self, counter: &Counter) -> i64 {
        self.0.iter().filter(|((pending, _), _)| pending == counter).map(|(_, difference)| difference).sum()
    }

    /// Returns the statements that write all pending changes, and forgets the changes.
    pub fn take_statements(&mut self) -> Vec<Sql> {
        let mut changes: Vec<_> = mem::take(&mut self.0).into_iter().collect();
        changes.retain(|(_, difference)| *difference != 0);
        changes.chunks(COUNTERS_PER_STATEMENT).map(statement).collect()
    }
}

fn statement(changes: &[((Counter, u8), i64)]) -> Sql {
    let mut sql = Sql::new("insert into counters (kind, key, slot, n, moves) values ");
    for (index, ((counter, slot), difference)) in changes.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.push_bind(counter.kind.name()).push(", ").push_bind(counter.key.as_str()).push(", ");
        sql.push_bind(*slot).push(", ").push_bind(*difference).push(", 1)");
    }
    sql.push(" on conflict (kind, key, slot) do update set n = counters.n + excluded.n, moves = counters.moves + 1");
    sql
}

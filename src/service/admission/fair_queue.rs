//! A queue for a scarce resource, such as memory or threads, in which no caller can starve the others.
//!
//! There is one lane per [`Class`] of work, and within a lane one queue per caller. Lanes take turns, callers within a lane take
//! turns, and the requests of one caller are served in order. So forty requests of one caller delay another caller's request by
//! one turn, not by forty.
//!
//! The waiter whose turn it is keeps it until enough is free: smaller requests do not overtake a larger one, so they cannot
//! starve it. Two limits are independent of turns: background classes hold at most half of the total per group, and a queue can
//! limit what one caller holds. A waiter at such a limit is skipped, so that it does not block the others.
//!
//! A request for more than the total takes all of it. A dropped future leaves the queue, and a dropped [`Permit`] releases what
//! it held.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::threads::Priority;
use crate::model::account::AccountId;
use crate::model::caller::{Caller, UserId};
use crate::service::identity::rate_limits::client_network;

/// The identity that takes turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TurnKey {
    /// A caller who has authenticated as the owner of this account.
    Account(AccountId),
    /// A user that a gateway or a job names.
    User(UserId),
    /// An anonymous caller: an IPv4 address, or an IPv6 /64.
    Network(IpAddr),
}

impl TurnKey {
    pub fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller.authenticated_user() {
            Some(user) => user.own_account().map_or_else(|| Self::User(user.id.clone()), |account| Self::Account(account.id)),
            None => Self::Network(client_network(address)),
        }
    }

    /// Returns whether the caller is unauthenticated.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Network(_))
    }
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Work that a client waits for: uploads, lists.
    Request,
    Import,
    /// Resizing for authenticated callers.
    Resize,
    /// Resizing for anonymous callers. However many there are, they delay an authenticated caller by one turn.
    AnonymousResize,
    /// Served only when no other waiter can be.
    Caption,
}

/// In the order of their turns. Captions, the last class, take no turns.
const CLASSES: [Class; 5] = [Class::Request, Class::Import, Class::Resize, Class::AnonymousResize, Class::Caption];
const ROUND_ROBIN_LANES: usize = CLASSES.len() - 1;

impl Class {
    /// Returns the class of resizing.
    pub fn of_resize(key: &TurnKey) -> Self {
        if key.is_anonymous() { Self::AnonymousResize } else { Self::Resize }
    }

    /// Returns the priority of the threads for this work: uploads get processors first.
    pub fn priority(self) -> Priority {
        if self == Self::Request { Priority::Normal } else { Priority::Low }
    }

    /// Returns the group that shares one half; requests may take everything.
    fn group(self) -> Option<usize> {
        match self {
            Self::Request => None,
            Self::Import => Some(0),
            Self::Resize | Self::AnonymousResize => Some(1),
            Self::Caption => Some(2),
        }
    }
}

const GROUPS: usize = 3;

/// A caller's place in the queue, for one class of work.
#[derive(Debug, Clone)]
pub struct Turn {
    pub key: TurnKey,
    pub class: Class,
}

impl Turn {
    pub fn new(key: TurnKey, class: Class) -> Self {
        Self { key, class }
    }
}

/// An amount of bytes or slots. A queue shares one of the two; the other is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub bytes: u64,
    pub slots: u64,
}

impl Amount {
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, slots: 0 }
    }

    pub fn slots(slots: u64) -> Self {
        Self { bytes: 0, slots }
    }

    fn half(self) -> Self {
        Self { bytes: self.bytes / 2, slots: self.slots.div_ceil(2) }
    }

    fn min(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), slots: self.slots.min(other.slots) }
    }

    fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), slots: self.slots.saturating_add(other.slots) }
    }

    fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), slots: self.slots.saturating_sub(other.slots) }
    }

    fn fits(self, room: Self) -> bool {
        self.bytes <= room.bytes && self.slots <= room.slots
    }
}

#[derive(Debug, Clone)]
pub struct FairQueue(Arc<Mutex<State>>);

/// An acquired amount; released when dropped.
#[derive(Debug)]
pub struct Permit {
    queue: FairQueue,
    turn: Turn,
    amount: Amount,
}

#[derive(Debug)]
struct State {
    total: Amount,
    free: Amount,
    /// The most that one key may hold.
    max_per_key: Amount,
    held_by_key: HashMap<TurnKey, Amount>,
    held_by_group: [Amount; GROUPS],
    lanes: [Lane; CLASSES.len()],
    /// The lane whose turn is next.
    next: usize,
    next_ticket: u64,
}

/// The waiters of a class. The key in front is next.
#[derive(Debug, Default)]
struct Lane {
    keys: VecDeque<TurnKey>,
    waiters: HashMap<TurnKey, VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    amount: Amount,
    granted: oneshot::Sender<Permit>,
}

/// A waiter's place in the queue; removed when dropped.
struct WaitGuard<'a> {
    queue: &'a FairQueue,
    turn: &'a Turn,
    ticket: u64,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.lanes[self.turn.class as usize].remove(&self.turn.key, self.ticket);
        // Others may have been waiting behind this waiter.
        state.serve(self.queue);
    }
}

impl FairQueue {
    pub fn new(total: Amount) -> Self {
        Self::with_max_per_key(total, total)
    }

    /// Creates a queue in which a key holds at most `max_per_key`, except by a single larger request.
    pub fn with_max_per_key(total: Amount, max_per_key: Amount) -> Self {
        Self(Arc::new(Mutex::new(State {
            total,
            free: total,
            max_per_key,
            held_by_key: HashMap::new(),
            held_by_group: [Amount::default(); GROUPS],
            lanes: Default::default(),
            next: 0,
            next_ticket: 0,
        })))
    }

    /// Creates a queue in which a key holds at most half.
    pub fn with_half_per_key(total: Amount) -> Self {
        Self::with_max_per_key(total, total.half())
    }

    /// Waits for `amount`, or for the total if that is less.
    pub async fn acquire(&self, turn: &Turn, amount: Amount) -> Permit {
        loop {
            // When this future is dropped, the guard leaves the queue first. Then a permit that was granted meanwhile is
            // released.
            let (mut receiver, _guard) = self.enqueue(turn, amount);
            if let Ok(permit) = (&mut receiver).await {
                return permit;
            }
        }
    }

    /// Acquires `amount` if it is free and no waiter is before.
    pub fn try_acquire(&self, turn: &Turn, amount: Amount) -> Option<Permit> {
        let (mut receiver, guard) = self.enqueue(turn, amount);
        drop(guard);
        receiver.try_recv().ok()
    }

    /// Adds a waiter, which may be served immediately.
    fn enqueue<'a>(&'a self, turn: &'a Turn, amount: Amount) -> (oneshot::Receiver<Permit>, WaitGuard<'a>) {
        let (granted, receiver) = oneshot::channel();
        let mut state = self.state();
        let (ticket, amount) = (state.next_ticket, amount.min(state.total));
        state.next_ticket += 1;
        state.lanes[turn.class as usize].add(&turn.key, Waiter { ticket, amount, granted });
        state.serve(self);
        (receiver, WaitGuard { queue: self, turn, ticket })
    }

    pub fn total(&self) -> Amount {
        self.state().total
    }

    /// Returns whether this key holds something.
    pub fn is_holding(&self, key: &TurnKey) -> bool {
        self.state().held_by_key.contains_key(key)
    }

    pub fn in_use(&self) -> Amount {
        let state = self.state();
        state.total.minus(state.free)
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.state().lanes.iter().flat_map(|lane| lane.waiters.values()).map(VecDeque::len).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Grants everything that can be granted now.
    fn serve(&mut self, queue: &FairQueue) {
        while let Some((lane, position)) = self.find_next() {
            let class = CLASSES[lane];
            let Some((key, waiter)) = self.lanes[lane].take(position) else { return };
            if lane < ROUND_ROBIN_LANES {
                self.next = (lane + 1) % ROUND_ROBIN_LANES;
            }
            let amount = waiter.amount;
            self.take(&key, class, amount);
            let permit = Permit { queue: queue.clone(), turn: Turn::new(key, class), amount };
            // A waiter leaves the queue before its receiver is dropped, so this should not fail. If it does, the permit must not
            // be dropped here, because its `Drop` would lock the queue again.
            if let Err(permit) = waiter.granted.send(permit) {
                self.release(&permit.turn, permit.amount);
                std::mem::forget(permit);
            }
        }
    }

    /// Finds the lane and the position of the next waiter, if enough is free for it.
    fn find_next(&self) -> Option<(usize, usize)> {
        let turns = (0..ROUND_ROBIN_LANES).map(|step| (self.next + step) % ROUND_ROBIN_LANES);
        for number in turns.chain(ROUND_ROBIN_LANES..CLASSES.len()) {
            let lane = &self.lanes[number];
            for (position, key) in lane.keys.iter().enumerate() {
                let Some(waiter) = lane.waiters.get(key).and_then(VecDeque::front) else { continue };
                if !self.group_may_acquire(CLASSES[number], waiter.amount) {
                    break;
                }
                if !self.key_may_acquire(key, waiter.amount) {
                    continue;
                }
                return waiter.amount.fits(self.free).then_some((number, position));
            }
        }
        None
    }

    fn group_may_acquire(&self, class: Class, amount: Amount) -> bool {
        class.group().is_none_or(|group| {
            let held = self.held_by_group[group];
            held == Amount::default() || held.plus(amount).fits(self.total.half())
        })
    }

    fn key_may_acquire(&self, key: &TurnKey, amount: Amount) -> bool {
        self.held_by_key.get(key).is_none_or(|held| *held == Amount::default() || held.plus(amount).fits(self.max_per_key))
    }

    fn take(&mut self, key: &TurnKey, class: Class, amount: Amount) {
        self.free = self.free.minus(amount);
        let held = self.held_by_key.entry(key.clone()).or_default();
        *held = held.plus(amount);
        if let Some(group) = class.group() {
            self.held_by_group[group] = self.held_by_group[group].plus(amount);
        }
    }

    fn release(&mut self, turn: &Turn, amount: Amount) {
        self.free = self.free.plus(amount);
        if let Some(held) = self.held_by_key.get_mut(&turn.key) {
            *held = held.minus(amount);
            if *held == Amount::default() {
                self.held_by_key.remove(&turn.key);
            }
        }
        if let Some(group) = turn.class.group() {
            self.held_by_group[group] = self.held_by_group[group].minus(amount);
        }
    }
}

impl Lane {
    fn add(&mut self, key: &TurnKey, waiter: Waiter) {
        if let Some(waiters) = self.waiters.get_mut(key) {
            waiters.push_back(waiter);
            return;
        }
        self.keys.push_back(key.clone());
        self.waiters.insert(key.clone(), VecDeque::from([waiter]));
    }

    /// Takes the first waiter of the key at `position`, and moves the key to the back.
    fn take(&mut self, position: usize) -> Option<(TurnKey, Waiter)> {
        let key = self.keys.remove(position)?;
        let waiters = self.waiters.get_mut(&key)?;
        let waiter = waiters.pop_front()?;
        if waiters.is_empty() {
            self.waiters.remove(&key);
        } else {
            self.keys.push_back(key.clone());
        }
        Some((key, waiter))
    }

    fn remove(&mut self, key: &TurnKey, ticket: u64) {
        let Some(waiters) = self.waiters.get_mut(key) else { return };
        waiters.retain(|waiter| waiter.ticket != ticket);
        if waiters.is_empty() {
            self.waiters.remove(key);
            self.keys.retain(|other| other != key);
        }
    }
}

impl Permit {
    /// Takes over what another permit of the same queue and turn holds.
    pub fn absorb(&mut self, mut other: Self) {
        self.amount = self.amount.plus(std::mem::take(&mut other.amount));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.release(&self.turn, self.amount);
        state.serve(&self.queue);
    }
}

#[cfg(test)]
mod tests;

//! Something scarce, such as memory or threads, shared so that no caller can keep it from the others.
//!
//! Waiters stand in one lane for each [`Class`] of work, and in a lane each caller has a queue of its own. The lanes take turns,
//! in a lane the callers take turns, and a caller's own requests are served first come, first served. So forty requests of
//! one caller delay a request of another by one turn, not by forty.
//!
//! Whoever has the turn keeps it until there is enough: smaller requests do not overtake a larger one and so cannot starve it.
//! Two bounds are no matter of turns. Background classes hold at most half of everything together with their group, and a queue
//! can bound what one caller holds. Who is at such a bound is passed over, for the others need not wait for that.
//!
//! A request for more than there is takes all of it. What a dropped future waited for is forgotten, and what a dropped
//! [`Permit`] held is free again.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::threads::Priority;
use crate::model::account::AccountId;
use crate::model::caller::{Caller, UserId};
use crate::service::identity::rate_limits::client_network;

/// Who takes turns with the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TurnKey {
    /// Who has shown to own this account.
    Account(AccountId),
    /// Whom a gateway, or a job, names.
    User(UserId),
    /// Everybody else: an IPv4 address, or a /64 of IPv6.
    Network(IpAddr),
}

impl TurnKey {
    pub fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller.authenticated_user() {
            Some(user) => user.own_account().map_or_else(|| Self::User(user.id.clone()), |account| Self::Account(account.id)),
            None => Self::Network(client_network(address)),
        }
    }

    /// Whether nobody vouches for the caller.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Network(_))
    }
}

/// Kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What a client waits for: uploads, lists.
    Request,
    Import,
    /// Pictures of other sizes, for known callers.
    Resize,
    /// The same for callers whom nobody knows. However many there are, they delay a known caller by one turn.
    AnonymousResize,
    /// Served when nobody else could be.
    Caption,
}

/// In the order of their turns. Captions, the last, have none.
const CLASSES: [Class; 5] = [Class::Request, Class::Import, Class::Resize, Class::AnonymousResize, Class::Caption];
const TAKING_TURNS: usize = CLASSES.len() - 1;

impl Class {
    /// Of work that makes a picture of another size.
    pub fn of_resize(key: &TurnKey) -> Self {
        if key.is_anonymous() { Self::AnonymousResize } else { Self::Resize }
    }

    /// The priority of the threads that do this work: uploads have the processors first.
    pub fn priority(self) -> Priority {
        if self == Self::Request { Priority::Normal } else { Priority::Low }
    }

    /// Classes of one group share its half; requests may take everything.
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

/// Whose turn it is, at what.
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

/// How much is needed, or there is. A queue that shares one of both has none of the other.
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

/// What was taken; free again when dropped.
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
    /// What one key may hold.
    most_of_key: Amount,
    of_keys: HashMap<TurnKey, Amount>,
    of_groups: [Amount; GROUPS],
    lanes: [Lane; CLASSES.len()],
    /// The lane that has the turn.
    next: usize,
    next_ticket: u64,
}

/// The waiters of a class: whoever has the turn stands in front.
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

/// A place in the queue; given up when dropped.
struct Place<'a> {
    queue: &'a FairQueue,
    turn: &'a Turn,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.lanes[self.turn.class as usize].remove(&self.turn.key, self.ticket);
        // It may have been the one that the others waited for.
        state.serve(self.queue);
    }
}

impl FairQueue {
    pub fn new(total: Amount) -> Self {
        Self::with_most_of_key(total, total)
    }

    /// One in which a key holds no more than this, except by a single request that is larger.
    pub fn with_most_of_key(total: Amount, most_of_key: Amount) -> Self {
        Self(Arc::new(Mutex::new(State {
            total,
            free: total,
            most_of_key,
            of_keys: HashMap::new(),
            of_groups: [Amount::default(); GROUPS],
            lanes: Default::default(),
            next: 0,
            next_ticket: 0,
        })))
    }

    /// One in which a key holds no more than half.
    pub fn with_halves(total: Amount) -> Self {
        Self::with_most_of_key(total, total.half())
    }

    /// Waits for this much, or for all if that is less.
    pub async fn take(&self, turn: &Turn, amount: Amount) -> Permit {
        loop {
            // Whoever stops waiting leaves the queue first, and then gives back what was granted meanwhile.
            let (mut receiver, _place) = self.stand(turn, amount);
            if let Ok(permit) = (&mut receiver).await {
                return permit;
            }
        }
    }

    /// Takes this much if it is there and nobody has the turn before.
    pub fn take_at_once(&self, turn: &Turn, amount: Amount) -> Option<Permit> {
        let (mut receiver, place) = self.stand(turn, amount);
        drop(place);
        receiver.try_recv().ok()
    }

    /// Puts a waiter into the queue, who may be served at once.
    fn stand<'a>(&'a self, turn: &'a Turn, amount: Amount) -> (oneshot::Receiver<Permit>, Place<'a>) {
        let (granted, receiver) = oneshot::channel();
        let mut state = self.state();
        let (ticket, amount) = (state.next_ticket, amount.min(state.total));
        state.next_ticket += 1;
        state.lanes[turn.class as usize].add(&turn.key, Waiter { ticket, amount, granted });
        state.serve(self);
        (receiver, Place { queue: self, turn, ticket })
    }

    pub fn total(&self) -> Amount {
        self.state().total
    }

    /// Whether this key holds something.
    pub fn is_holding(&self, key: &TurnKey) -> bool {
        self.state().of_keys.contains_key(key)
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
    /// Grants whatever can be granted now.
    fn serve(&mut self, queue: &FairQueue) {
        while let Some((lane, position)) = self.find_next() {
            let class = CLASSES[lane];
            let Some((key, waiter)) = self.lanes[lane].take(position) else { return };
            if lane < TAKING_TURNS {
                self.next = (lane + 1) % TAKING_TURNS;
            }
            let amount = waiter.amount;
            self.take(&key, class, amount);
            let permit = Permit { queue: queue.clone(), turn: Turn::new(key, class), amount };
            // A waiter leaves the queue before its receiver is dropped, so this fails for nobody; should it do so, the permit must
            // not be dropped here, where the queue is locked.
            if let Err(permit) = waiter.granted.send(permit) {
                self.give_back(&permit.turn, permit.amount);
                std::mem::forget(permit);
            }
        }
    }

    /// Whose turn it is, by lane and place in it, if there is enough for them.
    fn find_next(&self) -> Option<(usize, usize)> {
        let turns = (0..TAKING_TURNS).map(|step| (self.next + step) % TAKING_TURNS);
        for number in turns.chain(TAKING_TURNS..CLASSES.len()) {
            let lane = &self.lanes[number];
            for (position, key) in lane.keys.iter().enumerate() {
                let Some(waiter) = lane.waiters.get(key).and_then(VecDeque::front) else { continue };
                if !self.group_may_take(CLASSES[number], waiter.amount) {
                    break;
                }
                if !self.key_may_take(key, waiter.amount) {
                    continue;
                }
                return waiter.amount.fits(self.free).then_some((number, position));
            }
        }
        None
    }

    fn group_may_take(&self, class: Class, amount: Amount) -> bool {
        class.group().is_none_or(|group| {
            let held = self.of_groups[group];
            held == Amount::default() || held.plus(amount).fits(self.total.half())
        })
    }

    fn key_may_take(&self, key: &TurnKey, amount: Amount) -> bool {
        self.of_keys.get(key).is_none_or(|held| *held == Amount::default() || held.plus(amount).fits(self.most_of_key))
    }

    fn take(&mut self, key: &TurnKey, class: Class, amount: Amount) {
        self.free = self.free.minus(amount);
        let held = self.of_keys.entry(key.clone()).or_default();
        *held = held.plus(amount);
        if let Some(group) = class.group() {
            self.of_groups[group] = self.of_groups[group].plus(amount);
        }
    }

    fn give_back(&mut self, turn: &Turn, amount: Amount) {
        self.free = self.free.plus(amount);
        if let Some(held) = self.of_keys.get_mut(&turn.key) {
            *held = held.minus(amount);
            if *held == Amount::default() {
                self.of_keys.remove(&turn.key);
            }
        }
        if let Some(group) = turn.class.group() {
            self.of_groups[group] = self.of_groups[group].minus(amount);
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

    /// The first waiter of the key at `position`, which goes to the end of the line.
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
        state.give_back(&self.turn, self.amount);
        state.serve(&self.queue);
    }
}

#[cfg(test)]
mod tests;

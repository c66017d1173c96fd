//! Who is served when. Futures are polled by hand, so nothing here depends on time.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;

type Waiting = BoxFuture<'static, Permit>;

fn key(name: &str) -> TurnKey {
    TurnKey::User(UserId::parse(name).unwrap())
}

/// A waiter who stands in the queue when this returns.
fn wait(queue: &FairQueue, name: &str, class: Class, bytes: u64) -> Waiting {
    let (queue, turn) = (queue.clone(), Turn::new(key(name), class));
    let mut waiting: Waiting = Box::pin(async move { queue.take(&turn, Amount::bytes(bytes)).await });
    assert!(waiting.as_mut().now_or_never().is_none(), "{name} was served at once");
    waiting
}

fn take(queue: &FairQueue, name: &str, class: Class, bytes: u64) -> Option<Permit> {
    queue.take_at_once(&Turn::new(key(name), class), Amount::bytes(bytes))
}

fn poll(waiting: &mut Waiting) -> Option<Permit> {
    Pin::new(waiting).now_or_never()
}

/// The order in which waiters for one byte each are served by a queue of one byte.
fn order(mut waiting: Vec<(&'static str, Waiting)>, first: Permit) -> Vec<&'static str> {
    let (mut served, mut held) = (Vec::new(), Some(first));
    while held.take().is_some() && !waiting.is_empty() {
        let found = waiting.iter_mut().enumerate().find_map(|(number, (_, waiter))| Some((number, poll(waiter)?)));
        let (number, permit) = found.expect("a waiter is served");
        served.push(waiting.remove(number).0);
        held = Some(permit);
    }
    served
}

#[test]
fn callers_take_turns_and_each_ones_requests_keep_their_order() {
    let queue = FairQueue::new(Amount::bytes(1));
    let first = take(&queue, "ann", Class::Request, 1).unwrap();
    let mut waiting: Vec<_> = ["ann1", "ann2", "ann3"].map(|name| (name, wait(&queue, "ann", Class::Request, 1))).into();
    waiting.push(("bob1", wait(&queue, "bob", Class::Request, 1)));
    waiting.push(("bob2", wait(&queue, "bob", Class::Request, 1)));
    waiting.push(("cleo", wait(&queue, "cleo", Class::Request, 1)));
    assert_eq!(order(waiting, first), ["ann1", "bob1", "cleo", "ann2", "bob2", "ann3"]);
}

#[test]
fn forty_requests_of_one_caller_delay_another_by_one_turn() {
    let queue = FairQueue::new(Amount::bytes(1));
    let first = take(&queue, "greedy", Class::Request, 1).unwrap();
    let mut waiting: Vec<_> = (0..40).map(|_| ("greedy", wait(&queue, "greedy", Class::Request, 1))).collect();
    waiting.push(("other", wait(&queue, "other", Class::Request, 1)));
    let served = order(waiting, first);
    assert_eq!(served.iter().position(|name| *name == "other"), Some(1));
    assert_eq!(served.len(), 41);
}

#[test]
fn classes_take_turns_and_captions_come_last() {
    let queue = FairQueue::new(Amount::bytes(1));
    let first = take(&queue, "ann", Class::Request, 1).unwrap();
    let mut waiting = vec![("caption", wait(&queue, "ann", Class::Caption, 1))];
    for number in 0..3 {
        waiting.push(("anonymous", wait(&queue, &format!("anonymous{number}"), Class::AnonymousResize, 1)));
    }
    waiting.push(("resize", wait(&queue, "ann", Class::Resize, 1)));
    waiting.push(("import", wait(&queue, "ann", Class::Import, 1)));
    waiting.push(("upload", wait(&queue, "ann", Class::Request, 1)));
    waiting.push(("upload", wait(&queue, "ann", Class::Request, 1)));
    let served = order(waiting, first);
    assert_eq!(served, ["import", "resize", "anonymous", "upload", "anonymous", "upload", "anonymous", "caption"]);
}

#[test]
fn a_large_request_is_not_overtaken_by_small_ones() {
    let queue = FairQueue::new(Amount::bytes(10));
    let held: Vec<_> = (0..5).map(|_| take(&queue, "small", Class::Request, 2).unwrap()).collect();
    let mut large = wait(&queue, "large", Class::Request, 10);
    let mut next: Vec<_> = (0..3).map(|_| wait(&queue, "small", Class::Request, 2)).collect();
    for permit in held {
        assert!(next.iter_mut().all(|waiter| poll(waiter).is_none()));
        assert!(take(&queue, "small", Class::Request, 1).is_none(), "nor by one that does not wait");
        drop(permit);
    }
    let large = poll(&mut large).expect("all of it is free");
    assert_eq!(queue.in_use().bytes, 10);
    drop(large);
    assert!(next.iter_mut().all(|waiter| poll(waiter).is_some()));
}

#[test]
fn a_request_for_more_than_there_is_takes_all_of_it() {
    let queue = FairQueue::new(Amount { bytes: 10, slots: 2 });
    let turn = Turn::new(key("ann"), Class::Request);
    let all = queue.take_at_once(&turn, Amount { bytes: 1000, slots: 1 }).unwrap();
    assert_eq!(queue.in_use(), Amount { bytes: 10, slots: 1 });
    assert!(queue.take_at_once(&turn, Amount { bytes: 1, slots: 1 }).is_none());
    drop(all);
    assert_eq!(queue.in_use(), Amount::default());
}

#[test]
fn a_waiter_who_gives_up_holds_nobody_back() {
    let queue = FairQueue::new(Amount::bytes(10));
    let held = take(&queue, "ann", Class::Request, 6).unwrap();
    let large = wait(&queue, "bob", Class::Request, 10);
    let mut small = wait(&queue, "cleo", Class::Request, 4);
    assert!(poll(&mut small).is_none());
    drop(large);
    assert!(poll(&mut small).is_some(), "it was behind the one that gave up");
    drop((held, small));
    assert_eq!((queue.in_use().bytes, queue.waiting()), (0, 0));
}

#[test]
fn what_was_granted_to_a_waiter_who_gives_up_goes_to_the_next() {
    let queue = FairQueue::new(Amount::bytes(1));
    let held = take(&queue, "ann", Class::Request, 1).unwrap();
    let (first, mut second) = (wait(&queue, "bob", Class::Request, 1), wait(&queue, "cleo", Class::Request, 1));
    drop(held);
    // It is granted to the first, who never looks.
    assert!(poll(&mut second).is_none());
    drop(first);
    assert!(poll(&mut second).is_some());
}

#[test]
fn background_work_holds_at_most_half_and_requests_may_take_all() {
    let queue = FairQueue::new(Amount::bytes(8));
    let resize = |name| take(&queue, name, Class::of_resize(&key(name)), 2);
    let anonymous = || {
        let turn = Turn::new(TurnKey::Network("192.0.2.1".parse().unwrap()), Class::AnonymousResize);
        queue.take_at_once(&turn, Amount::bytes(2))
    };
    let held = (resize("ann").unwrap(), anonymous().unwrap());
    assert!(resize("bob").is_none() && anonymous().is_none(), "they share one half");
    let mut waiting = wait(&queue, "bob", Class::Resize, 2);
    let uploads = take(&queue, "cleo", Class::Request, 4).expect("those who wait for their half hold up nobody else");
    assert!(take(&queue, "cleo", Class::Request, 1).is_none());
    drop(held.1);
    assert!(poll(&mut waiting).is_some());
    drop((held.0, uploads, waiting));

    // What is larger than half can be had alone.
    let large = take(&queue, "ann", Class::Import, 7).unwrap();
    assert!(take(&queue, "bob", Class::Import, 1).is_none());
    assert!(take(&queue, "bob", Class::Request, 1).is_some());
    drop(large);
    assert_eq!(queue.in_use().bytes, 0);
}

#[test]
fn half_of_an_odd_number_of_slots_is_rounded_up() {
    for (slots, half) in [(1, 1), (2, 1), (3, 2), (8, 4)] {
        let queue = FairQueue::new(Amount::slots(slots));
        let turn = Turn::new(key("ann"), Class::Resize);
        let held: Vec<_> = std::iter::from_fn(|| queue.take_at_once(&turn, Amount::slots(1))).collect();
        assert_eq!(held.len(), half);
    }
}

#[test]
fn a_bound_for_one_key_leaves_the_rest_to_the_others() {
    let queue = FairQueue::with_halves(Amount::bytes(10));
    let mut held: Vec<_> = std::iter::from_fn(|| take(&queue, "greedy", Class::Request, 1)).collect();
    assert_eq!(held.len(), 5);
    let mut waiting = wait(&queue, "greedy", Class::Request, 1);
    let others = [take(&queue, "ann", Class::Request, 3), take(&queue, "bob", Class::Request, 2)];
    assert!(others.iter().all(Option::is_some));
    drop(others);
    assert!(poll(&mut waiting).is_none());
    held.pop();
    assert!(poll(&mut waiting).is_some());
}

#[test]
fn permits_that_were_joined_are_free_again_together() {
    let queue = FairQueue::new(Amount::bytes(10));
    let mut permit = take(&queue, "ann", Class::Request, 3).unwrap();
    permit.absorb(take(&queue, "ann", Class::Request, 4).unwrap());
    assert_eq!(queue.in_use().bytes, 7);
    drop(permit);
    assert_eq!(queue.in_use().bytes, 0);
}

#[test]
fn clients_are_told_apart_by_user_or_address() {
    use crate::model::caller::{AuthMethod, User};
    let address = "2001:db8::1".parse().unwrap();
    let ann = User { id: UserId::parse("ann").unwrap(), auth_method: AuthMethod::GatewayHeader, account: None };
    assert_eq!(TurnKey::of(&Caller::User(Box::new(ann)), address), key("ann"));
    let anonymous = TurnKey::of(&Caller::Anonymous, address);
    assert_eq!(anonymous, TurnKey::of(&Caller::Anonymous, "2001:db8::ffff".parse().unwrap()));
    assert_ne!(anonymous, TurnKey::of(&Caller::Anonymous, "2001:db8:0:1::1".parse().unwrap()));
    assert!(anonymous.is_anonymous() && !key("ann").is_anonymous());
}

/// Many tasks on several threads, some of which give up: none sleeps for ever, and never is more taken than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wakeup_is_lost_and_the_bound_holds() {
    const TOTAL: u64 = 16;
    let queue = FairQueue::new(Amount::bytes(TOTAL));
    let (in_use, served) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let task = |number: u64| {
        let (queue, in_use, served) = (queue.clone(), Arc::clone(&in_use), Arc::clone(&served));
        tokio::spawn(async move {
            let class = CLASSES[usize::try_from(number).unwrap() % CLASSES.len()];
            let turn = Turn::new(key(&format!("user{}", number % 7)), class);
            for round in 0..100 {
                let bytes = 1 + (number * 31 + round * 17) % (TOTAL + 4);
                let taking = queue.take(&turn, Amount::bytes(bytes));
                let permit = if round % 5 == 0 {
                    // Polled once, or twice, and then given up if it was not served.
                    let mut taking = Box::pin(taking);
                    let first = taking.as_mut().now_or_never();
                    tokio::task::yield_now().await;
                    match first.or_else(|| taking.as_mut().now_or_never()) {
                        Some(permit) => permit,
                        None => continue,
                    }
                } else {
                    taking.await
                };
                let bytes = bytes.min(TOTAL);
                assert!(in_use.fetch_add(bytes, Ordering::SeqCst) + bytes <= TOTAL);
                tokio::task::yield_now().await;
                in_use.fetch_sub(bytes, Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                drop(permit);
            }
        })
    };
    for task in (0..40).map(task).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(served.load(Ordering::SeqCst) >= 40 * 80);
    assert_eq!((queue.in_use().bytes, queue.waiting()), (0, 0));
}

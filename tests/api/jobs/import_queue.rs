//! The import queue: the order of items of several users, and limits of concurrency.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::service::maintenance::step::Outcome;
use image_service::worker::imports;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::harness::pictures::jpeg;
use crate::harness::world::{Reply, answer, picture, reply};
use crate::harness::{TestApp, World};

pub const NO_WORKERS: &str = "--import-concurrency=0";

pub fn url(number: usize) -> String {
    format!("http://pictures.test/{number}.jpg")
}

pub fn seed(path: &str) -> u64 {
    path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

pub async fn image_host() -> Arc<World> {
    let world = World::new();
    world.site("pictures.test", |path, _| picture(&jpeg(64, 64, seed(path)))).await;
    world
}

pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("timed out waiting until {what}");
}

/// Returns the number of a job's URLs in each of the lists `pending`, `complete` and `failed`.
pub fn counts(job: &Value) -> [usize; 3] {
    ["pending", "complete", "failed"].map(|list| job["uploaded"][list].as_array().unwrap().len())
}

#[tokio::test]
async fn a_small_job_runs_next_however_many_items_of_another_user_wait() {
    let world = image_host().await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    app.import_for("alice", &(0..40).map(url).collect::<Vec<_>>()).await;
    for _ in 0..10 {
        app.import_next().await;
    }
    let bob = app.import_for("bob", &[url(100)]).await;
    app.import_for("carol", &(200..203).map(url).collect::<Vec<_>>()).await;
    // A later job of the same user runs after the items that already wait.
    app.import_for("alice", &[url(300)]).await;
    app.import_next().await;
    app.import_next().await;
    app.import_next().await;
    assert_eq!(counts(&app.job(&bob).await), [0, 1, 0], "{:?}", world.requests());
    app.import_all().await;
    let order: Vec<u64> = world.requests().iter().map(|request| seed(request.trim_start_matches("pictures.test"))).collect();
    assert_eq!(order[..10], (0..10).collect::<Vec<_>>());
    let place = |seed: u64| order.iter().position(|other| *other == seed).unwrap();
    assert!(place(100) <= 12 && place(202) <= 10 + 2 * 3 + 1, "{order:?}");
    assert_eq!(place(300), order.len() - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_job_runs_next_at_a_host_at_its_concurrency_limit() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    let held = Arc::clone(&gate);
    world
        .site("busy.test", move |path, _| Reply::Gated(Arc::clone(&held), answer("200 OK", &[], &jpeg(64, 64, seed(path)))))
        .await;
    world.site("free.test", |path, _| picture(&jpeg(64, 64, seed(path)))).await;
    let settings =
        ["--import-concurrency=8", "--import-host-concurrency=2", "--import-timeout=600", "--import-answer-timeout=600"];
    let app = TestApp::within(Arc::clone(&world) as _, &settings).await;
    let of = |name: &str| (0..20).map(|number| format!("http://{name}/{number}.jpg")).collect::<Vec<_>>();
    let alice = app.import_for("alice", &[of("busy.test"), of("free.test")].concat()).await;
    // All items of the free host overtake those that wait for the busy host.
    until("every item of the free host is stored", async || counts(&app.job(&alice).await)[1] == 20).await;
    assert_eq!(world.busy("busy.test"), 2);
    app.import_for("bob", &["http://busy.test/99.jpg"]).await;
    gate.add_permits(1);
    until("bob is served", async || world.requests().contains(&"busy.test/99.jpg".to_owned())).await;
    assert_eq!(world.requests().iter().filter(|request| request.starts_with("busy.test")).count(), 3, "{:?}", world.requests());
    gate.add_permits(20);
    assert_eq!(counts(&app.done(&alice).await), [0, 40, 0]);
}

#[tokio::test]
async fn many_waiting_items_become_ready_in_batches() {
    let (down, world) = (Arc::new(AtomicUsize::new(1)), World::new());
    let state = Arc::clone(&down);
    world
        .site("pictures.test", move |_, _| match state.load(Ordering::SeqCst) {
            1 => reply("503 Service Unavailable", &[], b""),
            _ => reply("404 Not Found", &[], b""),
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    app.clock.stop();
    let mut ids = Vec::new();
    for job in 0..3 {
        ids.push(app.import_for(&format!("user{job}"), &(0..80).map(|number| url(job * 100 + number)).collect::<Vec<_>>()).await);
    }
    app.import_all().await;
    assert_eq!((world.requests().len(), app.metric("import_queue_items{state=\"waiting\"}").await), (240, 240.0));
    down.store(0, Ordering::SeqCst);
    app.clock.advance(TimeDelta::hours(1));
    app.import_next().await;
    assert_eq!(app.metric("import_queue_items{state=\"waiting\"}").await, 0.0);
    app.import_all().await;
    for id in ids {
        assert_eq!(counts(&app.job(&id).await), [0, 0, 80]);
    }
    assert_eq!(world.requests().len(), 480);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrency_is_limited_by_host_by_user_and_in_total() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    for name in ["one.test", "two.test", "three.test"] {
        let gate = Arc::clone(&gate);
        world.site(name, move |path, _| Reply::Gated(Arc::clone(&gate), answer("200 OK", &[], &jpeg(64, 64, seed(path))))).await;
    }
    let settings =
        ["--import-concurrency=8", "--import-host-concurrency=3", "--import-timeout=600", "--import-answer-timeout=600"];
    let app = TestApp::within(Arc::clone(&world) as _, &settings).await;
    let of = |name: &str, count: usize| (0..count).map(|number| format!("http://{name}/{number}.jpg")).collect::<Vec<_>>();
    let alice = app.import_for("alice", &[of("one.test", 10), of("two.test", 10), of("three.test", 10)].concat()).await;
    // Three from each host would be nine, but one user may have only six.
    let busy = || ["one.test", "two.test", "three.test"].map(|name| world.busy(name)).iter().sum::<usize>();
    until("alice has six requests", async || busy() == 6).await;
    let bob = app.import_for("bob", &of("two.test", 1)).await;
    until("bob has one request", async || busy() == 7).await;
    assert_eq!(app.metric("import_queue_items{state=\"running\"}").await, 7.0);
    assert_eq!(app.metric("import_queue_items{state=\"pending\"}").await, 24.0);
    assert!(app.metric("import_oldest_waiting_seconds").await > 0.0);
    gate.add_permits(31);
    assert_eq!(counts(&app.done(&bob).await), [0, 1, 0]);
    assert_eq!(counts(&app.done(&alice).await), [0, 30, 0]);
    for name in ["one.test", "two.test", "three.test"] {
        assert!(world.peak_requests(name) <= 3, "{name}: {}", world.peak_requests(name));
    }
    assert_eq!(app.metric("import_queue_items{state=\"running\"}").await, 0.0);
    assert_eq!(app.metric("import_oldest_waiting_seconds").await, 0.0);
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_workers_fetch_each_url_once() {
    let world = image_host().await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS, "--import-host-concurrency=100"]).await;
    let mut ids = Vec::new();
    for job in 0..4 {
        let urls: Vec<String> = (job * 10..job * 10 + 10).map(url).collect();
        ids.push(app.import_for(["alice", "bob"][job % 2], &urls).await);
    }
    let worker = async || while imports::run_next(app.service()).await.unwrap() == Outcome::Done {};
    join_all((0..6).map(|_| worker())).await;
    for id in ids {
        assert_eq!(counts(&app.job(&id).await), [0, 10, 0]);
    }
    let mut requests = world.requests();
    requests.sort();
    requests.dedup();
    assert_eq!((requests.len(), world.requests().len()), (40, 40));
    assert_eq!(app.get("/images").await.ok()["total_count"], 40);
    app.assert_sound().await;
}

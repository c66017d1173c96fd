//! The import queue: attempts, leases, order, limits, several instances, and recovery after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::service::jobs::import_queue::{Claimed, ClaimedItem};
use image_service::service::jobs::queue::WorkOutcome;
use image_service::service::maintenance::step::Outcome;
use image_service::worker::imports;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::harness::client::Client;
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::world::{Reply, answer, head, picture, reply};
use crate::harness::{Form, TestApp, World};

const NO_WORKERS: &str = "--import-concurrency=0";

fn url(number: usize) -> String {
    format!("http://pictures.test/{number}.jpg")
}

fn seed(path: &str) -> u64 {
    path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

async fn image_host() -> Arc<World> {
    let world = World::new();
    world.site("pictures.test", |path, _| picture(&jpeg(64, 64, seed(path)))).await;
    world
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("timed out waiting until {what}");
}

/// Claims the next item, without processing it.
async fn claim(app: &TestApp) -> ClaimedItem {
    loop {
        match app.service().claim_import().await.unwrap() {
            Claimed::Item(claimed) => return *claimed,
            Claimed::TryAgain => {}
            Claimed::Nothing => panic!("there is no item to claim"),
        }
    }
}

/// Returns the number of a job's URLs in each of the lists `pending`, `complete` and `failed`.
fn counts(job: &Value) -> [usize; 3] {
    ["pending", "complete", "failed"].map(|list| job["uploaded"][list].as_array().unwrap().len())
}

// Attempts.

#[tokio::test]
async fn transient_errors_are_retried_with_growing_back_off() {
    let (asked, world) = (Arc::new(AtomicUsize::new(0)), World::new());
    let count = Arc::clone(&asked);
    world
        .site("pictures.test", move |path, _| match (path, count.fetch_add(1, Ordering::SeqCst)) {
            ("/1.jpg", 2) => picture(&jpeg(64, 64, 1)),
            _ => reply("503 Service Unavailable", &[], b"busy"),
        })
        .await;
    let app = TestApp::within(world, &[NO_WORKERS, "--import-retry-delay=100"]).await;
    app.clock.stop();
    let id = app.import(&[url(1)]).await;
    // The back-off varies by a factor of 0.5 to 1.5: first around 100 seconds, then around 400.
    for (attempts, shortest, longest) in [(1, 50, 150), (2, 200, 600)] {
        app.import_all().await;
        assert_eq!((asked.load(Ordering::SeqCst), &app.job(&id).await["status"]), (attempts, &json!("in-progress")));
        app.clock.advance(TimeDelta::seconds(shortest) - TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(asked.load(Ordering::SeqCst), attempts, "retried too early");
        app.clock.advance(TimeDelta::seconds(longest - shortest) + TimeDelta::milliseconds(1));
    }
    app.import_all().await;
    assert_eq!((asked.load(Ordering::SeqCst), counts(&app.job(&id).await)), (3, [0, 1, 0]));
    assert_eq!(app.metric("import_retries_total").await, 2.0);
    assert_eq!(app.metric("import_fetches_total{result=\"status_5xx\"}").await, 2.0);

    // An item that never succeeds fails after the third attempt.
    let id = app.import(&[url(2)]).await;
    for _ in 0..5 {
        app.import_all().await;
        app.clock.advance(TimeDelta::hours(1));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    assert_eq!(app.job(&id).await["errors"][url(2)], "its host responded with 503 Service Unavailable (tried 3 times)");
}

#[tokio::test]
async fn retry_after_is_obeyed_for_up_to_an_hour() {
    let world = World::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    world
        .site("pictures.test", move |path, _| {
            let wait = if path == "/1.jpg" { "300" } else { "999999" };
            match count.fetch_add(1, Ordering::SeqCst) {
                0 | 2 => reply("429 Too Many Requests", &[("Retry-After", wait)], b""),
                _ => picture(&jpeg(64, 64, 1)),
            }
        })
        .await;
    let app = TestApp::within(world, &[NO_WORKERS, "--import-retry-delay=1"]).await;
    app.clock.stop();
    for (number, wait) in [(1, TimeDelta::seconds(300)), (2, TimeDelta::hours(1))] {
        let id = app.import(&[url(number)]).await;
        app.import_all().await;
        app.clock.advance(wait - TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(counts(&app.job(&id).await), [1, 0, 0]);
        app.clock.advance(TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);
    }
    assert_eq!(app.metric("import_fetches_total{result=\"status_429\"}").await, 2.0);
}

#[tokio::test]
async fn permanent_errors_are_not_retried_and_do_not_affect_other_items() {
    let world = World::new();
    world
        .site("pictures.test", |path, _| match path {
            "/403" => reply("403 Forbidden", &[], b""),
            "/html" => reply("200 OK", &[("Content-Type", "text/html")], b"<html>"),
            "/broken" => Reply::Whole([head("200 OK", &[("Content-Length", "9999")]), vec![0; 10]].concat()),
            _ => picture(&jpeg(64, 64, seed(path))),
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    app.clock.stop();
    let urls = ["/1", "/403", "/2", "/html", "/3", "/broken", "/4"].map(|path| format!("http://pictures.test{path}"));
    let id = app.import(&urls).await;
    app.import_all().await;
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["status"]), ([1, 4, 2], &json!("in-progress")));
    assert_eq!(job["uploaded"]["pending"], json!([urls[5]]));
    for _ in 0..3 {
        app.clock.advance(TimeDelta::hours(1));
        app.import_all().await;
    }
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["status"]), ([0, 4, 3], &json!("complete")));
    assert_eq!(job["errors"][&urls[5]], "its host closed the connection before the response was complete (tried 3 times)");
    assert_eq!(world.requests().len(), 6 + 3);
}

// Order and limits.

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

// Leases.

#[tokio::test]
async fn a_claim_of_a_crashed_worker_expires_with_its_lease() {
    let world = image_host().await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS, "--import-attempts=2"]).await;
    app.clock.stop();
    let id = app.import(&[url(1)]).await;
    drop(claim(&app).await);
    assert_eq!(app.job(&id).await["status"], "in-progress");
    app.clock.advance(TimeDelta::seconds(30) - TimeDelta::milliseconds(1));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(app.import_next().await, Outcome::Done);
    assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);

    // An item that crashes every worker fails after its last attempt.
    let id = app.import(&[url(2)]).await;
    for _ in 0..2 {
        drop(claim(&app).await);
        app.clock.advance(TimeDelta::seconds(30));
    }
    // The last attempt cannot be repeated, so its lease is twice as long.
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    assert_eq!(app.job(&id).await["status"], "in-progress");
    app.clock.advance(TimeDelta::seconds(30));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["errors"][url(2)]), ([0, 0, 1], &json!("the service was interrupted in every attempt")));
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_lease_stores_nothing() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    let held = Arc::clone(&gate);
    world.site("pictures.test", move |_, _| Reply::Gated(Arc::clone(&held), answer("200 OK", &[], &jpeg(64, 64, 1)))).await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    let id = app.import(&[url(1)]).await;
    let start = || {
        let service = Arc::clone(app.service());
        tokio::spawn(async move {
            let Claimed::Item(claimed) = service.claim_import().await.unwrap() else { panic!("there is no item to claim") };
            service.import(*claimed, &CancellationToken::new()).await
        })
    };
    let first = start();
    until("the first worker has sent its request", async || world.busy("pictures.test") == 1).await;
    app.clock.advance(TimeDelta::seconds(31));
    let second = start();
    until("the second worker has sent its request", async || world.busy("pictures.test") == 2).await;
    gate.add_permits(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (WorkOutcome::Settled, WorkOutcome::Settled));
    assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    assert_eq!(
        app.by("alice", Method::GET, "/imports").await.ok()["imports"][0]["counts"],
        json!({"pending": 0, "complete": 1, "failed": 0})
    );
    // The objects that the first worker uploaded are removed, because they belong to no image.
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    app.assert_sound().await;
    assert_eq!(app.storage().keys().await.len(), app.get("/images").await.ok()["images"].as_array().unwrap().len() * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_item_of_a_cancelled_job_is_not_retried() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    let held = Arc::clone(&gate);
    world
        .site("pictures.test", move |path, _| {
            let status = if path == "/1.jpg" { "200 OK" } else { "503 Service Unavailable" };
            Reply::Gated(Arc::clone(&held), answer(status, &[], &jpeg(64, 64, 1)))
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &["--import-concurrency=4", "--import-attempts=5"]).await;
    let id = app.import(&[url(1), url(2)]).await;
    until("both are running", async || world.busy("pictures.test") == 2).await;
    let job = app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!((counts(&job), &job["status"]), ([2, 0, 0], &json!("in-progress")));
    gate.add_permits(2);
    let job = app.done(&id).await;
    assert_eq!((counts(&job), &job["errors"]), ([0, 1, 1], &json!({url(2): "its host responded with 503 Service Unavailable"})));
    // An item whose worker crashed is not retried either.
    let app = TestApp::within(world as _, &[NO_WORKERS]).await;
    let id = app.import(&[url(1)]).await;
    drop(claim(&app).await);
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    app.clock.advance(TimeDelta::seconds(31));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    assert_eq!(app.job(&id).await["errors"], json!({url(1): "the import was cancelled"}));
}

// Errors of the service itself.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_does_not_use_up_attempts() {
    let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (held, count) = (Arc::clone(&gate), Arc::clone(&asked));
    let site = LocalSite::start(move |path| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Gated(Arc::clone(&held), answer("200 OK", &[], &jpeg(64, 64, seed(path))))
    })
    .await;
    let mut proxied = Proxied::new().await;
    let Some(database) = &proxied.database else { return };
    site.allow(&mut proxied.home);
    for (variable, value) in [("DATABASE_TIMEOUT", "1"), ("IMPORT_ATTEMPTS", "1")] {
        proxied.home.set(variable, value);
    }
    let process = Process::start(&proxied.home, &[]).await;
    let client = Client::new(process.address);
    let id = request_import(&client, &(0..3).map(|number| site.url(number)).collect::<Vec<_>>()).await;
    until("all three are requested", async || asked.load(Ordering::SeqCst) == 3).await;
    for fault in [Fault::Refused, Fault::Hang] {
        database.set(fault);
        // The files have arrived but cannot be stored, and the failure cannot be recorded either.
        gate.add_permits(3);
        tokio::time::sleep(Duration::from_secs(4)).await;
        database.set(Fault::None);
        let before = asked.load(Ordering::SeqCst);
        until("they are requested again", async || asked.load(Ordering::SeqCst) > before).await;
    }
    gate.add_permits(100);
    assert_eq!(counts(&done(&client, &id).await), [0, 3, 0]);
    assert_eq!(client.list().await.len(), 3);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_servers_leave_half_of_the_memory_budget_to_uploads() {
    let world = World::new();
    // The bodies are compressed and have no Content-Length, so each may grow to 20 MiB.
    let slow = head("200 OK", &[("Content-Encoding", "gzip")]);
    world.site("slow.test", move |_, _| Reply::ThenSilence(slow.clone())).await;
    let settings =
        ["--upload-memory-budget=44MiB", "--admission-timeout=1", "--import-timeout=600", "--import-answer-timeout=600"];
    let app = TestApp::within(Arc::clone(&world) as _, &settings).await;
    app.import(&(0..10).map(|number| format!("http://slow.test/{number}")).collect::<Vec<_>>()).await;
    until("four requests are running", async || world.busy("slow.test") == 4).await;
    until("memory is reserved", async || app.metric("upload_memory_in_use_bytes").await > 20e6).await;
    assert!(app.metric("upload_memory_in_use_bytes").await < 24e6);
    let large = padded(jpeg(64, 64, 1), 10 << 20);
    let uploads = join_all((0..2).map(|_| app.post(Form::upload("bob", &large)))).await;
    assert!(
        uploads.iter().all(|upload| upload.status == 200),
        "{:?}",
        uploads.iter().map(|upload| upload.status).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_storage_does_not_use_up_attempts() {
    let world = LocalSite::start(|path| picture(&jpeg(64, 64, seed(path)))).await;
    let mut proxied = Proxied::new().await;
    world.allow(&mut proxied.home);
    for (variable, value) in [("S3_TIMEOUT", "1"), ("IMPORT_ATTEMPTS", "1")] {
        proxied.home.set(variable, value);
    }
    let process = Process::start(&proxied.home, &[]).await;
    let client = Client::new(process.address);
    proxied.storage.set(Fault::Refused);
    let id = request_import(&client, &(0..3).map(|number| world.url(number)).collect::<Vec<_>>()).await;
    until("an item was fetched", async || world.requests() > 0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // While the storage is down, nothing is requested beyond the items that were claimed before the outage was noticed.
    assert!(world.requests() <= 3, "{}", world.requests());
    assert_eq!(counts(&client.get(&format!("/imports/{id}")).await.ok()), [3, 0, 0]);
    proxied.storage.set(Fault::None);
    assert_eq!(counts(&done(&client, &id).await), [0, 3, 0]);
    assert_eq!(client.list().await.len(), 3);
    process.stop().await;
}

// Real processes.

/// An HTTP server on this machine, for tests that run the real program.
struct LocalSite {
    world: Arc<World>,
    address: std::net::SocketAddr,
}

impl LocalSite {
    async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let world = World::new();
        let name = world.site("local.test", move |path, _| reply(path)).await;
        let address = world.local_address(std::net::SocketAddr::new(name, 80));
        Self { world, address }
    }

    fn allow(&self, home: &mut Home) {
        home.set("ALLOW_PRIVATE_IMPORTS", "true");
        home.set("IMPORT_PORTS", &self.address.port().to_string());
    }

    fn url(&self, number: usize) -> String {
        format!("http://{}/{number}.jpg", self.address)
    }

    fn requests(&self) -> usize {
        self.world.requests().len()
    }
}

async fn request_import(client: &Client, urls: &[String]) -> String {
    let answer = client.post_json("/imports", &json!({"urls": urls, "user_id": "alice"})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["jobId"].as_str().unwrap().to_owned()
}

async fn done(client: &Client, id: &str) -> Value {
    let path = format!("/imports/{id}");
    until("the job is done", async || client.get(&path).await.ok()["status"] == "complete").await;
    client.get(&path).await.ok()
}

/// Asserts that each URL became exactly one whole image, and that there are no other images.
async fn assert_one_image_each(client: &Client, job: &Value, count: usize) {
    assert_eq!(counts(job), [0, count, 0], "{job:#}");
    let images = client.list().await;
    let mut names: Vec<&str> = images.iter().map(|image| image["file_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((images.len(), names.len()), (count, count));
    for image in &images {
        client.assert_whole(image).await;
        let link = format!("/i/{}", image["image_id"].as_str().unwrap());
        assert!(job["uploaded"]["complete"].as_array().unwrap().iter().any(|known| known.as_str().unwrap().ends_with(&link)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_fifty_imports_loses_none_and_duplicates_none() {
    let site = LocalSite::start(|path| picture(&jpeg(96, 64, seed(path)))).await;
    let mut home = Home::new().await;
    site.allow(&mut home);
    // The items claimed by the killed process do not delay the others.
    home.set("IMPORT_HOST_CONCURRENCY", "50");
    let process = Process::start(&home, &[]).await;
    let id = request_import(&Client::new(process.address), &(0..50).map(|number| site.url(number)).collect::<Vec<_>>()).await;
    until("some images are stored", async || {
        Client::new(process.address).get("/images").await.ok()["total_count"].as_u64().unwrap() >= 10
    })
    .await;
    process.kill().await;
    // A second process is killed a little later.
    let asked = site.requests();
    let process = Process::start(&home, &[]).await;
    until("more images are requested", async || site.requests() > asked + 8).await;
    process.kill().await;
    // Leases last half a minute; the clock of this process is ahead of that.
    let running = home.start_ahead(TimeDelta::seconds(31)).await;
    let client = Client::new(running.address);
    let job = done(&client, &id).await;
    assert_one_image_each(&client, &job, 50).await;
    assert!(site.requests() < 50 + 2 * 9, "{} requests for 50 images", site.requests());
    running.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_share_the_queue() {
    let mut home = Home::new().await;
    if home.database_address().is_none() || home.has_embedded_storage() {
        return;
    }
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let image_response = |path: &str| answer("200 OK", &[], &jpeg(96, 64, seed(path)));
    let site = LocalSite::start(move |path| Reply::Gated(Arc::clone(&held), image_response(path))).await;
    site.allow(&mut home);
    home.set("IMPORT_CONCURRENCY", "3");
    home.set("IMPORT_HOST_CONCURRENCY", "4");
    let (one, two) = tokio::join!(Process::start(&home, &[]), Process::start(&home, &[]));
    let clients = [Client::new(one.address), Client::new(two.address)];
    // A user may have two of the three slots of an instance.
    let id = request_import(&clients[0], &(0..60).map(|number| site.url(number)).collect::<Vec<_>>()).await;
    until("both instances have requests running", async || site.world.busy("local.test") == 4).await;
    gate.add_permits(60);
    let job = done(&clients[1], &id).await;
    assert_one_image_each(&clients[1], &job, 60).await;
    assert_eq!(site.requests(), 60);
    assert_eq!(site.world.peak_requests("local.test"), 4);
    let mut shares = Vec::new();
    for client in &clients {
        let metrics = client.get("/metrics").await;
        let line =
            metrics.text().lines().find_map(|line| line.strip_prefix("image_service_import_items_total{result=\"complete\"} "));
        shares.push(line.map_or(0, |number| number.parse::<u32>().unwrap()));
    }
    assert!(shares.iter().sum::<u32>() == 60 && shares.iter().all(|share| *share > 0), "{shares:?}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_shuts_down_releases_its_running_items() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let site = LocalSite::start(move |path| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ThenSilence(head("200 OK", &[])),
        _ => picture(&jpeg(96, 64, seed(path))),
    })
    .await;
    let mut home = Home::new().await;
    site.allow(&mut home);
    home.set("IMPORT_ATTEMPTS", "1");
    let process = Process::start(&home, &[]).await;
    let id = request_import(&Client::new(process.address), &[site.url(1)]).await;
    until("the image is requested", async || asked.load(Ordering::SeqCst) == 1).await;
    let started = std::time::Instant::now();
    process.stop().await;
    assert!(started.elapsed() < Duration::from_secs(20), "the shutdown waited for a silent server");
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let job = done(&client, &id).await;
    assert_one_image_each(&client, &job, 1).await;
    process.stop().await;
}

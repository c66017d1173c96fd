//! A database or storage that refuses, hangs, slows down or cuts connections. The service reports it within a bounded
//! time, stores nothing that it did not acknowledge, and recovers by itself.
//!
//! SQLite has no network that could fail, so the database tests run on PostgreSQL only.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::assert_error;
use crate::harness::client::{Client, Upload};
use crate::harness::process::Process;
use crate::harness::proxy::{Direction, Fault, Proxied, Proxy};

/// Short timeouts, so that a hanging dependency is noticed soon.
const SETTINGS: [(&str, &str); 2] = [("DATABASE_TIMEOUT", "1"), ("S3_TIMEOUT", "2")];

/// Far more than the sum of the timeouts. It only shows that the time is bounded.
const TIME_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependency {
    Database,
    Storage,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_refuses_connections_is_reported_and_recovered_from() {
    assert_survives(Dependency::Storage, Fault::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_hangs_is_reported_and_recovered_from() {
    assert_survives(Dependency::Storage, Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_storage_is_reported_and_recovered_from() {
    assert_survives(Dependency::Storage, Fault::Slow(Duration::from_secs(5))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_cuts_connections_is_reported_and_recovered_from() {
    assert_survives(Dependency::Storage, Fault::Cut(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_connections_is_reported_and_recovered_from() {
    assert_survives(Dependency::Database, Fault::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_reported_and_recovered_from() {
    assert_survives(Dependency::Database, Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_reported_and_recovered_from() {
    assert_survives(Dependency::Database, Fault::Slow(Duration::from_secs(5))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cuts_connections_is_reported_and_recovered_from() {
    assert_survives(Dependency::Database, Fault::Cut(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silently_lost_database_connections_are_replaced() {
    let proxied = Proxied::new().await;
    let Some(proxy) = &proxied.database else { return };
    let settings = [("DATABASE_CONNECTIONS", "4"), ("DATABASE_TIMEOUT", "1")];
    let process = Process::start(&proxied.home, &settings).await;
    let client = Client::new(process.address);
    for _ in 0..2 {
        // All connections are open and in use when they are lost.
        let requests = (0..40).map(|_| client.get("/images"));
        let losing = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            proxy.set(Fault::Lose);
        };
        within_time_limit("lists", async { tokio::join!(futures::future::join_all(requests), losing) }).await;
        wait_until_ready(&client).await;
        let answers = within_time_limit("lists", futures::future::join_all((0..40).map(|_| client.get("/images")))).await;
        for answer in answers {
            answer.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_for_a_cached_image_are_rejected_in_time_while_the_database_hangs() {
    let proxied = Proxied::new().await;
    let Some(proxy) = &proxied.database else { return };
    let settings = [SETTINGS[0], SETTINGS[1], ("MAX_CONNECTIONS_PER_ADDRESS", "1024")];
    let process = Process::start(&proxied.home, &settings).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("cached", 1)).await.image_id();
    let path = format!("/images/{id}/thumbnails/small");
    for _ in 0..2 {
        assert_eq!(client.get(&path).await.status, 200);
    }
    proxy.set(Fault::Hang);
    let requests = futures::future::join_all((0..600).map(|_| client.get(&path)));
    for answer in within_time_limit("thumbnails", requests).await {
        assert_error(&answer, 503, "ServiceUnavailable");
    }
    proxy.set(Fault::None);
    wait_until_ready(&client).await;
    assert_eq!(client.get(&path).await.status, 200);
    assert_sound(&proxied, process).await;
}

/// Uploads before, during and after a fault. Afterwards exactly the acknowledged images exist.
async fn assert_survives(broken: Dependency, fault: Fault) {
    let proxied = Proxied::new().await;
    let Some(proxy) = proxy_of(&proxied, broken) else { return };
    let process = Process::start(&proxied.home, &SETTINGS).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("before", 1)).await.image_id();
    assert_eq!(client.get("/ready").await.status, 200);

    proxy.set(fault);
    for _ in 0..2 {
        assert_uploads_are_rejected(&client).await;
        assert_readiness(&client, Some(broken)).await;
        assert_eq!(within_time_limit("health", client.get("/health")).await.status, 200);
        match broken {
            Dependency::Storage => assert_reading_works(&client, &id).await,
            Dependency::Database => assert_reading_is_rejected(&client, &id).await,
        }
    }

    proxy.set(Fault::None);
    upload_until_stored(&client, "after").await;
    assert_readiness(&client, None).await;
    let mut titles: Vec<Value> = client.list().await.iter().map(|image| image["title"].clone()).collect();
    titles.sort_by_key(Value::to_string);
    assert_eq!(titles, ["after", "before"]);
    for title in ["after", "before"] {
        assert_eq!(client.count_whole(title).await, 1);
    }
    assert_sound(&proxied, process).await;
}

fn proxy_of(proxied: &Proxied, broken: Dependency) -> Option<&Proxy> {
    match broken {
        Dependency::Database => proxied.database.as_ref(),
        Dependency::Storage => Some(&proxied.storage),
    }
}

/// Sends several uploads concurrently, one of them with an idempotency key.
async fn assert_uploads_are_rejected(client: &Client) {
    let uploads = (0..4).map(|seed| {
        let upload = Upload::small("during", seed);
        if seed == 0 { upload.with_key("during") } else { upload }
    });
    let uploads: Vec<Upload> = uploads.collect();
    let answers = futures::future::join_all(uploads.iter().map(|upload| client.upload(upload)));
    for (upload, answer) in uploads.iter().zip(within_time_limit("uploads", answers).await) {
        // A claim that could not be released stays until its lease expires.
        if upload.key.is_some() && answer.status == 409 {
            continue;
        }
        assert_error(&answer, 503, "ServiceUnavailable");
    }
}

async fn assert_readiness(client: &Client, broken: Option<Dependency>) {
    let answer = within_time_limit("readiness", client.get("/ready")).await;
    let state = |dependency| if broken == Some(dependency) { "down" } else { "up" };
    let status = if broken.is_some() { "unavailable" } else { "ready" };
    let body = answer.json();
    let actual = [&body["status"], &body["database"], &body["storage"]];
    assert_eq!(actual, [status, state(Dependency::Database), state(Dependency::Storage)]);
    let error = ["error", "message", "details"].map(|name| body[name].clone());
    match broken {
        Some(broken) => {
            let dependency = format!("{broken:?}").to_lowercase();
            assert_eq!(error[0], "ServiceUnavailable");
            assert!(error[1].as_str().is_some_and(|message| message.contains(&dependency) && message.ends_with('.')), "{body}");
            assert_eq!(error[2], serde_json::json!({"request_id": answer.header("x-request-id")}));
        }
        None => assert!(error.iter().all(serde_json::Value::is_null), "{body}"),
    }
    assert_eq!(answer.status, if broken.is_some() { 503 } else { 200 });
    assert_eq!(!answer.header("retry-after").is_empty(), broken.is_some());
}

/// While the storage is down, everything that only needs the database works.
async fn assert_reading_works(client: &Client, id: &str) {
    assert_eq!(within_time_limit("an image", client.get(&format!("/images/{id}"))).await.ok()["title"], "before");
    assert_eq!(within_time_limit("a list", client.get("/images")).await.ok()["total_count"], 1);
    within_time_limit("a link", client.get(&format!("/images/{id}/download"))).await.ok();
    let change = serde_json::json!({"description": "changed meanwhile"});
    assert_eq!(within_time_limit("a change", client.patch(id, &change)).await.ok()["description"], "changed meanwhile");
}

async fn assert_reading_is_rejected(client: &Client, id: &str) {
    for path in ["/images".to_owned(), format!("/images/{id}"), format!("/images/{id}/download")] {
        assert_error(&within_time_limit(&path, client.get(&path)).await, 503, "ServiceUnavailable");
    }
    assert_eq!(within_time_limit("metrics", client.get("/metrics")).await.status, 200);
}

async fn within_time_limit<T>(what: &str, request: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let answer = request.await;
    assert!(started.elapsed() < TIME_LIMIT, "{what} took {:?}", started.elapsed());
    answer
}

/// Uploads until it succeeds. Until then, every response must be a 503.
async fn upload_until_stored(client: &Client, title: &str) {
    let started = Instant::now();
    loop {
        let answer = client.upload(&Upload::small(title, 99)).await;
        if answer.status == 200 {
            return;
        }
        assert_error(&answer, 503, "ServiceUnavailable");
        assert!(started.elapsed() < Duration::from_secs(30), "the service does not recover: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks, after an orderly shutdown, that the doctor reports no problems.
async fn assert_sound(proxied: &Proxied, process: Process) {
    process.stop().await;
    let report = proxied.home.run(&["doctor"], &[]).await;
    assert!(report.status.success(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_dependencies_within_the_timeouts_work() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("DATABASE_TIMEOUT", "5"), ("S3_TIMEOUT", "15")]).await;
    let client = Client::new(process.address);
    proxied.storage.set(Fault::Slow(Duration::from_millis(200)));
    if let Some(database) = &proxied.database {
        database.set(Fault::Slow(Duration::from_millis(50)));
    }
    let uploads: Vec<Upload> = (0..4).map(|seed| Upload::small(&format!("slow {seed}"), seed)).collect();
    for answer in futures::future::join_all(uploads.iter().map(|upload| client.upload(upload))).await {
        answer.ok();
    }
    assert_eq!(client.get("/ready").await.status, 200);
    assert_eq!(client.list().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_started_before_its_dependencies_waits_for_the_database_but_not_for_the_storage() {
    let proxied = Proxied::new().await;
    proxied.storage.set(Fault::Refused);
    if let Some(database) = &proxied.database {
        database.set(Fault::Refused);
    }
    let (process, ()) = tokio::join!(Process::start(&proxied.home, &SETTINGS), async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if let Some(database) = &proxied.database {
            database.set(Fault::None);
        }
    });
    let client = Client::new(process.address);
    assert_readiness(&client, Some(Dependency::Storage)).await;
    proxied.storage.set(Fault::None);
    upload_until_stored(&client, "at last").await;
    assert_readiness(&client, None).await;
}

// A connection that breaks once, at every point of an upload.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_atomic_wherever_the_database_connection_is_cut() {
    assert_cuts_are_harmless(Dependency::Database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_atomic_wherever_the_storage_connection_is_cut() {
    assert_cuts_are_harmless(Dependency::Storage).await;
}

/// The number of points at which the connection is cut, in each direction.
const CUTS: u64 = 24;

async fn assert_cuts_are_harmless(broken: Dependency) {
    let proxied = Proxied::new().await;
    let Some(proxy) = proxy_of(&proxied, broken) else { return };
    // Nothing else should use the dependency meanwhile.
    let settings = [("SWEEP_INTERVAL", "86400"), ("IMPORT_CONCURRENCY", "0"), ("DATABASE_TIMEOUT", "5"), ("S3_TIMEOUT", "10")];
    let process = Process::start(&proxied.home, &settings).await;
    let client = Client::new(process.address);
    let (mut stored, mut refused, mut unknown, mut struck) = (0, 0, 0, 0);
    for direction in [Direction::ToServer, Direction::ToClient] {
        // The first uploads also prepare statements and open connections.
        for warm_up in 0..2 {
            upload_until_stored(&client, &format!("{direction:?} {warm_up}")).await;
        }
        proxy.set(Fault::None);
        upload_until_stored(&client, &format!("{direction:?} measured")).await;
        let whole = proxy.forwarded(direction);
        // Quadratic steps, so that cuts are denser near the end, where the commit is.
        for step in 0..CUTS {
            // This upload replaces the connection that was cut, so that it does not disturb the byte count.
            upload_until_stored(&client, &format!("{direction:?} between {step}")).await;
            let left = whole * (CUTS - step) * (CUTS - step) / (CUTS * CUTS);
            let title = format!("{direction:?} cut {left} before its end");
            proxy.set(Fault::CutOnce(direction, whole - left));
            let answer = within_time_limit(&title, client.upload(&Upload::small(&title, step))).await;
            struck += u32::from(proxy.is_over());
            proxy.set(Fault::None);
            wait_until_ready(&client).await;
            let found = client.count_whole(&title).await;
            match answer.status {
                200 => {
                    assert_eq!(found, 1, "{title}");
                    stored += 1;
                }
                _ => {
                    assert_error(&answer, 503, "ServiceUnavailable");
                    assert!(found <= 1, "{title}: {found}");
                    *(if found == 0 { &mut refused } else { &mut unknown }) += 1;
                }
            }
        }
    }
    eprintln!("{broken:?}: cut {struck} times: {stored} stored, {refused} rejected, {unknown} rejected but stored");
    assert!(u64::from(struck) > CUTS, "only {struck} of {} cuts happened", 2 * CUTS);
    assert_sound(&proxied, process).await;
}

/// Waits until requests succeed: a broken idle connection is noticed only when it is used next.
async fn wait_until_ready(client: &Client) {
    let started = Instant::now();
    while client.get("/images").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "the service does not recover");
    }
}

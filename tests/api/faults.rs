//! A database or a storage that refuses, hangs, crawls or cuts the connection: the service says so within a bounded
//! time, stores nothing that it did not acknowledge, and recovers by itself.
//!
//! SQLite has no network to break: what is about the database runs on PostgreSQL only.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::assert_error;
use crate::harness::client::{Client, Upload};
use crate::harness::process::Process;
use crate::harness::proxy::{Direction, Fault, Proxied, Proxy};

/// So that a hanging dependency is noticed soon.
const SETTINGS: [(&str, &str); 2] = [("DATABASE_TIMEOUT", "1"), ("S3_TIMEOUT", "2")];

/// Far more than the timeouts add up to; it only shows that there is a bound.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Database,
    Storage,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_refuses_is_told_and_recovered_from() {
    outlives(Broken::Storage, Fault::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_hangs_is_told_and_recovered_from() {
    outlives(Broken::Storage, Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_crawls_is_told_and_recovered_from() {
    outlives(Broken::Storage, Fault::Slow(Duration::from_secs(5))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_cuts_connections_is_told_and_recovered_from() {
    outlives(Broken::Storage, Fault::Cut(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_is_told_and_recovered_from() {
    outlives(Broken::Database, Fault::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_told_and_recovered_from() {
    outlives(Broken::Database, Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crawls_is_told_and_recovered_from() {
    outlives(Broken::Database, Fault::Slow(Duration::from_secs(5))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cuts_connections_is_told_and_recovered_from() {
    outlives(Broken::Database, Fault::Cut(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_connections_that_are_lost_in_silence_are_replaced() {
    let proxied = Proxied::new().await;
    let Some(proxy) = &proxied.database else { return };
    let settings = [("DATABASE_CONNECTIONS", "4"), ("DATABASE_TIMEOUT", "1")];
    let process = Process::start(&proxied.home, &settings).await;
    let client = Client::new(process.address);
    for _ in 0..2 {
        // All of them are open, and in use when they are lost.
        let asking = (0..40).map(|_| client.get("/images"));
        let losing = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            proxy.set(Fault::Lose);
        };
        bounded("lists", async { tokio::join!(futures::future::join_all(asking), losing) }).await;
        until_ready(&client).await;
        let answers = bounded("lists", futures::future::join_all((0..40).map(|_| client.get("/images")))).await;
        for answer in answers {
            answer.ok();
        }
    }
}

/// Uploads before, during and after a fault; afterwards exactly the acknowledged ones are there.
async fn outlives(broken: Broken, fault: Fault) {
    let proxied = Proxied::new().await;
    let Some(proxy) = proxy_of(&proxied, broken) else { return };
    let process = Process::start(&proxied.home, &SETTINGS).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("before", 1)).await.image_id();
    assert_eq!(client.get("/ready").await.status, 200);

    proxy.set(fault);
    for _ in 0..2 {
        assert_uploads_are_refused(&client).await;
        assert_readiness(&client, Some(broken)).await;
        assert_eq!(bounded("health", client.get("/health")).await.status, 200);
        match broken {
            Broken::Storage => assert_reading_works(&client, &id).await,
            Broken::Database => assert_reading_is_refused(&client, &id).await,
        }
    }

    proxy.set(Fault::None);
    until_stored(&client, "after").await;
    assert_readiness(&client, None).await;
    let mut titles: Vec<Value> = client.list().await.iter().map(|image| image["title"].clone()).collect();
    titles.sort_by_key(Value::to_string);
    assert_eq!(titles, ["after", "before"]);
    for title in ["after", "before"] {
        assert_eq!(client.count_whole(title).await, 1);
    }
    assert_sound(&proxied, process).await;
}

fn proxy_of(proxied: &Proxied, broken: Broken) -> Option<&Proxy> {
    match broken {
        Broken::Database => proxied.database.as_ref(),
        Broken::Storage => Some(&proxied.storage),
    }
}

/// Several at once, one of them under a key.
async fn assert_uploads_are_refused(client: &Client) {
    let uploads = (0..4).map(|seed| {
        let upload = Upload::small("during", seed);
        if seed == 0 { upload.with_key("during") } else { upload }
    });
    let uploads: Vec<Upload> = uploads.collect();
    let answers = futures::future::join_all(uploads.iter().map(|upload| client.upload(upload)));
    for (upload, answer) in uploads.iter().zip(bounded("uploads", answers).await) {
        // A claim that could not be given back stays until its lease ends.
        if upload.key.is_some() && answer.status == 409 {
            continue;
        }
        assert_error(&answer, 503, "ServiceUnavailable");
    }
}

async fn assert_readiness(client: &Client, broken: Option<Broken>) {
    let answer = bounded("readiness", client.get("/ready")).await;
    let state = |dependency| if broken == Some(dependency) { "down" } else { "up" };
    let status = if broken.is_some() { "unavailable" } else { "ready" };
    let body = answer.json();
    let told = [&body["status"], &body["database"], &body["storage"]];
    assert_eq!(told, [status, state(Broken::Database), state(Broken::Storage)]);
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

/// What the database knows is served while the storage is down.
async fn assert_reading_works(client: &Client, id: &str) {
    assert_eq!(bounded("an image", client.get(&format!("/images/{id}"))).await.ok()["title"], "before");
    assert_eq!(bounded("a list", client.get("/images")).await.ok()["total_count"], 1);
    bounded("a link", client.get(&format!("/images/{id}/download"))).await.ok();
    let change = serde_json::json!({"description": "changed meanwhile"});
    assert_eq!(bounded("a change", client.patch(id, &change)).await.ok()["description"], "changed meanwhile");
}

async fn assert_reading_is_refused(client: &Client, id: &str) {
    for path in ["/images".to_owned(), format!("/images/{id}"), format!("/images/{id}/download")] {
        assert_error(&bounded(&path, client.get(&path)).await, 503, "ServiceUnavailable");
    }
    assert_eq!(bounded("metrics", client.get("/metrics")).await.status, 200);
}

async fn bounded<T>(what: &str, asking: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let answer = asking.await;
    assert!(started.elapsed() < BOUND, "{what} took {:?}", started.elapsed());
    answer
}

/// Uploads until it is acknowledged; until then every answer says that it was not.
async fn until_stored(client: &Client, title: &str) {
    let started = Instant::now();
    loop {
        let answer = client.upload(&Upload::small(title, 99)).await;
        if answer.status == 200 {
            return;
        }
        assert_error(&answer, 503, "ServiceUnavailable");
        assert!(started.elapsed() < Duration::from_secs(30), "it does not recover: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The doctor has nothing to say, after an orderly end.
async fn assert_sound(proxied: &Proxied, process: Process) {
    process.stop().await;
    let report = proxied.home.run(&["doctor"], &[]).await;
    assert!(report.status.success(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_slow_but_within_the_timeouts_works() {
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
async fn a_service_that_starts_before_its_dependencies_waits_for_the_database_and_needs_no_storage() {
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
    assert_readiness(&client, Some(Broken::Storage)).await;
    proxied.storage.set(Fault::None);
    until_stored(&client, "at last").await;
    assert_readiness(&client, None).await;
}

// A connection that breaks once, at every point of an upload.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_connection_cut_anywhere_in_an_upload_leaves_all_of_it_or_nothing() {
    cut_everywhere(Broken::Database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_connection_cut_anywhere_in_an_upload_leaves_all_of_it_or_nothing() {
    cut_everywhere(Broken::Storage).await;
}

/// Of the points at which the connection is cut, in each direction.
const CUTS: u64 = 24;

async fn cut_everywhere(broken: Broken) {
    let proxied = Proxied::new().await;
    let Some(proxy) = proxy_of(&proxied, broken) else { return };
    // Nothing else should talk to the dependency meanwhile.
    let settings = [("SWEEP_INTERVAL", "86400"), ("IMPORT_CONCURRENCY", "0"), ("DATABASE_TIMEOUT", "5"), ("S3_TIMEOUT", "10")];
    let process = Process::start(&proxied.home, &settings).await;
    let client = Client::new(process.address);
    let (mut stored, mut refused, mut unknown, mut struck) = (0, 0, 0, 0);
    for direction in [Direction::ToServer, Direction::ToClient] {
        // The first upload prepares statements and opens connections, which later ones do not.
        for warm_up in 0..2 {
            until_stored(&client, &format!("{direction:?} {warm_up}")).await;
        }
        proxy.set(Fault::None);
        until_stored(&client, &format!("{direction:?} measured")).await;
        let whole = proxy.forwarded(direction);
        // Each point twice as near to the end as even steps would be: the commit is there.
        for step in 0..CUTS {
            // The connection that was cut before is replaced here, and not while bytes are counted.
            until_stored(&client, &format!("{direction:?} between {step}")).await;
            let left = whole * (CUTS - step) * (CUTS - step) / (CUTS * CUTS);
            let title = format!("{direction:?} cut {left} before its end");
            proxy.set(Fault::CutOnce(direction, whole - left));
            let answer = bounded(&title, client.upload(&Upload::small(&title, step))).await;
            struck += u32::from(proxy.is_over());
            proxy.set(Fault::None);
            until_ready(&client).await;
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
    eprintln!("{broken:?}: cut {struck} times: {stored} stored, {refused} refused, {unknown} refused and there");
    assert!(u64::from(struck) > CUTS, "only {struck} of {} cuts came to pass", 2 * CUTS);
    assert_sound(&proxied, process).await;
}

/// Connections that broke while nobody used them are noticed by who uses them next.
async fn until_ready(client: &Client) {
    let started = Instant::now();
    while client.get("/images").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not recover");
    }
}

//! Imports continue after outages and kills of the service, and several instances share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::import_queue::{counts, seed, until};
use crate::harness::client::Client;
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::world::{Reply, answer, head, picture};
use crate::harness::{Form, TestApp, World};

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

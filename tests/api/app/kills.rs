//! Repeatedly kills the real program with `kill -9` during uploads, deletions and resizes: every acknowledged image
//! survives whole, and nothing else is left. No deleted image is sent, although its thumbnail was cached.
//!
//! `tests/run --only kills --rounds 1000` runs for a night. KILL_REPORT names the file for the result.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use image_service::service::maintenance::doctor::{Fix, Report};
use image_service::service::maintenance::step::Outcome;
use image_service::worker::sweeper;
use serde_json::Value;

use super::startup::chance;
use crate::harness::assert_error;
use crate::harness::client::{Client, Upload};
use crate::harness::pictures::Random;
use crate::harness::process::{Home, Process, files_below};

/// What the service acknowledged to the clients.
#[derive(Default)]
struct Acknowledged {
    /// The id and checksum of each acknowledged image, by title.
    stored: BTreeMap<String, (Value, Value)>,
    /// Titles of images whose deletion was acknowledged.
    deleted: BTreeSet<String>,
    /// Titles of images whose deletion got no response: they may or may not exist.
    in_doubt: BTreeSet<String>,
    /// Titles of images of which a resized image was sent.
    resized: BTreeSet<String>,
    /// Uploads that got no response.
    lost: Vec<Upload>,
}

impl Acknowledged {
    fn store(&mut self, title: &str, image: &Value) {
        let known = self.stored.insert(title.to_owned(), (image["image_id"].clone(), image["sha256"].clone()));
        assert!(known.is_none_or(|(id, _)| id == image["image_id"]), "{title} was stored twice");
    }

    fn add(&mut self, other: Self) {
        self.stored.extend(other.stored);
        self.deleted.extend(other.deleted);
        self.in_doubt.extend(other.in_doubt);
        self.resized.extend(other.resized);
        self.lost.extend(other.lost);
    }

    /// Returns the images that must be listed.
    fn live(&self) -> impl Iterator<Item = (&String, &(Value, Value))> {
        self.stored.iter().filter(|(title, _)| !self.deleted.contains(*title) && !self.in_doubt.contains(*title))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_no_acknowledged_image_and_leaves_nothing_else() {
    let mut home = Home::new().await;
    // So that purges are killed too.
    home.set("RETENTION_DAYS", "0");
    let mut chance = chance();
    let mut acknowledged = Acknowledged::default();
    let mut seen = HashSet::new();
    let rounds = rounds();
    for round in 0..rounds {
        let process = Process::start(&home, &[("SWEEP_INTERVAL", "1")]).await;
        acknowledged.add(load_and_kill(process, round, &mut chance).await);
        let process = Process::start(&home, &[]).await;
        let client = Client::new(process.address);
        repeat_lost_uploads(&client, &mut acknowledged).await;
        assert_as_acknowledged(&client, &acknowledged, &mut seen).await;
        assert_some_are_whole(&client, &acknowledged, &mut chance).await;
        if home.has_embedded_storage() {
            assert_eq!(files_below(&home.data_dir().join("objects/incoming")), Vec::<std::path::PathBuf>::new());
        }
        process.kill().await;
    }
    let cut_off = acknowledged.lost.len();
    assert_that_lost_uploads_store_one_image_after_the_lease(&home, &mut acknowledged).await;
    let report = assert_that_the_sweeper_leaves_nothing_else(&home, &acknowledged).await;
    write_report(&format!(
        "{rounds} rounds, {} kills: of {} acknowledged uploads none was lost, and of {} deletions none came back; {} images resized, {cut_off} \
         uploads cut off for good; doctor found no orphan among {} objects",
        2 * rounds,
        acknowledged.stored.len(),
        acknowledged.deleted.len(),
        acknowledged.resized.len(),
        report.objects
    ));
}

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").map_or(8, |rounds| rounds.parse().expect("KILL_ROUNDS is a number"))
}

fn write_report(result: &str) {
    eprintln!("{result}");
    if let Some(file) = std::env::var_os("KILL_REPORT") {
        std::fs::write(file, result).expect("KILL_REPORT can be written");
    }
}

/// Kills the program after its clients have stored a random number of images.
async fn load_and_kill(process: Process, round: u64, chance: &mut Random) -> Acknowledged {
    let client = Client::new(process.address);
    let stored = Arc::new(AtomicUsize::new(0));
    let clients = (0..4).map(|number| {
        let name = format!("round {round} client {number}");
        tokio::spawn(work_until_killed(client.clone(), name, round * 10 + number, Arc::clone(&stored)))
    });
    let clients: Vec<_> = clients.collect();
    let enough = chance.below(12);
    until("enough images are stored", async || stored.load(Ordering::SeqCst) >= enough).await;
    // By then, requests can be at any step.
    tokio::time::sleep(Duration::from_micros(chance.below(200_000) as u64)).await;
    process.kill().await;
    let mut acknowledged = Acknowledged::default();
    for client in clients {
        acknowledged.add(client.await.expect("a client"));
    }
    acknowledged
}

/// Uploads images (every other one with an idempotency key), resizes some and deletes some, until the program is
/// killed.
async fn work_until_killed(client: Client, name: String, seed: u64, stored: Arc<AtomicUsize>) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for number in 0.. {
        let title = format!("{name} number {number}");
        let upload = Upload::small(&title, seed.wrapping_mul(1_000_003).wrapping_add(number));
        let upload = if number % 2 == 0 { upload.with_key(&title.replace(' ', "-")) } else { upload };
        let Ok(answer) = client.try_upload(&upload).await else {
            acknowledged.lost.push(upload);
            break;
        };
        acknowledged.store(&title, &answer.image());
        stored.fetch_add(1, Ordering::SeqCst);
        let id = answer.image_id();
        // Fills the cache.
        match client.try_get(&thumbnail(&id)).await {
            Some(status) => assert_eq!(status, 200),
            None => break,
        }
        if number % 3 == 0 {
            match client.try_get(&resized(&id)).await {
                Some(status) => assert_eq!(status, 200),
                None => break,
            }
            acknowledged.resized.insert(title.clone());
        }
        if number % 4 < 2 {
            match client.try_delete(&id).await {
                Some(status) => assert_eq!(status, 200),
                None => {
                    acknowledged.in_doubt.insert(title);
                    break;
                }
            }
            acknowledged.deleted.insert(title);
            match client.try_get(&thumbnail(&id)).await {
                Some(status) => assert_eq!(status, 404),
                None => break,
            }
        }
    }
    acknowledged
}

fn thumbnail(id: &str) -> String {
    format!("/images/{id}/thumbnails/small")
}

fn resized(id: &str) -> String {
    format!("/images/{id}/thumbnail?width=40&height=40&fit=cover")
}

/// Repeats the uploads that got no response and have a key. Each returns its image if that was stored; until the lease
/// of the key expires, the upload counts as running.
async fn repeat_lost_uploads(client: &Client, acknowledged: &mut Acknowledged) {
    let mut lost = Vec::new();
    for upload in std::mem::take(&mut acknowledged.lost) {
        if upload.key.is_none() {
            lost.push(upload);
            continue;
        }
        let answer = client.upload(&upload).await;
        match answer.status {
            200 => acknowledged.store(&upload.title, &answer.image()),
            _ => {
                assert_error(&answer, 409, "Conflict");
                lost.push(upload);
            }
        }
    }
    acknowledged.lost = lost;
}

/// Asserts that every acknowledged image is listed once and whole, and that any other image is a whole one whose
/// response was lost.
async fn assert_as_acknowledged(client: &Client, acknowledged: &Acknowledged, seen: &mut HashSet<String>) {
    let mut listed = BTreeMap::new();
    for image in client.list().await {
        let title = image["title"].as_str().expect("a title").to_owned();
        if seen.insert(title.clone()) {
            client.assert_whole(&image).await;
        }
        assert!(listed.insert(title.clone(), (image["image_id"].clone(), image["sha256"].clone())).is_none(), "{title} twice");
    }
    for (title, image) in acknowledged.live() {
        assert_eq!(listed.remove(title).as_ref(), Some(image), "{title}");
    }
    for (title, image) in &listed {
        let stored = acknowledged.in_doubt.contains(title).then(|| &acknowledged.stored[title]);
        let lost = acknowledged.lost.iter().any(|upload| upload.title == *title);
        assert!(!acknowledged.deleted.contains(title), "{title} was deleted");
        assert!(lost || stored == Some(image), "{title} was never uploaded");
    }
}

/// Checks a few images from earlier rounds; all of them are read at the end.
async fn assert_some_are_whole(client: &Client, acknowledged: &Acknowledged, chance: &mut Random) {
    let deleted: Vec<_> = acknowledged.deleted.iter().collect();
    for _ in 0..deleted.len().min(5) {
        let title = *chance.pick(&deleted);
        let id = acknowledged.stored[title].0.as_str().expect("an id");
        assert_eq!(client.try_get(&thumbnail(id)).await, Some(404), "{title}");
    }
    let live: Vec<_> = acknowledged.live().collect();
    for _ in 0..live.len().min(5) {
        let (title, (id, _)) = chance.pick(&live);
        let id = id.as_str().expect("an id");
        client.assert_whole(&client.get(&format!("/images/{id}")).await.ok()).await;
        if acknowledged.resized.contains(*title) {
            assert_eq!(client.try_get(&resized(id)).await, Some(200), "{title}");
        }
    }
}

async fn assert_that_lost_uploads_store_one_image_after_the_lease(home: &Home, acknowledged: &mut Acknowledged) {
    let running = home.start_ahead(TimeDelta::minutes(4)).await;
    let client = Client::new(running.address);
    let with_keys: Vec<Upload> = acknowledged.lost.iter().filter(|upload| upload.key.is_some()).cloned().collect();
    repeat_lost_uploads(&client, acknowledged).await;
    assert!(acknowledged.lost.iter().all(|upload| upload.key.is_none()), "a key is still in use after its lease");
    // A further repetition stores nothing.
    for upload in with_keys {
        acknowledged.store(&upload.title, &client.upload(&upload).await.image());
    }
    assert_as_acknowledged(&client, acknowledged, &mut HashSet::new()).await;
    running.shut_down().await.expect("a clean shutdown");
}

async fn assert_that_the_sweeper_leaves_nothing_else(home: &Home, acknowledged: &Acknowledged) -> Report {
    // Late enough that the doctor checks every object.
    let running = home.start_ahead(TimeDelta::days(2)).await;
    let client = Client::new(running.address);
    // The service's own sweeper, which runs at every start, may have claimed some of the work.
    until("no intent is left", async || {
        while sweeper::sweep(&running.service).await.expect("the sweeper's steps") == Outcome::Done {}
        let metrics = client.get("/metrics").await;
        ["uploading", "removing"].iter().all(|state| metrics.text().contains(&format!("intents{{state=\"{state}\"}} 0\n")))
    })
    .await;
    let report = running.service.examine(Fix::default()).await.expect("a report");
    let unclaimed = [&report.unclaimed, &report.unclaimed_recent];
    let found = [&report.missing, &report.wrong_size, &report.orphans, &report.foreign.examples].into_iter().chain(unclaimed);
    assert!(found.into_iter().all(|keys| keys.is_empty()) && report.counters.is_empty(), "{report}");
    assert!(report.lost_variants.is_empty(), "{report}");
    // No deleted image is left. Each other image has an original, two thumbnails, and perhaps one resized image.
    assert_eq!(report.images, client.list().await.len() as u64);
    assert!((3 * report.images..=4 * report.images).contains(&report.objects), "{report}");
    assert!(report.images >= acknowledged.live().count() as u64);
    running.shut_down().await.expect("a clean shutdown");
    if home.has_embedded_storage() {
        assert_eq!(files_below(&home.data_dir().join("objects/buckets")).len() as u64, report.objects);
        assert!(files_below(&home.data_dir().join("objects/incoming")).is_empty());
    }
    report
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out after a minute waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

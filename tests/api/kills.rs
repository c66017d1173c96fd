//! `kill -9` of the real program under uploads, deletions and resized images, again and again: what was acknowledged is there, whole, and
//! nothing else is kept.
//!
//! `tests/run --only kills --rounds 1000` goes on for a night; KILL_REPORT names a file for its result.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use image_service::service::maintenance::doctor::{Fix, Report};
use image_service::service::maintenance::step::Outcome;
use image_service::worker::sweeper;
use serde_json::Value;

use crate::durability::chance;
use crate::harness::assert_error;
use crate::harness::client::{Client, Upload};
use crate::harness::pictures::Random;
use crate::harness::process::{Home, Process, files_below};

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// By title, the id and checksum of each acknowledged image.
    stored: BTreeMap<String, (Value, Value)>,
    /// Titles of images whose deletion was acknowledged.
    deleted: BTreeSet<String>,
    /// Titles of those whose deletion was not answered: they may be there or not.
    in_doubt: BTreeSet<String>,
    /// Titles of those of which a picture of another size was sent.
    resized: BTreeSet<String>,
    /// Uploads whose answers were lost.
    lost: Vec<Upload>,
}

impl Told {
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

    /// Those that must be listed.
    fn live(&self) -> impl Iterator<Item = (&String, &(Value, Value))> {
        self.stored.iter().filter(|(title, _)| !self.deleted.contains(*title) && !self.in_doubt.contains(*title))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_no_acknowledged_image_and_leaves_nothing_of_others() {
    let mut home = Home::new().await;
    // Purges are killed as well.
    home.set("RETENTION_DAYS", "0");
    let mut chance = chance();
    let mut told = Told::default();
    let mut seen = HashSet::new();
    let rounds = rounds();
    for round in 0..rounds {
        let process = Process::start(&home, &[("SWEEP_INTERVAL", "1")]).await;
        told.add(load_and_kill(process, round, &mut chance).await);
        let process = Process::start(&home, &[]).await;
        let client = Client::new(process.address);
        repeat_the_lost(&client, &mut told).await;
        assert_as_told(&client, &told, &mut seen).await;
        assert_some_are_still_whole(&client, &told, &mut chance).await;
        if home.has_embedded_storage() {
            assert_eq!(files_below(&home.data_dir().join("objects/incoming")), Vec::<std::path::PathBuf>::new());
        }
        process.kill().await;
    }
    let cut_off = told.lost.len();
    after_the_lease_each_lost_request_makes_one_image(&home, &mut told).await;
    let report = after_the_sweeper_nothing_else_is_left(&home, &told).await;
    tell(&format!(
        "{rounds} rounds, {} kills: of {} acknowledged uploads none was lost, and of {} deletions none came back; {} images resized, {cut_off} \
         uploads cut off for good; doctor found no orphan among {} objects",
        2 * rounds,
        told.stored.len(),
        told.deleted.len(),
        told.resized.len(),
        report.objects
    ));
}

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").map_or(8, |rounds| rounds.parse().expect("KILL_ROUNDS is a number"))
}

fn tell(result: &str) {
    eprintln!("{result}");
    if let Some(file) = std::env::var_os("KILL_REPORT") {
        std::fs::write(file, result).expect("KILL_REPORT can be written");
    }
}

/// Kills the program when its clients have stored a random number of images.
async fn load_and_kill(process: Process, round: u64, chance: &mut Random) -> Told {
    let client = Client::new(process.address);
    let stored = Arc::new(AtomicUsize::new(0));
    let clients = (0..4).map(|number| {
        let name = format!("round {round} client {number}");
        tokio::spawn(work_until_killed(client.clone(), name, round * 10 + number, Arc::clone(&stored)))
    });
    let clients: Vec<_> = clients.collect();
    let enough = chance.below(12);
    until("so many are stored", async || stored.load(Ordering::SeqCst) >= enough).await;
    // Requests are at any of their steps then.
    tokio::time::sleep(Duration::from_micros(chance.below(200_000) as u64)).await;
    process.kill().await;
    let mut told = Told::default();
    for client in clients {
        told.add(client.await.expect("a client"));
    }
    told
}

/// Uploads, every other one under a key, and resizes and deletes some, until the program is gone.
async fn work_until_killed(client: Client, name: String, seed: u64, stored: Arc<AtomicUsize>) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let title = format!("{name} number {number}");
        let upload = Upload::small(&title, seed.wrapping_mul(1_000_003).wrapping_add(number));
        let upload = if number % 2 == 0 { upload.with_key(&title.replace(' ', "-")) } else { upload };
        let Ok(answer) = client.try_upload(&upload).await else {
            told.lost.push(upload);
            break;
        };
        told.store(&title, &answer.image());
        stored.fetch_add(1, Ordering::SeqCst);
        let id = answer.image_id();
        if number % 3 == 0 {
            match client.try_get(&resized(&id)).await {
                Some(status) => assert_eq!(status, 200),
                None => break,
            }
            told.resized.insert(title.clone());
        }
        if number % 4 < 2 {
            match client.try_delete(&id).await {
                Some(status) => assert_eq!(status, 200),
                None => {
                    told.in_doubt.insert(title);
                    break;
                }
            }
            told.deleted.insert(title);
        }
    }
    told
}

fn resized(id: &str) -> String {
    format!("/images/{id}/thumbnail?width=40&height=40&fit=cover")
}

/// A request under a key is answered with its image, if that was stored; until its lease ends, it counts as running.
async fn repeat_the_lost(client: &Client, told: &mut Told) {
    let mut lost = Vec::new();
    for upload in std::mem::take(&mut told.lost) {
        if upload.key.is_none() {
            lost.push(upload);
            continue;
        }
        let answer = client.upload(&upload).await;
        match answer.status {
            200 => told.store(&upload.title, &answer.image()),
            _ => {
                assert_error(&answer, 409, "Conflict");
                lost.push(upload);
            }
        }
    }
    told.lost = lost;
}

/// Every acknowledged image is listed once and is whole; any other is one whose answer was lost, and is whole too.
async fn assert_as_told(client: &Client, told: &Told, seen: &mut HashSet<String>) {
    let mut listed = BTreeMap::new();
    for image in client.list().await {
        let title = image["title"].as_str().expect("a title").to_owned();
        if seen.insert(title.clone()) {
            client.assert_whole(&image).await;
        }
        assert!(listed.insert(title.clone(), (image["image_id"].clone(), image["sha256"].clone())).is_none(), "{title} twice");
    }
    for (title, image) in told.live() {
        assert_eq!(listed.remove(title).as_ref(), Some(image), "{title}");
    }
    for (title, image) in &listed {
        let stored = told.in_doubt.contains(title).then(|| &told.stored[title]);
        let lost = told.lost.iter().any(|upload| upload.title == *title);
        assert!(!told.deleted.contains(title), "{title} was deleted");
        assert!(lost || stored == Some(image), "{title} was not even asked for");
    }
}

/// Of what earlier rounds stored; all of it is read at the end.
async fn assert_some_are_still_whole(client: &Client, told: &Told, chance: &mut Random) {
    let live: Vec<_> = told.live().collect();
    for _ in 0..live.len().min(5) {
        let (title, (id, _)) = chance.pick(&live);
        let id = id.as_str().expect("an id");
        client.assert_whole(&client.get(&format!("/images/{id}")).await.ok()).await;
        if told.resized.contains(*title) {
            assert_eq!(client.try_get(&resized(id)).await, Some(200), "{title}");
        }
    }
}

async fn after_the_lease_each_lost_request_makes_one_image(home: &Home, told: &mut Told) {
    let running = home.start_ahead(TimeDelta::minutes(4)).await;
    let client = Client::new(running.address);
    let under_keys: Vec<Upload> = told.lost.iter().filter(|upload| upload.key.is_some()).cloned().collect();
    repeat_the_lost(&client, told).await;
    assert!(told.lost.iter().all(|upload| upload.key.is_none()), "a key is still taken after its lease");
    // And once more, which stores nothing.
    for upload in under_keys {
        told.store(&upload.title, &client.upload(&upload).await.image());
    }
    assert_as_told(&client, told, &mut HashSet::new()).await;
    running.shut_down().await.expect("an orderly end");
}

async fn after_the_sweeper_nothing_else_is_left(home: &Home, told: &Told) -> Report {
    // Far enough for the doctor to look at every object too.
    let running = home.start_ahead(TimeDelta::days(2)).await;
    let client = Client::new(running.address);
    // The service's own sweeper, which runs at every start, may hold some of the work.
    until("no intent is left", async || {
        while sweeper::sweep(&running.service).await.expect("the sweeper's steps") == Outcome::Done {}
        let metrics = client.get("/metrics").await;
        ["uploading", "removing"].iter().all(|state| metrics.text().contains(&format!("intents{{state=\"{state}\"}} 0\n")))
    })
    .await;
    let report = running.service.examine(Fix::default()).await.expect("a report");
    let found = [&report.missing, &report.wrong_size, &report.orphans, &report.unclaimed, &report.foreign.examples];
    assert!(found.iter().all(|keys| keys.is_empty()) && report.counters.is_empty(), "{report}");
    assert!(report.lost_variants.is_empty(), "{report}");
    // No deleted image is left, and of each other one there are the original, two thumbnails, and perhaps one of another size.
    assert_eq!(report.images, client.list().await.len() as u64);
    assert!((3 * report.images..=4 * report.images).contains(&report.objects), "{report}");
    assert!(report.images >= told.live().count() as u64);
    running.shut_down().await.expect("an orderly end");
    if home.has_embedded_storage() {
        assert_eq!(files_below(&home.data_dir().join("objects/buckets")).len() as u64, report.objects);
        assert!(files_below(&home.data_dir().join("objects/incoming")).is_empty());
    }
    report
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

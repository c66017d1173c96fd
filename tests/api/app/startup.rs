//! Starts: after a kill, after a stop, twice on the same data, several at once, and before the database is available.
//! The tests observe the real program from outside.
//!
//! A kill does not simulate a power cut. That files are synced before the response can only be reviewed, not tested.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image_service::model::clock::{Clock, SystemClock};
use image_service::store::database::db::Location;
use image_service::store::{self, Db, DbConfig};
use serde_json::Value;
use sqlx::Connection;
use sqlx::migrate::Migrate;

use crate::harness::backend::Database;
use crate::harness::client::{Client, Upload};
use crate::harness::pictures::Random;
use crate::harness::process::{Home, Process};

/// The number of rounds. `SOAK_ROUNDS=500 cargo test killed` runs more of them.
fn rounds(default: u64) -> u64 {
    std::env::var("SOAK_ROUNDS").map_or(default, |rounds| rounds.parse().expect("SOAK_ROUNDS must be a number"))
}

/// Random numbers whose seed is printed if the test fails.
pub fn chance() -> Random {
    let seed = u64::from_le_bytes(SystemClock.random()[..8].try_into().expect("eight bytes"));
    eprintln!("seed {seed}");
    Random::new(seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_start_can_be_repeated() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    let mut chance = chance();
    for _ in 0..rounds(10) {
        let mut child = home.command(&["serve"], &[]).spawn().expect("the program can be started");
        tokio::time::sleep(Duration::from_micros(chance.below(120_000) as u64)).await;
        child.kill().expect("the program can be killed");
        child.wait().expect("the exit status");
    }
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    client.upload(&Upload::small("after all", 1)).await.ok();
    assert_eq!(client.count_whole("after all").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_data_is_available_after_a_restart() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    for seed in 0..3 {
        client.upload(&Upload::small(&format!("number {seed}"), seed)).await.ok();
    }
    let before = without_links(client.list().await);
    process.stop().await;

    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    assert_eq!(without_links(client.list().await), before);
    for seed in 0..3 {
        assert_eq!(client.count_whole(&format!("number {seed}")).await, 1);
    }
    process.stop().await;
}

/// Removes the links, which change with the storage's port and with time.
fn without_links(mut images: Vec<Value>) -> Vec<Value> {
    for image in &mut images {
        image["download_url"] = Value::Null;
        image["thumbnail_url"] = Value::Null;
        for thumbnail in image["thumbnails"].as_object_mut().expect("thumbnails").values_mut() {
            thumbnail["url"] = Value::Null;
        }
    }
    images
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_data_is_rejected_and_the_first_continues() {
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    for command in ["serve", "migrate", "doctor"] {
        let second = home.run(&[command], &[]).await;
        assert!(!second.status.success(), "{second:?}");
        assert!(second.log.contains("another process is using"), "{second:?}");
        assert!(second.log.contains(&home.data_dir().display().to_string()), "{second:?}");
    }
    client.upload(&Upload::small("still here", 1)).await.ok();
    assert_eq!(client.count_whole("still here").await, 1);
    process.stop().await;
    // The data directory is free again.
    Process::start(&home, &[]).await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_can_read_the_data_directory_and_wider_modes_are_corrected() {
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    Client::new(process.address).upload(&Upload::small("private", 1)).await.ok();
    process.stop().await;
    let paths = paths_in(&home.data_dir());
    for path in &paths {
        assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    let widened = ["", "lock", "images.sqlite", "objects", "objects/lock", "objects/credentials.json"];
    let widened = widened.map(|name| home.data_dir().join(name));
    for path in &widened {
        assert!(paths.contains(path) || path == &home.data_dir().join(""), "{}", path.display());
        let wider = std::fs::Permissions::from_mode(if path.is_dir() { 0o755 } else { 0o644 });
        std::fs::set_permissions(path, wider).expect("the mode can be changed");
    }
    Process::start(&home, &[]).await.stop().await;
    for path in &widened {
        assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a path").permissions().mode() & 0o777
}

/// Everything in a directory and its subdirectories.
fn paths_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { [vec![path.clone()], paths_in(&path)].concat() } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_can_start_concurrently_on_an_empty_database() {
    let home = Home::new().await;
    if home.database_address().is_none() || home.has_embedded_storage() {
        return;
    }
    home.empty_database().await;
    let (migrations, processes) = tokio::join!(
        futures::future::join_all((0..3).map(|_| home.run(&["migrate"], &[]))),
        futures::future::join_all((0..4).map(|_| Process::start(&home, &[]))),
    );
    for migration in migrations {
        assert!(migration.status.success(), "{migration:?}");
    }
    for (number, process) in processes.iter().enumerate() {
        let upload = Upload::small(&format!("by process {number}"), number as u64);
        Client::new(process.address).upload(&upload).await.ok();
    }
    for process in processes {
        assert_eq!(Client::new(process.address).list().await.len(), 4);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_used_concurrently_at_two_processes_creates_one_image() {
    let home = Home::new().await;
    if home.database_address().is_none() || home.has_embedded_storage() {
        return;
    }
    let (one, two) = tokio::join!(Process::start(&home, &[]), Process::start(&home, &[]));
    let (one, two) = (Client::new(one.address), Client::new(two.address));
    for round in 0..10 {
        let upload = Upload::small(&format!("round {round}"), round).with_key(&format!("key-{round}"));
        let answers = tokio::join!(one.upload(&upload), two.upload(&upload));
        for answer in [&answers.0, &answers.1] {
            assert!(answer.status == 200 || answer.status == 409, "{answer:?}");
        }
        assert!(answers.0.status == 200 || answers.1.status == 200);
        assert_eq!(one.upload(&upload).await.image_id(), two.upload(&upload).await.image_id());
        assert_eq!(two.count_whole(&upload.title).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_stops_the_start() {
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let other = Home::embedded();
    let port = process.address.port().to_string();
    let refused = other.run(&["serve"], &[("PORT", &port)]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.log.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{}", refused.log);
    let storage_port = process.storage_address.expect("embedded storage").port().to_string();
    let refused = other.run(&["serve"], &[("S3_EMBEDDED_PORT", &storage_port)]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.log.contains(&format!("cannot listen on 127.0.0.1:{storage_port}")), "{}", refused.log);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_migration_lock_times_out() {
    let Some(database) = Database::create_empty("").await else { return };
    let mut other = sqlx::PgConnection::connect(&database.direct_url).await.expect("cannot connect to the database");
    other.lock().await.expect("the migration lock is acquired");
    // The limit for the lock is a multiple of the statement timeout.
    let (timeout, statement_timeout) = (Duration::from_secs(30), Duration::from_millis(200));
    let location = Location::Postgres(database.url.clone());
    let config = DbConfig { location, max_connections: 1, timeout, statement_timeout };
    let db = Db::open(&config).await.expect("the database can be opened");
    let waited =
        tokio::time::timeout(Duration::from_secs(60), store::database::migrate::run(&db)).await.expect("the migration returns");
    assert!(matches!(waited, Err(store::Error::MigrationLocked(..))), "{waited:?}");
    other.unlock().await.expect("the lock is released");
    store::database::migrate::run(&db).await.expect("the migrations succeed");
}

//! The program as its operator meets it: commands that find nothing, hang, or are asked to stop.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use image_service::store::db::Location;
use image_service::store::{self, Db, DbConfig};
use sqlx::Connection;
use sqlx::migrate::Migrate;

use crate::harness::backend::Database;
use crate::harness::client::Client;
use crate::harness::pictures;
use crate::harness::process::{Home, Process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_makes_nothing_where_no_service_ever_was() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    let mut home_elsewhere = Home::embedded();
    home_elsewhere.set("DATA_DIR", "mistyped");
    for home in [home, home_elsewhere] {
        for _ in 0..2 {
            let report = home.run(&["doctor"], &[]).await;
            assert!(report.status.code() == Some(1) && report.output.is_empty(), "{report:?}");
            assert!(report.log.contains("there is no ") || report.log.contains("lacks migration 1 "), "{report:?}");
        }
        assert!(!home.data_dir().exists() && !home.data_dir().with_file_name("mistyped").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_while_it_waits_for_its_database_it_stops_at_once() {
    let mut home = Home::embedded();
    // Nobody listens there.
    home.set("DATABASE_URL", "postgres://images@127.0.0.1:1/images");
    for signal in ["TERM", "INT"] {
        let mut child = home.command(&["serve"], &[]).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        assert!(log.any(|line| line.expect("a line").contains("does not answer yet")));
        let asked = Instant::now();
        Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().expect("a signal is sent");
        assert_eq!(child.wait().expect("an end").code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(10), "{signal}: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_never_ends_elsewhere_ends_the_wait_for_it() {
    let Some(database) = Database::create().await else { return };
    let mut other = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
    other.lock().await.expect("the lock of migrations");
    let timeout = Duration::from_millis(20);
    let location = Location::Postgres(database.url.clone());
    let config = DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout };
    let db = Db::open(&config).await.expect("it opens");
    let waited = tokio::time::timeout(Duration::from_secs(20), store::migrate::run(&db)).await.expect("an end");
    assert!(matches!(waited, Err(store::Error::Migrate(_))), "{waited:?}");
    other.unlock().await.expect("the lock is given back");
    store::migrate::run(&db).await.expect("nobody is in the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_asks_where_the_service_listens() {
    for host in ["127.0.0.2", "0.0.0.0"] {
        let mut home = Home::embedded();
        home.set("HOST", host);
        let process = Process::start(&home, &[]).await;
        let checked = home.run(&["healthcheck"], &[("PORT", &process.address.port().to_string())]).await;
        assert!(checked.status.success(), "{host}: {checked:?}");
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_requests_work_as_they_stand_there() {
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let requests = blocks.iter().find(|block| block.contains("curl -X POST")).expect("a block of requests");
    assert!(requests.matches("curl ").count() >= 9, "{requests}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("photo.jpg"), pictures::jpeg(300, 200, 1)).expect("a photo");
    // An answer that is an error ends it, as does a command that fails.
    let script = requests.replace("http://localhost:8000", &format!("http://{}", process.address));
    let script = format!("curl() {{ command curl -fsS --noproxy '*' \"$@\"; }}\n{script}");
    let output = Command::new("sh").args(["-euxc", &script]).current_dir(folder.path()).output().expect("a shell");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}\n{}", String::from_utf8_lossy(&output.stdout));
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    assert!(file("small.jpg").starts_with(b"\xff\xd8") && file("small.jpg").len() > 500, "{log}");
    // The photo tells no place, so every byte is as it was sent.
    assert!(file("original.jpg") == file("photo.jpg") && file("public.jpg") == file("photo.jpg"));
    let image = Client::new(process.address).list().await.remove(0);
    assert_eq!((&image["title"], &image["user_id"]), (&"Dusk".into(), &"user123".into()));
    process.stop().await;
}

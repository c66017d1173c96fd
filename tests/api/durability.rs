//! No acknowledged upload is lost and nothing else is kept, however the program stops: killed, terminated, or started
//! twice. The tests observe the real program from outside.
//!
//! A kill does not simulate a power cut. That files are synced before the response can only be reviewed, not tested.

use std::time::{Duration, Instant};

use clap::Args;
use image_service::config::Config;
use image_service::model::clock::{Clock, SystemClock};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Form;
use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::pictures::Random;
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};

// Kills.

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

// Starts.

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

// Shutdown.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_service_accepts_no_new_connections_and_finishes_requests_in_flight() {
    let proxied = Proxied::new().await;
    let home = &proxied.home;
    let mut process = Process::start(home, &[("SHUTDOWN_TIMEOUT", "30"), ("BODY_MIN_RATE", "0")]).await;
    let client = Client::new(process.address);
    let sending = Upload::small("still being sent", 1);
    let processing = Upload::small("being processed", 2);

    let mut slow = SlowUpload::begin(&process, &sending).await;
    proxied.storage.set(Fault::Slow(Duration::from_millis(1500)));
    let answer = tokio::spawn({
        let client = client.clone();
        async move { client.upload(&processing).await }
    });
    wait_until("its objects are being uploaded", async || {
        client.get("/metrics").await.text().contains("intents{state=\"uploading\"} 1\n")
    })
    .await;
    process.terminate();
    wait_until("new connections are refused", async || TcpStream::connect(process.address).await.is_err()).await;
    slow.finish().await;
    assert!(slow.answer().await.starts_with("HTTP/1.1 200 "));
    answer.await.expect("a client").ok();
    let status = process.wait(Duration::from_secs(35)).await;
    assert_eq!(status.code(), Some(0), "{status}");

    proxied.storage.set(Fault::None);
    let process = Process::start(home, &[]).await;
    let client = Client::new(process.address);
    assert_eq!(client.count_whole("still being sent").await, 1);
    assert_eq!(client.count_whole("being processed").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_storage_stops_after_the_last_upload() {
    let home = Home::embedded();
    let mut process = Process::start(&home, &[]).await;
    let upload = Upload::small("the last one", 1);
    let mut slow = SlowUpload::begin(&process, &upload).await;
    process.terminate();
    wait_until("new connections are refused", async || TcpStream::connect(process.address).await.is_err()).await;
    slow.finish().await;
    assert!(slow.answer().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(process.wait(Duration::from_secs(35)).await.code(), Some(0));
    let process = Process::start(&home, &[]).await;
    assert_eq!(Client::new(process.address).count_whole("the last one").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_still_connected_at_the_shutdown_timeout_are_disconnected() {
    let home = Home::new().await;
    let mut process = Process::start(&home, &[("SHUTDOWN_TIMEOUT", "1"), ("BODY_IDLE_TIMEOUT", "60")]).await;
    let mut slow = SlowUpload::begin(&process, &Upload::small("never ends", 1)).await;
    let mut headless = TcpStream::connect(process.address).await.expect("a connection");
    headless.write_all(b"GET /hea").await.expect("half a head is sent");
    let idle = TcpStream::connect(process.address).await.expect("a connection");
    process.terminate();
    let status = process.wait(Duration::from_secs(15)).await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(slow.answer().await, "");
    drop(idle);

    let process = Process::start(&home, &[]).await;
    assert_eq!(Client::new(process.address).list().await.len(), 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_service_stops_immediately_despite_open_connections() {
    let home = Home::new().await;
    let mut process = Process::start(&home, &[("SHUTDOWN_TIMEOUT", "60")]).await;
    let client = Client::new(process.address);
    client.get("/health").await.ok();
    let unused = TcpStream::connect(process.address).await.expect("a connection");
    client.get("/health").await.ok();
    process.terminate();
    let status = process.wait(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(0), "{status}");
    drop(unused);
}

/// An upload whose body pauses in the middle.
struct SlowUpload {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl SlowUpload {
    async fn begin(process: &Process, upload: &Upload) -> Self {
        let mut stream = TcpStream::connect(process.address).await.expect("a connection");
        let head = format!(
            "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            Form::content_type(),
            upload.body.len()
        );
        let (first, rest) = upload.body.split_at(upload.body.len() / 2);
        stream.write_all(&[head.as_bytes(), first].concat()).await.expect("the first half is sent");
        // This upload and the metrics request itself.
        let client = Client::new(process.address);
        let in_flight = async || client.get("/metrics").await.text().contains("http_requests_in_flight 2\n");
        wait_until("the request head was read", in_flight).await;
        Self { stream, rest: rest.to_vec() }
    }

    async fn finish(&mut self) {
        self.stream.write_all(&self.rest).await.expect("the second half is sent");
    }

    /// Reads until the connection closes.
    async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        // A reset also counts as closed.
        let read =
            tokio::time::timeout(HANG_TIMEOUT, self.stream.read_to_end(&mut answer)).await.expect("the connection is closed");
        drop(read);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "timed out after 30 seconds waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// Commands.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_creates_the_schema_and_exits() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    for _ in 0..2 {
        let migrated = home.run(&["migrate"], &[]).await;
        assert!(migrated.status.success() && migrated.output == "the schema is up to date\n", "{migrated:?}");
    }
    if home.database_address().is_none() {
        assert!(home.data_dir().join("images.sqlite").is_file());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_reports_no_problems_in_sound_data_and_names_missing_objects() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let image = client.upload(&Upload::small("patient", 1)).await.image();
    let storage = home.storage(&process);
    let keys = storage.keys().await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    process.stop().await;
    let report = home.run(&["doctor"], &[]).await;
    assert_eq!(
        (report.status.code(), report.output.as_str()),
        (Some(0), "1 image, 3 objects\nno problems found\n"),
        "{report:?}"
    );

    let process = Process::start(&home, &[]).await;
    let original = keys.iter().find(|key| key.ends_with("/original")).expect("an original");
    assert!(original.contains(image["image_id"].as_str().expect("an id")));
    home.storage(&process).delete(original).await;
    home.storage(&process).put("not/ours", b"foreign").await;
    process.stop().await;
    let report = home.run(&["doctor"], &[]).await;
    assert_eq!(report.status.code(), Some(1), "{report:?}");
    assert!(report.output.contains(&format!("missing object: {original}\n")), "{report:?}");
    assert!(report.output.contains("1 object does not belong to this service: not/ours\n"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_prints_the_document_without_a_database_or_storage() {
    let home = Home::embedded();
    let printed = home.run(&["openapi"], &[]).await;
    assert!(printed.status.success(), "{printed:?}");
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).expect("openapi.yaml");
    assert!(printed.output == kept, "openapi.yaml differs from what `image-service openapi` prints");
    assert!(!home.data_dir().exists());
}

#[tokio::test]
async fn the_open_files_limit_is_raised_and_an_insufficient_one_is_logged() {
    let home = Home::embedded();
    // The limit is logged before the program fails to listen.
    let serve = home.command(&[], &[("HOST", "192.0.2.1"), ("AUTH_MODE", "required")]);
    for (soft, hard, settings, explained) in [
        (200, 1500, "--max-connections=100", "limit of open files limit=1500 needed=1479"),
        (1500, 1500, "--max-connections=1024", "the limit of open files is too low for MAX_CONNECTIONS"),
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" serve {settings}")]);
        shell.arg(serve.get_program()).env_clear().current_dir(home.data_dir().parent().unwrap());
        shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(explained), "{settings}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_of_healthcheck_tells_whether_the_service_is_up() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let port = process.address.port().to_string();
    assert_eq!(home.run(&["healthcheck", "--port", &port], &[]).await.status.code(), Some(0));
    assert_eq!(home.run(&["healthcheck"], &[("PORT", &port)]).await.status.code(), Some(0));
    process.stop().await;
    let down = home.run(&["healthcheck", "--port", &port], &[]).await;
    assert_eq!(down.status.code(), Some(1), "{down:?}");
    assert!(down.log.starts_with("error: "), "{down:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_lists_every_command_and_every_setting() {
    let home = Home::embedded();
    let help = home.run(&["--help"], &[]).await;
    assert!(help.status.success());
    for command in ["serve", "migrate", "openapi", "doctor", "healthcheck"] {
        assert!(help.output.contains(&format!("\n  {command} ")), "{}", help.output);
    }
    let help = home.run(&["serve", "--help"], &[]).await;
    assert!(help.status.success());
    let source = include_str!("../../src/config.rs");
    let variables = source.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let variables: Vec<&str> = variables.collect();
    assert!(variables.len() > 25);
    // Long lines are wrapped.
    let help: Vec<&str> = help.output.split_whitespace().collect();
    let help = help.join(" ");
    for variable in variables {
        assert!(
            help.contains(&format!("[env: {variable}=")) || help.contains(&format!("[env: {variable}]")),
            "{variable} is not in the help"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_setting_stops_the_start_and_is_named() {
    let home = Home::embedded();
    let mut wrong = Vec::new();
    for (variable, value) in [
        ("HOST", "nowhere"),
        ("PORT", "99999"),
        ("DATA_DIR", "/proc/no/such/place"),
        ("DATABASE_URL", "mysql://alice:hunter2@localhost/images"),
        ("DATABASE_URL", "postgres://alice:hunter2@localhost:port/images"),
        ("DATABASE_CONNECTIONS", "0"),
        ("DATABASE_TIMEOUT", "0"),
        ("S3_BUCKET", "No Bucket"),
        ("S3_ENDPOINT_URL", "localhost:4566"),
        ("S3_PUBLIC_ENDPOINT_URL", "https://host/path"),
        ("S3_TIMEOUT", "soon"),
        ("UPLOAD_MEMORY_BUDGET", "1MiB"),
        ("DECODE_MEMORY_BUDGET", "much"),
        ("MAX_ANIMATION_PIXELS", "-1"),
        ("THUMBNAIL_HEIGHTS", "200,400,200"),
        ("MAX_VARIANTS_PER_IMAGE", "0"),
        ("VARIANT_RETENTION_DAYS", "-1"),
        ("URL_LIFETIME", "604800"),
        ("INTENT_GRACE", "1"),
        ("SWEEP_INTERVAL", "0"),
        ("CORS_ORIGINS", "example.org"),
        ("PUBLIC_URL", "here"),
        ("MAX_CONNECTIONS", "0"),
        ("HEAD_TIMEOUT", "0"),
        ("BODY_IDLE_TIMEOUT", "0"),
        ("BODY_TIMEOUT", "1.5"),
        ("SHUTDOWN_TIMEOUT", "1.5"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "a=b=c"),
    ] {
        let refused = home.run(&[], &[(variable, value)]).await;
        let explained =
            matches!(refused.status.code(), Some(1 | 2)) && refused.output.is_empty() && refused.log.contains(variable);
        if !explained || refused.log.contains("hunter2") || refused.log.contains("panicked") {
            wrong.push(format!("{variable}={value}: {refused:?}"));
        }
    }
    assert!(wrong.is_empty(), "not rejected, not named, or a password logged:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_a_variable_names_it_and_an_empty_variable_counts_as_unset() {
    let home = Home::embedded();
    let refused = home.run(&[], &[("PORT", "web")]).await;
    assert_eq!(refused.log, "error: invalid PORT: must be a whole number; found \"web\"\n");
    for (name, other) in [("ADMIN_EMAIL", "ADMIN_PASSWORD_FILE"), ("ADMIN_PASSWORD_FILE", "ADMIN_EMAIL")] {
        let refused = home.run(&["serve"], &[(name, "root@example.org")]).await;
        assert_eq!(refused.log, format!("error: invalid {other}: must be set, because {name} is set\n"));
    }
    let command = Config::augment_args(clap::Command::new("tests"));
    let names: Vec<String> =
        command.get_arguments().filter_map(clap::Arg::get_env).map(|name| name.to_string_lossy().into()).collect();
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let migrated = home.run(&["migrate"], &empty).await;
    assert!(migrated.status.success() && migrated.output == "the schema is up to date\n", "{migrated:?}");
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

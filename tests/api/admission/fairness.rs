//! Fairness between callers: slow uploads, concurrent uploads, import jobs, and lists that must be counted.

use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::join_all;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::pictures::{jpeg, padded};
use crate::harness::{Answer, Form, TestApp, assert_error};

const MIB: usize = 1 << 20;

/// Timeouts long enough for slow clients, with a small upload budget.
const SLOW_CLIENT_SETTINGS: [&str; 4] =
    ["--body-min-rate=0", "--body-idle-timeout=600", "--body-timeout=900", "--upload-memory-budget=22MiB"];

/// An upload that pauses just before its end until it is finished.
struct SlowUpload {
    rest: Bytes,
    sender: mpsc::UnboundedSender<Result<Bytes, std::io::Error>>,
    answer: JoinHandle<Answer>,
}

impl SlowUpload {
    /// Starts an upload of a file padded to `length`, and holds back the last 100 bytes.
    fn begin(app: &TestApp, user: &str, length: usize) -> Self {
        let mut body = Bytes::from(Form::upload(user, &padded(jpeg(64, 64, 1), length)).finish());
        let rest = body.split_off(body.len() - 100);
        let (sender, pieces) = mpsc::unbounded();
        let total = body.len() + rest.len();
        sender.unbounded_send(Ok(body)).unwrap();
        let request = app.request(Method::POST, "/images").header("Content-Type", Form::content_type());
        let request = request.header("Content-Length", total).body(Body::wrap_stream(pieces));
        let answer = tokio::spawn(async move { Answer::read(request.send().await.expect("an answer")).await });
        Self { rest, sender, answer }
    }

    async fn end(self) -> Answer {
        self.sender.unbounded_send(Ok(self.rest)).ok();
        self.sender.close_channel();
        self.answer.await.unwrap()
    }
}

async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out after a minute waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn upload(user: &str, length: usize) -> Form {
    Form::upload(user, &padded(jpeg(64, 64, 2), length))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_spill_to_disk_and_do_not_block_others() {
    let app = TestApp::with(&SLOW_CLIENT_SETTINGS).await;
    // More than twice the memory budget for arriving bodies.
    let slow: Vec<SlowUpload> = (0..13).map(|_| SlowUpload::begin(&app, "alice", 2 * MIB)).collect();
    let arrived = async || {
        let memory = app.metric("receiving_memory_in_use_bytes").await;
        memory + app.metric("upload_disk_in_use_bytes").await >= (13 * 2 * MIB) as f64
    };
    wait_until("all uploads have arrived except their last bytes", arrived).await;
    assert!(app.metric("receiving_memory_in_use_bytes").await <= 5.5 * MIB as f64, "one client may reserve at most half");
    assert!(app.metric("spilled_uploads_total").await >= 10.0);
    for length in [10 * MIB, 3 * MIB, 50_000] {
        assert_eq!(app.post(upload("bob", length)).await.ok()["image"]["file_size"], length);
    }
    let file = padded(jpeg(64, 64, 1), 2 * MIB);
    for slow in slow {
        let image = slow.end().await.image();
        assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file);
    }
    for budget in ["receiving_memory_in_use_bytes", "upload_disk_in_use_bytes", "upload_memory_in_use_bytes"] {
        assert_eq!(app.metric(budget).await, 0.0, "{budget}");
    }
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_client_leaves_nothing_on_disk() {
    let app = TestApp::with(&SLOW_CLIENT_SETTINGS).await;
    let slow: Vec<SlowUpload> = (0..6).map(|_| SlowUpload::begin(&app, "alice", 2 * MIB)).collect();
    wait_until("some uploads are on disk", async || app.metric("upload_disk_in_use_bytes").await > 2e6).await;
    for slow in slow {
        slow.answer.abort();
    }
    wait_until("all reservations are released", async || {
        app.metric("upload_disk_in_use_bytes").await + app.metric("upload_memory_in_use_bytes").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_without_memory_or_disk_space_waits_and_is_then_rejected() {
    let settings = ["--upload-memory-budget=11MiB", "--upload-disk-budget=10MiB", "--admission-timeout=2"];
    let app = TestApp::with(&[&SLOW_CLIENT_SETTINGS[..], &settings].concat()).await;
    let slow = SlowUpload::begin(&app, "alice", 9 * MIB);
    wait_until("the upload is on disk", async || app.metric("upload_disk_in_use_bytes").await >= (9 * MIB) as f64).await;
    let refused = app.post(upload("bob", 5 * MIB)).await;
    assert_error(&refused, 503, "ServiceUnavailable");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    app.post(upload("bob", 100_000)).await.ok();
    // A waiting upload continues when memory is released in time.
    let waiting = SlowUpload::begin(&app, "bob", 5 * MIB);
    slow.end().await.ok();
    waiting.end().await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_spool_files_uploads_reserve_memory_for_their_full_length() {
    let app = TestApp::with(&[&SLOW_CLIENT_SETTINGS[..], &["--upload-disk-dir=/dev/null/spool"]].concat()).await;
    let slow = SlowUpload::begin(&app, "alice", 10 * MIB);
    let reserved = async || app.metric("upload_memory_in_use_bytes").await - app.metric("receiving_memory_in_use_bytes").await;
    wait_until("memory for the full length is reserved", async || reserved().await >= (10 * MIB) as f64).await;
    app.post(upload("bob", MIB)).await.ok();
    assert_eq!(slow.end().await.ok()["image"]["file_size"], 10 * MIB);
    assert_eq!((app.metric("spilled_uploads_total").await, app.metric("upload_memory_in_use_bytes").await), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_any_length_arrive_intact_with_and_without_a_disk() {
    for setting in ["--upload-disk-budget=0", "--upload-disk-budget=10MiB"] {
        let app = TestApp::with(&[setting, "--upload-memory-budget=11MiB"]).await;
        for length in [1024 + 7000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, MIB, MIB + 1, 10 * MIB] {
            let file = padded(jpeg(64, 64, 3), length);
            let image = app.post(Form::upload("alice", &file)).await.image();
            assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file, "{setting} {length}");
        }
        // Without a Content-Length.
        let file = padded(jpeg(64, 64, 4), 700_000);
        let pieces: Vec<_> = Form::upload("alice", &file).finish().chunks(1000).map(Bytes::copy_from_slice).collect();
        let body = Body::wrap_stream(futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
        let request = app.request(Method::POST, "/images").header("Content-Type", Form::content_type());
        assert_eq!(app.send(request.body(body)).await.ok()["image"]["file_size"], 700_000);
        assert_eq!(app.metric("upload_memory_in_use_bytes").await, 0.0);
    }
}

// Imports.

fn urls(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("http://pictures.test/{number}.jpg")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_import_jobs_cannot_exceed_the_pending_limit() {
    let app = TestApp::with(&["--import-concurrency=0", "--import-max-pending=100"]).await;
    let order = |user: &str| json!({"urls": urls(30), "user_id": user});
    let answers = join_all((0..8).map(|_| async { app.post_json("/imports", &order("alice")).await })).await;
    let (taken, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 202);
    assert_eq!((taken.len(), refused.len()), (3, 5));
    for answer in refused {
        assert_error(answer, 429, "TooManyRequests");
        assert!(
            answer.text().contains("90 URLs") && answer.text().contains("100, the limit that IMPORT_MAX_PENDING"),
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("retry-after"), "60");
    }
    // Other users are not affected, and cancelled jobs do not count.
    assert_eq!(app.post_json("/imports", &order("bob")).await.status, 202);
    let id = taken[0].json()["jobId"].as_str().unwrap().to_owned();
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(app.post_json("/imports", &order("alice")).await.status, 202);
    assert_eq!(app.post_json("/imports", &order("alice")).await.status, 429);
}

#[tokio::test]
async fn a_repeated_import_request_gets_the_same_response_even_at_the_pending_limit() {
    let app = TestApp::with(&["--import-concurrency=0", "--import-max-pending=100"]).await;
    let order = async |key: &str| {
        let request = app.request(Method::POST, "/imports").header("Idempotency-Key", key);
        app.send(request.json(&json!({"urls": urls(100), "user_id": "alice"}))).await
    };
    let first = order("one").await;
    assert_eq!(first.status, 202);
    assert_error(&order("two").await, 429, "TooManyRequests");
    assert_eq!(order("one").await.json(), first.json());
    // A rejected job does not occupy its idempotency key.
    let id = first.json()["jobId"].as_str().unwrap().to_owned();
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(order("two").await.status, 202);
}

// Counts.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_uncached_counts_of_one_client_do_not_block_others() {
    let app = TestApp::start().await;
    for seed in 0..3 {
        app.post(Form::upload("alice", &jpeg(64, 64, seed)).text("tags", "sea,sun")).await.ok();
    }
    let path = |number: usize| format!("/images?tags=sea,sun&start_date=2020-01-01T00:00:{:02}Z", number % 60);
    let flood = join_all((0..60).map(|number| {
        let path = path(number);
        let app = &app;
        async move { app.get(&path).await }
    }));
    let known = async {
        let mut totals = Vec::new();
        for number in 0..10 {
            let answer = app.by(&format!("user{}", number % 2), Method::GET, &path(number).replace("2020", "2019")).await;
            totals.push(answer.ok()["total_count"].clone());
        }
        totals
    };
    let (flood, totals) = tokio::join!(flood, known);
    assert_eq!(totals, vec![Value::from(3); 10]);
    for answer in flood {
        match answer.status {
            200 => assert_eq!(answer.json()["total_count"], 3),
            429 => assert_eq!(answer.header("retry-after"), "1"),
            _ => panic!("{}", answer.text()),
        }
    }
}

//! What one caller takes from the others: slow uploads, uploads at once, orders of imports, lists that have to be counted.

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

/// Clients may be as slow as they like, and are kept waiting for a minute.
const PATIENT: [&str; 4] = ["--body-min-rate=0", "--body-idle-timeout=600", "--body-timeout=900", "--upload-memory-budget=22MiB"];

/// An upload that stops just before its end until it is told to go on.
struct Slow {
    rest: Bytes,
    sender: mpsc::UnboundedSender<Result<Bytes, std::io::Error>>,
    answer: JoinHandle<Answer>,
}

impl Slow {
    /// The file is padded to `length`, of which the last bytes are kept back.
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

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "not in a minute: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn upload(user: &str, length: usize) -> Form {
    Form::upload(user, &padded(jpeg(64, 64, 2), length))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_are_spilled_and_hold_up_nobody() {
    let app = TestApp::with(&PATIENT).await;
    // More than twice what there is for arriving bodies.
    let slow: Vec<Slow> = (0..13).map(|_| Slow::begin(&app, "alice", 2 * MIB)).collect();
    let arrived = async || {
        let memory = app.metric("receiving_memory_in_use_bytes").await;
        memory + app.metric("upload_disk_in_use_bytes").await >= (13 * 2 * MIB) as f64
    };
    until("all have come but for their ends", arrived).await;
    assert!(app.metric("receiving_memory_in_use_bytes").await <= 5.5 * MIB as f64, "one client holds at most half");
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
async fn a_client_that_goes_away_leaves_nothing_on_disk() {
    let app = TestApp::with(&PATIENT).await;
    let slow: Vec<Slow> = (0..6).map(|_| Slow::begin(&app, "alice", 2 * MIB)).collect();
    until("some are on disk", async || app.metric("upload_disk_in_use_bytes").await > 2e6).await;
    for slow in slow {
        slow.answer.abort();
    }
    until("all is given back", async || {
        app.metric("upload_disk_in_use_bytes").await + app.metric("upload_memory_in_use_bytes").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_for_whom_neither_memory_nor_disk_is_left_is_held_back_and_then_refused() {
    let settings = ["--upload-memory-budget=11MiB", "--upload-disk-budget=10MiB", "--admission-timeout=2"];
    let app = TestApp::with(&[&PATIENT[..], &settings].concat()).await;
    let slow = Slow::begin(&app, "alice", 9 * MIB);
    until("it is on disk", async || app.metric("upload_disk_in_use_bytes").await >= (9 * MIB) as f64).await;
    let refused = app.post(upload("bob", 5 * MIB)).await;
    assert_error(&refused, 503, "ServiceUnavailable");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    app.post(upload("bob", 100_000)).await.ok();
    // It goes on when there is room in time.
    let held_back = Slow::begin(&app, "bob", 5 * MIB);
    slow.end().await.ok();
    held_back.end().await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_temporary_file_can_be_created_uploads_hold_memory_for_all_that_they_announce() {
    let app = TestApp::with(&[&PATIENT[..], &["--upload-disk-dir=/dev/null/spool"]].concat()).await;
    let slow = Slow::begin(&app, "alice", 10 * MIB);
    let reserved = async || app.metric("upload_memory_in_use_bytes").await - app.metric("receiving_memory_in_use_bytes").await;
    until("it has memory for all of it", async || reserved().await >= (10 * MIB) as f64).await;
    app.post(upload("bob", MIB)).await.ok();
    assert_eq!(slow.end().await.ok()["image"]["file_size"], 10 * MIB);
    assert_eq!((app.metric("spilled_uploads_total").await, app.metric("upload_memory_in_use_bytes").await), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_any_length_arrive_whole_with_and_without_a_disk() {
    for setting in ["--upload-disk-budget=0", "--upload-disk-budget=10MiB"] {
        let app = TestApp::with(&[setting, "--upload-memory-budget=11MiB"]).await;
        for length in [1024 + 7000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, MIB, MIB + 1, 10 * MIB] {
            let file = padded(jpeg(64, 64, 3), length);
            let image = app.post(Form::upload("alice", &file)).await.image();
            assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file, "{setting} {length}");
        }
        // Without a length.
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
async fn orders_at_once_cannot_exceed_what_a_user_may_have_pending() {
    let app = TestApp::with(&["--import-concurrency=0", "--import-max-pending=100"]).await;
    let order = |user: &str| json!({"urls": urls(30), "user_id": user});
    let answers = join_all((0..8).map(|_| async { app.post_json("/imports", &order("alice")).await })).await;
    let (taken, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 202);
    assert_eq!((taken.len(), refused.len()), (3, 5));
    for answer in refused {
        assert_error(answer, 429, "TooManyRequests");
        assert!(answer.text().contains("90 URLs") && answer.text().contains("100 that IMPORT_MAX_PENDING"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "60");
    }
    // Others are not concerned, and what is cancelled does not count.
    assert_eq!(app.post_json("/imports", &order("bob")).await.status, 202);
    let id = taken[0].json()["jobId"].as_str().unwrap().to_owned();
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(app.post_json("/imports", &order("alice")).await.status, 202);
    assert_eq!(app.post_json("/imports", &order("alice")).await.status, 429);
}

#[tokio::test]
async fn an_order_that_was_taken_is_answered_again_although_the_user_may_order_no_more() {
    let app = TestApp::with(&["--import-concurrency=0", "--import-max-pending=100"]).await;
    let order = async |key: &str| {
        let request = app.request(Method::POST, "/imports").header("Idempotency-Key", key);
        app.send(request.json(&json!({"urls": urls(100), "user_id": "alice"}))).await
    };
    let first = order("one").await;
    assert_eq!(first.status, 202);
    assert_error(&order("two").await, 429, "TooManyRequests");
    assert_eq!(order("one").await.json(), first.json());
    // A refused order leaves its key free.
    let id = first.json()["jobId"].as_str().unwrap().to_owned();
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(order("two").await.status, 202);
}

// Counts.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_lists_of_one_client_that_have_to_be_counted_keep_nobody_else_waiting() {
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

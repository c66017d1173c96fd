//! Timeouts: slow or stalled clients do not keep connections and memory from others.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::metrics::sample_value;
use crate::harness::pictures;
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::Raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_head_sent_byte_by_byte_times_out() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("HEAD_TIMEOUT", "2"), ("KEEP_ALIVE_TIMEOUT", "3")]).await;
    let (mut reader, mut writer) = Raw::open(&process).await.0.into_split();
    let sending = async {
        for byte in b"GET /health HTTP/1.1\r\nX-Long: ".iter().chain(std::iter::repeat(&b'x')) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(HANG_TIMEOUT, async {
        tokio::select! {
            () = sending => {}
            _ = reader.read_to_end(&mut answer) => {}
        }
    });
    ended.await.expect("the connection is closed");
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));

    // A connection without further requests is closed too.
    let mut idle = Raw::open(&process).await;
    idle.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(idle.read_answer().await.head.starts_with("HTTP/1.1 200 "));
    assert_eq!(idle.read_to_end().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_timeout_applies_to_each_request_not_to_the_idle_time_between_requests() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("HEAD_TIMEOUT", "1"), ("KEEP_ALIVE_TIMEOUT", "600")]).await;
    let mut kept = Raw::open(&process).await;
    for _ in 0..2 {
        kept.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(kept.read_answer().await.head.starts_with("HTTP/1.1 200 "));
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    // A request that has started must make progress: this head is never completed.
    kept.send("GET /health HTTP/1.1\r\nX-Cut: ").await;
    assert_eq!(kept.read_to_end().await, "");
    // A connection without any request is closed after the time allowed for a head.
    assert_eq!(Raw::open(&process).await.read_to_end().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_body_gets_408_and_releases_its_memory() {
    let home = Home::new().await;
    let settings = [NO_DISK, ("BODY_IDLE_TIMEOUT", "2"), ("UPLOAD_MEMORY_BUDGET", "11MiB"), ("ADMISSION_TIMEOUT", "50")];
    let process = Process::start(&home, &settings).await;
    let client = Client::new(process.address);
    // Reserves nearly the whole upload budget.
    let mut stalled = Raw::open(&process).await;
    stalled.begin_upload(10 << 20, "").await;
    stalled.send(&Upload::small("stalled", 1).body[..500]).await;
    let in_use = async || sample_value(&client.get("/metrics").await, "image_service_upload_memory_in_use_bytes");
    while in_use().await < 10.0 * 1024.0 * 1024.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The second upload does not fit beside the first. It waits, and is stored once the first gets 408.
    let waiting = Upload::of("waiting", &pictures::padded(pictures::jpeg(96, 64, 2), 2 << 20));
    let (answer, stored) = tokio::join!(stalled.read_answer(), client.upload(&waiting));
    answer.assert(408, "RequestTimeout");
    stored.ok();
    assert_eq!(client.list().await.len(), 1);
    assert_eq!(in_use().await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickling_body_gets_408() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("BODY_TIMEOUT", "2"), ("BODY_IDLE_TIMEOUT", "50")]).await;
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(1 << 20, "").await;
    let body = Upload::small("trickling", 1).body;
    for byte in body.iter().cycle() {
        let sent = raw.0.write_all(&[*byte]).await;
        let answered = tokio::time::timeout(Duration::from_millis(100), raw.0.readable()).await;
        if answered.is_ok() || sent.is_err() {
            break;
        }
    }
    raw.read_answer().await.assert(408, "RequestTimeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_below_the_minimum_rate_gets_408_and_releases_its_memory() {
    let home = Home::new().await;
    let settings = [NO_DISK, ("UPLOAD_MEMORY_BUDGET", "11MiB"), ("ADMISSION_TIMEOUT", "50")];
    let process = Process::start(&home, &settings).await;
    // Sends a byte now and then. If it were not aborted, the other upload would have to wait for two minutes.
    let holder = hold_memory(&process).await;
    let upload = Upload::of("waiting", &pictures::padded(pictures::jpeg(96, 64, 2), 2 << 20));
    Client::new(process.address).upload(&upload).await.ok();
    holder.abort();

    // A client above the minimum rate may take longer than the initial grace period.
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(upload.body.len(), "").await;
    for piece in upload.body.chunks(upload.body.len() / 16) {
        raw.send(piece).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_stalled_body_gets_408() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let id = Client::new(process.address).upload(&Upload::small("to be changed", 1)).await.image_id();
    let mut raw = Raw::open(&process).await;
    let head = "Host: localhost\r\nX-User-Id: alice\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"title\":";
    raw.send(format!("PATCH /images/{id} HTTP/1.1\r\n{head}")).await;
    raw.read_answer().await.assert(408, "RequestTimeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_responses_is_disconnected() {
    let home = Home::new().await;
    let settings = [("MAX_CONNECTIONS", "1"), ("HEAD_TIMEOUT", "2"), ("BODY_IDLE_TIMEOUT", "2"), ("BODY_TIMEOUT", "4")];
    let process = Process::start(&home, &settings).await;
    let mut greedy = Raw::open(&process).await;
    // Far more than the buffers along the connection can hold.
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let sent = tokio::time::timeout(Duration::from_secs(1), greedy.0.write_all(requests.as_bytes())).await;
    drop(sent);
    // The only connection is occupied until the server closes it.
    assert_eq!(Client::new(process.address).get("/health").await.status, 200);
}

/// Without a disk to spill to, a body reserves memory for its full announced length before it is read.
const NO_DISK: (&str, &str) = ("UPLOAD_DISK_BUDGET", "0");

/// Combines `settings` with those under which [`hold_memory`] leaves too little memory for others.
pub fn settings_with_held_memory(settings: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[NO_DISK, ("UPLOAD_MEMORY_BUDGET", "11MiB"), ("BODY_MIN_RATE", "0")], settings].concat()
}

/// Reserves nearly all of an 11 MiB budget and keeps it, by sending a byte now and then, until the task is aborted.
pub async fn hold_memory(process: &Process) -> tokio::task::JoinHandle<()> {
    let mut holding = Raw::open(process).await;
    holding.begin_upload(10 << 20, "").await;
    let holder = tokio::spawn(async move {
        loop {
            holding.send("x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let client = Client::new(process.address);
    while sample_value(&client.get("/metrics").await, "image_service_upload_memory_in_use_bytes") == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_memory_does_not_count_towards_the_idle_timeout() {
    let home = Home::new().await;
    let settings = settings_with_held_memory(&[("ADMISSION_TIMEOUT", "50"), ("BODY_IDLE_TIMEOUT", "1")]);
    let process = Process::start(&home, &settings).await;
    let upload = Upload::of("waiting", &pictures::padded(pictures::jpeg(96, 64, 2), 2 << 20));
    // The second client sends `Expect: 100-continue`, as curl does for files of this size.
    for headers in ["", "Expect: 100-continue\r\n"] {
        let holder = hold_memory(&process).await;
        let mut raw = Raw::open(&process).await;
        raw.begin_upload(upload.body.len(), headers).await;
        // The buffers along the connection take this much without the server reading it.
        let (first, rest) = upload.body.split_at(if headers.is_empty() { 32 * 1024 } else { 0 });
        raw.send(first).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        holder.abort();
        if !headers.is_empty() {
            let answer = raw.read_answer().await;
            assert!(answer.head.starts_with("HTTP/1.1 100 "), "{answer:?}");
        }
        raw.send(rest).await;
        let answer = raw.read_answer().await;
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{headers:?}: {answer:?}");
    }
}

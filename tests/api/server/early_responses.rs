//! Early responses: a response that does not need the body reaches a client that is still sending it.

use std::time::{Duration, Instant};

use super::timeouts::{hold_memory, settings_with_held_memory};
use crate::harness::Form;
use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::metrics::sample_value;
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::{Raw, RawAnswer};

/// Sends the whole request before reading the response, as simple clients do.
async fn send_whole_and_read(process: &Process, length: usize) -> RawAnswer {
    let mut raw = Raw::open(process).await;
    raw.begin_upload(length, "").await;
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..length / piece.len() {
        raw.send(&piece).await;
    }
    raw.send(&piece[..length % piece.len()]).await;
    raw.read_answer().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_413_reaches_a_client_that_is_still_sending() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    for length in [(10 << 20) + 64 * 1024 + 1, 12 << 20, 19 << 20] {
        send_whole_and_read(&process, length).await.assert(413, "PayloadTooLarge");
    }
    // Without a Content-Length, the limit is detected while the body arrives.
    let mut raw = Raw::open(&process).await;
    let content_type = Form::content_type();
    raw.send(format!(
        "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    let start = Form::new().text("user_id", "alice").file(&[b'x'; 100_000]).finish();
    for _ in 0..150 {
        raw.send([format!("{:x}\r\n", start.len()).as_bytes(), &start, b"\r\n"].concat()).await;
    }
    raw.send("0\r\n\r\n").await;
    let answer = raw.read_answer().await;
    assert!(answer.head.starts_with("HTTP/1.1 4"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_for_lack_of_memory_reaches_a_client_that_is_still_sending() {
    let home = Home::new().await;
    let settings = settings_with_held_memory(&[("ADMISSION_TIMEOUT", "1"), ("BODY_IDLE_TIMEOUT", "50")]);
    let process = Process::start(&home, &settings).await;
    let client = Client::new(process.address);
    let holder = hold_memory(&process).await;
    let answer = send_whole_and_read(&process, 8 << 20).await;
    answer.assert(503, "ServiceUnavailable");
    assert!(answer.head.to_lowercase().contains("\r\nretry-after: "), "{answer:?}");
    let overloaded = client.get("/metrics").await;
    assert_eq!(sample_value(&overloaded, "image_service_uploads_total{method=\"form\",result=\"overloaded\"}"), 1.0);
    // When the other client disconnects, its memory is available again.
    holder.abort();
    let started = Instant::now();
    while client.upload(&Upload::small("after", 1)).await.status != 200 {
        assert!(started.elapsed() < HANG_TIMEOUT, "the memory was not released");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_reaches_a_client_whose_body_is_not_read() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let id = Client::new(process.address).upload(&Upload::small("to be changed", 1)).await.image_id();
    let piece = vec![b' '; 64 * 1024];
    for (line, status) in [
        (format!("PATCH /images/{id}"), 413),
        (format!("PATCH /images/{id}?x=1"), 422),
        (format!("DELETE /images/{id}"), 200),
        ("POST /nowhere".to_owned(), 404),
        ("POST /health".to_owned(), 405),
        ("GET /health".to_owned(), 200),
    ] {
        let mut raw = Raw::open(&process).await;
        let head = "Host: localhost\r\nX-User-Id: alice\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n";
        raw.send(format!("{line} HTTP/1.1\r\n{head}")).await;
        for _ in 0..160 {
            raw.send(&piece).await;
        }
        let answer = raw.read_answer().await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_arrives_while_the_body_is_sent_and_the_connection_stays_usable() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let mut raw = Raw::open(&process).await;
    let (pieces, piece) = (64, vec![b' '; 1024]);
    raw.send(format!("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", pieces * piece.len())).await;
    let mut sent = 0;
    let answered = loop {
        raw.send(&piece).await;
        sent += 1;
        // Together, these waits are shorter than the time that the server allows for the rest of a body.
        if sent == pieces - 1 || tokio::time::timeout(Duration::from_millis(50), raw.0.readable()).await.is_ok() {
            break sent;
        }
    };
    assert!(answered < pieces - 1, "the response arrived only after the whole body");
    raw.read_answer().await.assert(404, "NotFound");
    for _ in sent..pieces {
        raw.send(&piece).await;
    }
    raw.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 200 "), "the connection stays usable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_after_a_long_wait_reaches_a_client_that_is_still_sending() {
    let home = Home::new().await;
    let settings = settings_with_held_memory(&[("ADMISSION_TIMEOUT", "3"), ("BODY_IDLE_TIMEOUT", "1")]);
    let process = Process::start(&home, &settings).await;
    let holder = hold_memory(&process).await;
    send_whole_and_read(&process, 8 << 20).await.assert(503, "ServiceUnavailable");
    holder.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_100_continue_is_answered_only_if_the_body_is_wanted() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(30 << 20, "Expect: 100-continue\r\n").await;
    raw.read_answer().await.assert(413, "PayloadTooLarge");

    let upload = Upload::small("asked for", 1);
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(upload.body.len(), "Expect: 100-continue\r\n").await;
    assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 100 "));
    raw.send(&upload.body).await;
    assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 200 "));
}

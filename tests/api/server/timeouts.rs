//! Limits on what one client, or very many clients, can take from the others: memory, connections and time. Also the
//! metrics and logs of the service under such load.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use mozjpeg::{ColorSpace, Compress};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::pictures::{self, Random};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::{Answer, Form, assert_error};

// Memory.

const MIB: u64 = 1 << 20;

/// The defaults of the budgets.
const UPLOAD_BUDGET: u64 = 128 * MIB;
const DECODE_BUDGET: u64 = 256 * MIB;

/// Memory outside the budgets: code and idle memory (35 MiB), the HTTP server's buffers for 200 connections, and data
/// on its way to the storage. Measured peaks of the total were 240 MiB, and 280 MiB when all 200 uploads are stored.
const OUTSIDE_BUDGETS: u64 = 96 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_16_megapixel_uploads_stay_within_the_budgets_and_all_get_a_response() {
    let home = Home::new().await;
    // With SOAK_ROUNDS, uploads wait until all are stored. By default, uploads that cannot be decoded soon are
    // rejected.
    let soaks = std::env::var_os("SOAK_ROUNDS").is_some();
    let process = Process::start(&home, if soaks { &[("ADMISSION_TIMEOUT", "600"), ("BODY_TIMEOUT", "900")] } else { &[] }).await;
    let client = Client::with_timeout(process.address, if soaks { HANG_TIMEOUT * 10 } else { HANG_TIMEOUT * 2 });
    let files = [large_jpeg(true), large_jpeg(false)];
    let idle = process.memory("VmRSS");

    let answering = tokio::spawn({
        let client = Client::new(process.address);
        async move {
            loop {
                assert_eq!(client.get("/health").await.status, 200);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    // Every fourth image is progressive, which takes three times the memory.
    let uploads = (0..200).map(|number| Upload::of(&format!("number {number}"), &files[usize::from(number % 4 != 0)]));
    let uploads: Vec<Upload> = uploads.collect();
    let answers = futures::future::join_all(uploads.iter().map(|upload| client.try_upload(upload))).await;
    assert!(!answering.is_finished(), "/health did not answer");
    answering.abort();

    let mut stored = 0;
    for answer in answers {
        let answer = answer.expect("a response, not a broken connection");
        if answer.status == 200 {
            stored += 1;
        } else {
            assert_error(&answer, 503, "ServiceUnavailable");
        }
    }
    let peak = process.memory("VmHWM");
    println!(
        "{stored} stored, {} rejected; files of {} and {} KiB; memory {} MiB idle, {} MiB at its peak, {} MiB after",
        200 - stored,
        files[0].len() / 1024,
        files[1].len() / 1024,
        idle / MIB,
        peak / MIB,
        process.memory("VmRSS") / MIB
    );
    assert!(stored > 0);
    assert_eq!(client.list().await.len(), stored);
    let bound = UPLOAD_BUDGET + DECODE_BUDGET + OUTSIDE_BUDGETS;
    assert!(peak < bound, "{} MiB, which exceeds {} MiB", peak / MIB, bound / MIB);
    process.stop().await;
}

/// A JPEG of 4000×4000 pixels of smooth noise, 1 to 4 MB large. The lines repeat, because this test code is not
/// optimised.
fn large_jpeg(progressive: bool) -> Vec<u8> {
    const SIDE: usize = 4000;
    const LINES: usize = 40;
    const NOISE: usize = 44;
    let mut random = Random::new(16);
    let mut lines = Vec::with_capacity(SIDE * LINES * 3);
    for at in 0..SIDE * LINES {
        let shade = u8::try_from((at % SIDE) * 150 / SIDE + random.below(NOISE)).expect("a shade");
        lines.extend([shade, shade, 255 - shade]);
    }
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    compress.set_size(SIDE, SIDE);
    compress.set_fastest_defaults();
    compress.set_quality(80.0);
    if progressive {
        compress.set_progressive_mode();
    }
    let mut started = compress.start_compress(Vec::new()).expect("the JPEG encoder starts");
    for _ in 0..SIDE / LINES {
        started.write_scanlines(&lines).expect("scanlines are encoded");
    }
    let file = started.finish().expect("the JPEG is finished");
    assert!((1 << 20..4 << 20).contains(&file.len()), "{} bytes", file.len());
    file
}

// Slow clients.

/// A connection to which the test writes raw bytes.
struct Raw(TcpStream);

impl Raw {
    async fn open(process: &Process) -> Self {
        Self(TcpStream::connect(process.address).await.expect("a connection"))
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the bytes can be written");
    }

    /// Starts an upload that announces `length` bytes, without sending the body.
    async fn begin_upload(&mut self, length: usize, headers: &str) {
        let content_type = Form::content_type();
        self.send(format!(
            "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}\r\n"
        ))
        .await;
    }

    /// Reads the head and body of a response, using its Content-Length. Panics if the connection closes first.
    async fn read_answer(&mut self) -> RawAnswer {
        tokio::time::timeout(HANG_TIMEOUT, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("the answer's head"));
            }
            let head = String::from_utf8(head).expect("a head of plain text");
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            self.0.read_exact(&mut body).await.expect("the answer's body");
            RawAnswer { head, body: String::from_utf8(body).expect("a body of text") }
        })
        .await
        .expect("an answer in time")
    }

    /// Reads until the server closes or resets the connection.
    async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(HANG_TIMEOUT, self.0.read_to_end(&mut bytes)).await.expect("the connection is closed");
        drop(ended);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[derive(Debug)]
struct RawAnswer {
    head: String,
    body: String,
}

impl RawAnswer {
    fn assert(&self, status: u16, error: &str) {
        assert!(self.head.starts_with(&format!("HTTP/1.1 {status} ")), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["error"], error, "{self:?}");
    }
}

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

// Rejected while the client is still sending.

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
    assert_eq!(sample_value(&overloaded, "image_service_uploads_total{result=\"overloaded\"}"), 1.0);
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

/// Without a disk to spill to, a body reserves memory for its full announced length before it is read.
const NO_DISK: (&str, &str) = ("UPLOAD_DISK_BUDGET", "0");

/// Combines `settings` with those under which [`hold_memory`] leaves too little memory for others.
fn settings_with_held_memory(settings: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[NO_DISK, ("UPLOAD_MEMORY_BUDGET", "11MiB"), ("BODY_MIN_RATE", "0")], settings].concat()
}

/// Reserves nearly all of an 11 MiB budget and keeps it, by sending a byte now and then, until the task is aborted.
async fn hold_memory(process: &Process) -> tokio::task::JoinHandle<()> {
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

// Many connections, and malformed requests.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_block_others_except_briefly_above_the_limit() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("MAX_CONNECTIONS", "40"), ("HEAD_TIMEOUT", "3")]).await;
    let idle = futures::future::join_all((0..39).map(|_| Raw::open(&process))).await;
    Client::new(process.address).get("/health").await.ok();
    let more = futures::future::join_all((0..60).map(|_| Raw::open(&process))).await;
    Client::new(process.address).get("/health").await.ok();
    drop((idle, more));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_survives_more_connections_than_open_files() {
    let home = Home::new().await;
    let process = Process::start_after("ulimit -n 128", &home, &[("HEAD_TIMEOUT", "5")]).await;
    let client = Client::new(process.address);
    client.get("/health").await.ok();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Raw::open(&process).await);
    }
    let answer = client.upload(&Upload::small("meanwhile", 1)).await;
    assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    println!("an upload without a file to spare: {}", answer.status);
    drop(idle);
    let started = Instant::now();
    while client.upload(&Upload::small("after", 2)).await.status != 200 {
        assert!(started.elapsed() < HANG_TIMEOUT, "the service does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.count_whole("after").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_rejected_without_harm() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("HEAD_TIMEOUT", "2")]).await;
    let long = "x".repeat(200_000);
    let many: String = (0..500).map(|number| format!("X-{number}: y\r\n")).collect();
    for nonsense in [
        "\r\n\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
        "hello\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /health HTTP/9.9\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST /images HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n\r\n".to_owned(),
        "POST /images HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
    ] {
        let mut raw = Raw::open(&process).await;
        // The server may close the connection before everything was sent.
        raw.0.write_all(nonsense.as_bytes()).await.ok();
        let answer = raw.read_to_end().await;
        let shown: String = nonsense.chars().take(60).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{shown:?}: {answer}");
        assert!(!answer.contains(" 200 OK") && !answer.contains(" 500 "), "{shown:?}: {answer}");
    }
    let client = Client::new(process.address);
    client.upload(&Upload::small("after", 1)).await.ok();
    assert!(!process.log().contains("panic"));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pipelined_requests_are_all_answered() {
    const REQUESTS: usize = 10_000;
    let home = Home::new().await;
    let process = Process::start(&home, &[("LOG_LEVEL", "warn")]).await;
    let (mut reader, mut writer) = Raw::open(&process).await.0.into_split();
    let sending = async {
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        for _ in 0..REQUESTS / 100 - 1 {
            writer.write_all(&request).await.expect("the requests can be written");
        }
        let last = String::from_utf8(request).expect("text");
        let last = format!("{}GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &last[last.len() / 100..]);
        writer.write_all(last.as_bytes()).await.expect("the requests can be written");
    };
    let mut answers = Vec::new();
    let (read, ()) = tokio::join!(tokio::time::timeout(HANG_TIMEOUT, reader.read_to_end(&mut answers)), sending);
    read.expect("answers in time").expect("an orderly close");
    let answers = String::from_utf8(answers).expect("responses in UTF-8");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), REQUESTS);
    assert_eq!(answers.matches("\"healthy\"").count(), REQUESTS);
}

// Metrics and logs.

/// The value of a sample, given by its name and labels as written in the output.
fn sample_value(metrics: &Answer, sample: &str) -> f64 {
    let found = metrics.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {sample} in\n{}", metrics.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_uploads_stages_budgets_connections_and_intents() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let upload = Upload::small("counted", 1).with_key("counted");
    let id = client.upload(&upload).await.image_id();
    client.upload(&upload).await.ok();
    assert_error(&client.upload(&Upload::of("no picture", &[b'x'; 2000])).await, 415, "UnsupportedMediaType");
    assert_error(&client.upload(&Upload::of(&"long".repeat(60), &[b'x'; 2000])).await, 422, "ValidationError");
    assert_error(&client.upload(&Upload::of("too large", &vec![b'x'; (10 << 20) + 1])).await, 400, "InvalidFile");
    assert_error(&client.upload(&Upload::of("far too large", &vec![b'x'; 11 << 20])).await, 413, "PayloadTooLarge");
    let cut_off = Upload { body: upload.body.slice(..1000), ..upload.clone() };
    assert_error(&client.upload(&cut_off).await, 400, "BadRequest");
    client.get(&format!("/images/{id}")).await.ok();
    client.get("/images").await.ok();
    assert_eq!(client.get("/images/nothing").await.status, 404);
    let metrics = client.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(metrics.text().ends_with("# EOF\n"));
    for (sample, value) in [
        ("http_requests_total{method=\"POST\",route=\"/images\",status=\"200\"}", 2.0),
        ("http_requests_total{method=\"POST\",route=\"/images\",status=\"415\"}", 1.0),
        ("http_requests_total{method=\"GET\",route=\"/images/{image_id}\",status=\"200\"}", 1.0),
        ("http_requests_total{method=\"GET\",route=\"/images/{image_id}\",status=\"404\"}", 1.0),
        ("http_request_duration_seconds_count{method=\"POST\",route=\"/images\"}", 7.0),
        ("http_requests_in_flight", 1.0),
        ("uploads_total{result=\"stored\"}", 1.0),
        ("uploads_total{result=\"replayed\"}", 1.0),
        ("uploads_total{result=\"unsupported_format\"}", 1.0),
        ("uploads_total{result=\"invalid\"}", 1.0),
        ("uploads_total{result=\"invalid_file\"}", 1.0),
        ("uploads_total{result=\"too_large\"}", 1.0),
        ("uploads_total{result=\"malformed\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"decode\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"thumbnails\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"intent\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"objects\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"record\"}", 1.0),
        ("upload_memory_budget_bytes", 134_217_728.0),
        ("upload_memory_in_use_bytes", 0.0),
        ("receiving_memory_budget_bytes", 67_108_864.0),
        ("receiving_memory_in_use_bytes", 0.0),
        ("upload_disk_budget_bytes", 1_073_741_824.0),
        ("upload_disk_in_use_bytes", 0.0),
        ("spilled_uploads_total", 0.0),
        ("decode_memory_budget_bytes", 268_435_456.0),
        ("decode_memory_in_use_bytes", 0.0),
        ("intents{state=\"uploading\"}", 0.0),
        ("intents{state=\"removing\"}", 0.0),
    ] {
        assert_eq!(sample_value(&metrics, &format!("image_service_{sample}")), value, "{sample}");
    }
    for state in ["in_use", "idle", "max"] {
        sample_value(&metrics, &format!("image_service_database_connections{{state=\"{state}\"}}"));
    }
    assert!(sample_value(&metrics, "image_service_sweeper_last_success_timestamp_seconds") > 1.6e9);
    assert!(metrics.text().contains("image_service_http_request_duration_seconds_bucket{le="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_after_its_client_disconnected_is_counted_and_logged() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("S3_TIMEOUT", "1")]).await;
    proxied.storage.set(Fault::Hang);
    let client = Client::new(process.address);
    let upload = Upload::small("nobody waits", 1);
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(upload.body.len(), "").await;
    raw.send(&upload.body).await;
    while sample_value(&client.get("/metrics").await, "image_service_intents{state=\"uploading\"}") == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(raw);
    let started = Instant::now();
    let counted = "image_service_uploads_total{result=\"unavailable\"} 1\n";
    while !client.get("/metrics").await.text().contains(counted) || !process.log().contains("client had disconnected") {
        assert!(started.elapsed() < HANG_TIMEOUT, "the failure is not counted and logged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lines: Vec<String> =
        process.log().lines().filter(|line| line.contains("client had disconnected")).map(str::to_owned).collect();
    assert!(lines.len() == 1 && lines[0].contains("did not answer within 1s: put object"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_create_metric_labels() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("one", 1)).await.image_id();
    for number in 0..20 {
        for path in [format!("/nothing/{number}"), format!("/users/user{number}/images"), format!("/tags/tag{number}/images")] {
            client.get(&path).await;
        }
        client.get(&format!("/images/{}?include_url=false", id.replace(&id[..2], &format!("{number:02}")))).await;
        client.get(&format!("/docs/{number}")).await;
        let mut raw = Raw::open(&process).await;
        raw.send(format!("BREW{number} /images HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 405 "));
    }
    let metrics = client.get("/metrics").await;
    let values = |label: &str| -> BTreeSet<String> {
        let label = format!("{label}=\"");
        let values = metrics.text().split(&label).skip(1).filter_map(|rest| rest.split('"').next());
        values.map(str::to_owned).collect()
    };
    let methods = values("method");
    assert!(methods.iter().all(|method| ["GET", "POST", "OTHER"].contains(&method.as_str())), "{methods:?}");
    assert!(methods.contains("OTHER"));
    for route in values("route") {
        assert!(!route.contains(|letter: char| letter.is_ascii_digit()), "{route}");
        assert!(route == "(none)" || route.starts_with('/'), "{route}");
    }
    assert!(!metrics.text().contains(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_one_line_per_request_with_its_id_and_no_client_data() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("LOG_FORMAT", "json")]).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let client = Client::new(process.address);
    let form = Form::new().text("user_id", "secret-user").text("title", "secret-title").text("tags", "secret-tag");
    let file = pictures::jpeg(96, 64, 1);
    let form = form.text("description", "secret-description").file_named("secret-name.jpg", "image/jpeg", &file);
    let upload = http.post(client.url("/images")).header("Content-Type", Form::content_type()).header("X-Request-Id", "first");
    let image = Answer::read(upload.body(form.finish()).send().await.expect("an answer")).await.image();
    let id = image["image_id"].as_str().expect("an id");

    let mut ids = vec!["first".to_owned()];
    for (number, path) in [
        format!("/images/{id}"),
        "/images?user_id=secret-user".to_owned(),
        "/images?unknown=secret-value".to_owned(),
        "/users/secret-user/images".to_owned(),
        "/tags/secret-tag/images".to_owned(),
        "/images?page_token=secret-token".to_owned(),
        "/secret-path".to_owned(),
        "/ready".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let request = http.get(client.url(path)).header("X-Request-Id", format!("request-{number}"));
        Answer::read(request.send().await.expect("an answer")).await;
        ids.push(format!("request-{number}"));
    }
    let refused = http.patch(client.url(&format!("/images/{id}"))).header("X-User-Id", "secret-other");
    let refused = refused.header("X-Request-Id", "not-the-owner").json(&serde_json::json!({"title": "secret-change"}));
    assert_error(&Answer::read(refused.send().await.expect("an answer")).await, 403, "Forbidden");
    ids.push("not-the-owner".to_owned());
    let generated = client.get("/health").await;
    ids.push(generated.header("x-request-id").to_owned());
    // The embedded storage writes to the same log.
    let url = image["download_url"].as_str().expect("a URL");
    assert_eq!(http.get(url).send().await.expect("an answer").status(), 200);
    let altered = http.get(format!("{url}0")).send().await.expect("an answer");
    assert!(altered.status().is_client_error());
    let signature = url.split("X-Amz-Signature=").nth(1).expect("a signature").split('&').next().expect("a signature").to_owned();
    let process = stop_and_keep_log(process).await;

    let log = process.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    for id in &ids {
        let count = lines.iter().filter(|line| line["request_id"] == **id).count();
        assert_eq!(count, 1, "{id} in\n{log}");
    }
    let about_requests: HashSet<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(about_requests.len(), ids.len(), "{log}");
    let line = lines.iter().find(|line| line["request_id"] == "request-0").expect("a line");
    assert_eq!((&line["method"], &line["route"]), (&"GET".into(), &"/images/{image_id}".into()));
    assert!(line["status"] == 200 && line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    for secret in ["secret-", "X-Amz-", &signature] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert!(leak.is_none(), "{secret} is in the log: {leak:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unknown_names_give_a_short_response_and_log() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("one", 1)).await.image_id();
    let name = |number: usize| format!("secret-{number}-{}", "n".repeat(70));

    let parts = (0..100_000).fold(Form::new(), |form, number| form.text(&format!("secret-{number}"), ""));
    let parts = http.post(client.url("/images")).header("Content-Type", Form::content_type()).body(parts.finish());
    let repeated = (0..100_000).fold(Form::new(), |form, _| form.text("title", "x"));
    let repeated = http.post(client.url("/images")).header("Content-Type", Form::content_type()).body(repeated.finish());
    let query: Vec<String> = (0..400).map(name).collect();
    let query = http.get(client.url(&format!("/images?{}", query.join("&"))));
    let fields: serde_json::Map<String, Value> = (0..600).map(|number| (name(number), Value::Null)).collect();
    let fields = http.patch(client.url(&format!("/images/{id}"))).header("X-User-Id", "alice").json(&fields);
    for (request, reported) in [(parts, 21), (repeated, 2), (query, 21), (fields, 21)] {
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        let details = assert_error(&answer, 422, "ValidationError");
        let details = details.as_object().expect("fields");
        assert!(details.len() == reported && details.contains_key("(more)"), "{details:?}");
        assert!(details.keys().all(|name| name.len() <= 64) && answer.body.len() < 5000, "{} bytes", answer.body.len());
    }
    let log = stop_and_keep_log(process).await.log();
    assert_eq!(log.matches("20 unknown names").count(), 3, "{log}");
    assert!(!log.contains("secret-") && log.lines().all(|line| line.len() < 1000), "{log}");
}

async fn stop_and_keep_log(mut process: Process) -> Process {
    process.terminate();
    assert!(process.wait(HANG_TIMEOUT).await.success());
    // Another thread is still reading the last lines of the log.
    tokio::time::sleep(Duration::from_millis(200)).await;
    process
}

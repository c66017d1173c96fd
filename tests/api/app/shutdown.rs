//! Shutdown: a stopping service finishes requests in flight and stores what it acknowledges.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Form;
use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_waits_for_its_database_stops_immediately_on_a_signal() {
    let mut home = Home::embedded();
    // No server listens on this port.
    home.set("DATABASE_URL", "postgres://images:hunter2@127.0.0.1:1/images");
    for signal in ["TERM", "INT"] {
        let mut child = home.command(&["serve"], &[]).spawn().expect("the program can be started");
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let line = log
            .by_ref()
            .map(|line| line.expect("a line"))
            .find(|line| line.contains("waiting for the database"))
            .expect("a line");
        assert!(line.contains(": cannot connect to 127.0.0.1:1: ") && !line.contains("hunter2"), "{line}");
        let signalled = Instant::now();
        Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().expect("the signal is sent");
        assert_eq!(child.wait().expect("the exit status").code(), Some(0));
        assert!(signalled.elapsed() < Duration::from_secs(10), "{signal}: {:?}", signalled.elapsed());
    }
}

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

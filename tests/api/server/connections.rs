//! Connection limits: no client can occupy all connections, and idle ones are closed for new ones.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::Raw;
use crate::harness::{Form, TestApp, assert_error, pictures};

async fn open(process: &Process, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(process.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_request_do_not_block_other_clients() {
    let home = Home::new().await;
    for bound in ["MAX_CONNECTIONS_PER_ADDRESS", "MAX_CONNECTIONS"] {
        let process = Process::start(&home, &[(bound, "6"), ("HEAD_TIMEOUT", "600"), ("KEEP_ALIVE_TIMEOUT", "600")]).await;
        let client = Client::new(process.address);
        let mut half_heads = Vec::new();
        for _ in 0..40 {
            half_heads.push(open(&process, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ").await);
        }
        for _ in 0..3 {
            assert_eq!(client.get("/health").await.status, 200, "{bound}");
        }
        // The oldest connection was closed to make way for a new one.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), half_heads[0].read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "{bound}: {ended:?}");
        // Drop them first: a started head may be completed while the service stops.
        drop(half_heads);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_uses_all_its_connections_is_rejected() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("MAX_CONNECTIONS_PER_ADDRESS", "3"), ("BODY_IDLE_TIMEOUT", "60")]).await;
    let head = format!(
        "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n",
        Form::content_type()
    );
    let mut uploads = Vec::new();
    for _ in 0..3 {
        let mut upload = open(&process, &head).await;
        // The upload is in progress when the service requests the body.
        upload.read_exact(&mut [0; 25]).await.expect("100 Continue");
        uploads.push(upload);
    }
    let mut refused = open(&process, "").await;
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("Retry-After: 1"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["error"], "ServiceUnavailable");
    drop(uploads.pop());
    let client = Client::new(process.address);
    let mut status = 0;
    for _ in 0..600 {
        status = client.try_get("/health").await.unwrap_or_default();
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 200, "a connection is available again");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_block_neither_downloads_nor_uploads() {
    let home = Home::new().await;
    let settings = [("MAX_DOWNLOADS", "1"), ("BODY_IDLE_TIMEOUT", "600"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")];
    let process = Process::start(&home, &settings).await;
    let client = Client::new(process.address);
    let file = pictures::png(1700, 1700, 3);
    let large = client.upload(&Upload::of("large", &file)).await.image_id();
    let request = format!("GET /i/{large} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = open(&process, &request).await;
        // The response has started.
        reader.read_exact(&mut [0; 12]).await.expect("a status line");
        readers.push(reader);
    }
    assert!(client.get(&format!("/i/{large}")).await.body == file);
    client.upload(&Upload::small("small", 1)).await.ok();
    assert_eq!(client.get("/ready").await.status, 200);
    // A reader that continues gets the rest of the file from where it stopped.
    let mut reader = readers.pop().expect("a reader");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reader.read_u8().await.expect("a head"));
    }
    let mut body = vec![0; file.len()];
    reader.read_exact(&mut body).await.expect("the whole file");
    assert!(body == file);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_serves_only_health_readiness_and_metrics() {
    let app = TestApp::with(&["--admin-port=0"]).await;
    let admin = format!("http://{}", app.admin_address().expect("an admin port"));
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(app.fetch(&format!("{admin}{path}")).await.status, 200, "{path}");
        assert_error(&app.get(path).await, 404, "NotFound");
    }
    for path in ["/images", "/limits", "/openapi.json", "/docs", "/"] {
        assert_error(&app.fetch(&format!("{admin}{path}")).await, 404, "NotFound");
    }
    let document = app.get("/openapi.json").await.ok();
    assert!(document["paths"]["/images"].is_object() && document["paths"]["/metrics"].is_null());
}

/// More than the 192 clients that are served concurrently.
const READERS: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_embedded_storage_that_do_not_read_block_neither_uploads_nor_readiness() {
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let image = client.upload(&Upload::of("large", &pictures::padded(pictures::jpeg(96, 64, 1), 9_000_000))).await.image();
    let storage = process.storage_address.expect("an embedded storage");
    let url = image["download_url"].as_str().expect("a URL");
    let target = url.strip_prefix(&format!("http://{storage}")).expect("a URL of the embedded storage");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {storage}\r\n\r\n");
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = TcpStream::connect(storage).await.expect("a connection, or a place in the backlog");
        reader.write_all(request.as_bytes()).await.expect("the request is sent");
        readers.push(reader);
    }
    for seed in 0..3 {
        assert_eq!(client.get("/ready").await.status, 200);
        client.upload(&Upload::small(&format!("meanwhile {seed}"), seed)).await.ok();
    }
    let id = image["image_id"].as_str().expect("an id");
    assert_eq!(client.try_get(&format!("/i/{id}")).await, Some(200));
    drop(readers);
    assert_eq!(client.count_whole("large").await, 1);
    process.stop().await;
}

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

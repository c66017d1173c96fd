//! The HTTP protocol: malformed and pipelined requests.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::Raw;

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
    assert!(!process.stop().await.contains("panic"));
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

//! Tests of uploads without an SDK: forms in pieces, slow and interrupted clients, hostile bodies, presigned `PUT`s, and CORS.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Body, Method, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::post_tests::{FORM, TestServer, end, now, part};
use crate::objects::presign_put::PresignedPut;

/// Different bytes in every block, with many beginnings of a boundary.
fn data(bytes: usize) -> Vec<u8> {
    let mut data: Vec<u8> = (0..bytes).map(|at| (at / 251 + at) as u8).collect();
    for at in (0..bytes.saturating_sub(10)).step_by(1000) {
        data[at..at + 7].copy_from_slice(b"\r\n--x-b");
    }
    data
}

#[tokio::test]
async fn a_large_file_in_pieces_of_any_size_is_stored_unchanged() {
    let server = TestServer::start().await;
    let form = server.signed_form(&[("key", "a/b")], &[]);
    for (file_bytes, piece_bytes) in
        [(0, 1), (3000, 1), (300_000, 7), (2_000_000, 1000), (3_000_001, 262_144), (1 << 20, 1 << 22)]
    {
        let file = data(file_bytes);
        let body = form.body(&file);
        let pieces: Vec<_> =
            body.chunks(piece_bytes).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        // Without a Content-Length, as `Transfer-Encoding: chunked`.
        let body = Body::wrap_stream(futures::stream::iter(pieces));
        assert_eq!(server.post_to("images", FORM, body).await.status(), 204);
        assert!(server.get("a/b").await.bytes().await.unwrap() == file, "{file_bytes} bytes in pieces of {piece_bytes}");
    }
}

/// Sends the head of a form upload and `sent`, the beginning of its body.
async fn send(server: &TestServer, content_length: usize, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.server.address).await.unwrap();
    let head = format!("POST /images HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {content_length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), sent].concat()).await.unwrap();
    stream
}

async fn response(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut response)).await;
    // A reset after the response loses nothing.
    assert!(reading.is_ok(), "the server did not close the connection");
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn a_file_that_is_too_long_is_refused_while_it_arrives() {
    let server = TestServer::start_with(|config| config.limits.idle_timeout = Duration::from_millis(200)).await;
    let body = server.signed_form(&[("key", "a/b")], &[json!(["content-length-range", 0, 1_000_000])]).body(&data(2_000_000));
    let answer = response(send(&server, 60_000_000, &body[..1_100_000]).await).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("<Code>EntityTooLarge</Code>"), "{answer}");
    server.assert_no_unfinished_upload("a file that is too long");
    assert!(!server.exists("a/b"));
}

#[tokio::test]
async fn a_body_over_the_servers_limit_is_refused_without_being_read() {
    let server = TestServer::start_with(|config| config.limits.idle_timeout = Duration::from_millis(200)).await;
    let answer = response(send(&server, 1 << 40, b"--").await).await;
    assert!(answer.contains("<Code>EntityTooLarge</Code>"), "{answer}");
}

#[tokio::test]
async fn slow_fields_and_a_stalled_file_time_out() {
    let form = |server: &TestServer| server.signed_form(&[("key", "a/b")], &[]).body(&data(1_000_000));
    let slow = TestServer::start_with(|config| {
        config.limits.header_timeout = Duration::from_millis(300);
        config.limits.idle_timeout = Duration::from_secs(1);
    });
    let slow = slow.await;
    let body = form(&slow);
    let mut stream = send(&slow, body.len(), b"").await;
    // Each byte resets the limit for pauses, but not the one for the fields.
    for byte in &body[..8] {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = response(stream).await;
    assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");

    let stalled = TestServer::start_with(|config| config.limits.idle_timeout = Duration::from_millis(200)).await;
    let body = form(&stalled);
    let answer = response(send(&stalled, body.len(), &body[..700_000]).await).await;
    assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    stalled.assert_no_unfinished_upload("a stalled file");
}

#[tokio::test]
async fn an_interrupted_form_stores_nothing() {
    let server = TestServer::start().await;
    let body = server.signed_form(&[("key", "a/b")], &[]).body(&data(1_000_000));
    // Also if only the end of the last boundary is missing, or what may follow it.
    for sent in [0, 100, 700_000, body.len() - 30, body.len() - 3, body.len()] {
        let mut stream = send(&server, body.len() + 1, &body[..sent]).await;
        stream.shutdown().await.unwrap();
        drop(response(stream).await);
        assert!(!server.exists("a/b"), "{sent} bytes are stored");
        server.assert_no_unfinished_upload("an interrupted form");
    }
}

#[tokio::test]
async fn no_body_makes_the_server_panic_or_store_an_object() {
    const PIECES: [&[u8]; 14] = [
        b"--x-boundary",
        b"--x-boundary--",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Disposition: form-data; name=",
        b"\"file\"",
        b"\"key\"",
        b"; filename=\"${filename}\"",
        b"\"x-amz-signature\"",
        b"\"policy\"",
        b"\xff\x00",
        b"x",
        b"--",
        b"Content-Type: text/plain\r\n",
    ];
    let server = TestServer::start().await;
    let valid = server.form().body(b"image");
    let mut state: u64 = 7;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..400 {
        let count = random(20);
        let pieces: Vec<u8> = (0..count).flat_map(|_| PIECES[random(PIECES.len())]).copied().collect();
        let (start, length) = (random(valid.len()), random(60));
        let mut damaged = valid[..start].to_vec();
        damaged.extend_from_slice(&pieces);
        // Without the signature, which is before the file, or with a damaged one.
        damaged.extend_from_slice(&valid[(start + length).min(valid.len())..]);
        for body in [pieces, damaged] {
            let status = server.post_to("images", FORM, body).await.status();
            assert!(status.is_client_error() || status == 204, "{status}");
        }
    }
    server.assert_no_unfinished_upload("hostile bodies");
}

/// Sends a `PUT` to a presigned URL for a JPEG of 5 bytes.
async fn put(server: &TestServer, content_type: &str, file: &'static [u8]) -> Response {
    let request =
        PresignedPut { key: "a/b c+é", signed_at: now(), expires_in: 60, content_type: "image/jpeg", content_length: 5 };
    let url = server.signer().put_url(&request);
    server.client.put(url).header("Content-Type", content_type).body(file).send().await.unwrap()
}

#[tokio::test]
async fn a_presigned_put_accepts_only_the_type_and_length_that_it_was_signed_for() {
    let server = TestServer::start().await;
    for (content_type, file) in
        [("image/png", b"image".as_slice()), ("image/jpeg", b"images"), ("image/jpeg", b""), ("", b"image")]
    {
        let response = put(&server, content_type, file).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["access-control-allow-origin"]),
            (403, &"*".parse().unwrap())
        );
        assert!(response.text().await.unwrap().contains("<Code>SignatureDoesNotMatch</Code>"), "{content_type} {file:?}");
        assert!(!server.exists("a/b c+é"));
    }
    let response = put(&server, "image/jpeg", b"image").await;
    assert_eq!((response.status().as_u16(), &response.headers()["access-control-allow-origin"]), (200, &"*".parse().unwrap()));
    let object = server.get("a/b c+é").await;
    assert_eq!(object.headers()["content-type"], "image/jpeg");
    assert_eq!(object.bytes().await.unwrap(), b"image".as_slice());
}

#[tokio::test]
async fn pages_of_any_origin_may_read_and_upload_but_not_delete() {
    let server = TestServer::start().await;
    let preflight = async |method: &str| {
        let url = format!("http://{}/images", server.server.address);
        let request = server.client.request(Method::OPTIONS, url).header("Origin", "https://example.org");
        request.header("Access-Control-Request-Method", method).send().await.unwrap()
    };
    for method in ["GET", "HEAD", "PUT", "POST"] {
        let response = preflight(method).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((response.status().as_u16(), header("access-control-allow-origin")), (200, "*"));
        assert_eq!(header("access-control-allow-methods"), "GET, HEAD, PUT, POST");
        // The wildcard does not include `Authorization`, and no credentials are allowed.
        assert_eq!(header("access-control-allow-headers"), "*");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
    }
    for method in ["DELETE", "PATCH", "put", ""] {
        assert_eq!(preflight(method).await.status(), 403, "{method}");
    }
    let closed = TestServer::start_with(|config| config.cors = false).await;
    let body = [part("name=\"key\"", b"a"), end()].concat();
    let response = closed.post_to("images", FORM, body).await;
    assert_eq!((response.status().as_u16(), response.headers().contains_key("access-control-allow-origin")), (403, false));
}

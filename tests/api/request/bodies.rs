//! Request bodies: media types, malformed forms and JSON, size limits, chunks and compression.

use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_malformed_multipart_body_is_400() {
    let app = TestApp::start().await;
    let whole = Form::upload("alice", &jpeg(60, 60, 1)).finish();
    let boundary = Form::content_type();
    let cut = |from_end: usize| whole[..whole.len() - from_end].to_vec();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("no boundary", whole.clone(), "multipart/form-data"),
        ("an empty boundary", whole.clone(), "multipart/form-data; boundary="),
        ("another boundary", whole.clone(), "multipart/form-data; boundary=other"),
        ("garbage", jpeg(60, 60, 1), &boundary),
        ("nothing", Vec::new(), &boundary),
        ("cut off in the file", cut(1000), &boundary),
        ("cut off before its end", cut(10), &boundary),
        ("cut off in a head", whole[..60].to_vec(), &boundary),
        ("a head without an end", [b"------the-tests-boundary\r\n", &b"x".repeat(50_000)[..]].concat(), &boundary),
    ];
    for (what, body, content_type) in cases {
        let request = app.request(Method::POST, "/images").header("Content-Type", content_type).body(body);
        let answer = app.send(request).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(keys(&assert_error(&answer, 400, "BadRequest")), ["body"], "{what}");
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
}

#[tokio::test]
async fn a_body_of_another_media_type_is_415() {
    let app = TestApp::start().await;
    let upload = |content_type: Option<&str>| {
        let request = app.request(Method::POST, "/images").body("{}");
        content_type.iter().fold(request, |request, text| request.header("Content-Type", *text))
    };
    for content_type in [None, Some("application/jsonp"), Some("image/jpeg"), Some("multipart/mixed; boundary=x"), Some("")] {
        assert_error(&app.send(upload(content_type)).await, 415, "UnsupportedMediaType");
    }
    let change = |content_type: Option<&str>| {
        let request = app.request(Method::PATCH, &format!("/images/{UNKNOWN_ID}")).header("X-User-Id", "alice").body("{}");
        content_type.iter().fold(request, |request, text| request.header("Content-Type", *text))
    };
    for content_type in [None, Some("text/plain"), Some("application/jsonp"), Some("application/x-www-form-urlencoded")] {
        assert_error(&app.send(change(content_type)).await, 415, "UnsupportedMediaType");
    }
    // Parameters and case do not matter.
    assert_error(&app.send(change(Some("Application/JSON; charset=utf-8"))).await, 404, "NotFound");
}

#[tokio::test]
async fn malformed_json_is_400_and_json_that_is_not_an_object_is_422() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let change = |body: Vec<u8>| {
        let request = app.request(Method::PATCH, &format!("/images/{id}")).header("X-User-Id", "alice");
        app.send(request.header("Content-Type", "application/json").body(body))
    };
    let deep = "[".repeat(10_000);
    for broken in
        ["", "{", "{\"title\": \"a\"", "{title: 1}", "{\"title\": \"a\"} x", "\u{feff}", "{\"title\": \"\\ud800\"}", &deep]
    {
        assert_error(&change(broken.into()).await, 400, "BadRequest");
    }
    assert_error(&change(b"{\"title\": \"\xff\"}".to_vec()).await, 400, "BadRequest");
    for other in ["null", "[]", "\"title\"", "1", "true"] {
        assert_error(&change(other.into()).await, 422, "ValidationError");
    }
}

#[tokio::test]
async fn json_above_the_size_limit_is_413() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let path = format!("/images/{id}");
    let request = || app.request(Method::PATCH, &path).header("X-User-Id", "alice").header("Content-Type", "application/json");
    let body = |length: usize| format!("{{\"title\": \"t\"{}}}", " ".repeat(length - 14));
    assert_eq!(app.send(request().body(body(64 * 1024))).await.ok()["title"], "t");
    for length in [64 * 1024 + 1, 200 * 1024] {
        assert_error(&app.send(request().body(body(length))).await, 413, "PayloadTooLarge");
        let chunked = Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(body(length))]));
        assert_error(&app.send(request().body(chunked)).await, 413, "PayloadTooLarge");
    }
}

#[tokio::test]
async fn an_upload_above_the_size_limit_is_413_with_and_without_a_length() {
    let app = TestApp::start().await;
    let limit = 10 * 1024 * 1024 + 64 * 1024;
    for length in [limit + 1, limit + 5_000_000] {
        let body = Form::upload("alice", &vec![0; length]).finish();
        let details = json!({"file": "must have at most 10485760 bytes"});
        let request = || app.request(Method::POST, "/images").header("Content-Type", Form::content_type());
        let answer = app.send(request().body(body.clone())).await;
        assert_eq!(assert_error(&answer, 413, "PayloadTooLarge"), details);
        let pieces: Vec<_> = body.chunks(50_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let answer = app.send(request().body(Body::wrap_stream(futures::stream::iter(pieces)))).await;
        assert_eq!(assert_error(&answer, 413, "PayloadTooLarge"), details);
    }
}

#[tokio::test]
async fn an_upload_with_an_excessive_content_length_is_rejected_before_the_body_is_sent() {
    let app = TestApp::start().await;
    let address = app.url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /images HTTP/1.1\r\nHost: {address}\r\nContent-Type: {}\r\nContent-Length: 1000000000000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        Form::content_type()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"PayloadTooLarge\""), "{answer}");
}

#[tokio::test]
async fn a_chunked_upload_is_accepted() {
    let app = TestApp::start().await;
    let body = Form::upload("alice", &jpeg(300, 200, 1)).finish();
    let pieces: Vec<_> = body.chunks(7).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let request = app.request(Method::POST, "/images").header("Content-Type", Form::content_type());
    let answer = app.send(request.body(Body::wrap_stream(futures::stream::iter(pieces)))).await;
    assert_eq!(answer.image()["width"], 300);
}

#[tokio::test]
async fn a_compressed_body_is_415_with_an_explanation() {
    let app = TestApp::start().await;
    let form = Form::upload("alice", &jpeg(60, 60, 1)).finish();
    let upload = |coding: &str| {
        let request = app.request(Method::POST, "/images").header("Content-Type", Form::content_type());
        app.send(request.header("Content-Encoding", coding).body(form.clone()))
    };
    for coding in ["gzip", "br", "identity, gzip", "GZIP"] {
        let answer = upload(coding).await;
        assert_error(&answer, 415, "UnsupportedMediaType");
        assert_eq!(answer.header("accept-encoding"), "identity");
        assert!(answer.json()["message"].as_str().unwrap().contains("Content-Encoding"), "{}", answer.text());
    }
    let change = app.request(Method::PATCH, &format!("/images/{UNKNOWN_ID}")).header("X-User-Id", "alice");
    let answer = app.send(change.header("Content-Encoding", "gzip").json(&json!({}))).await;
    assert_error(&answer, 415, "UnsupportedMediaType");
    for plain in ["identity", ""] {
        upload(plain).await.ok();
    }
}

#[tokio::test]
async fn json_may_start_with_a_byte_order_mark() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let request = app.request(Method::PATCH, &format!("/images/{id}")).header("X-User-Id", "alice");
    let answer = app.send(request.header("Content-Type", "application/json").body("\u{feff}{\"title\": \"x\"}")).await;
    assert_eq!(answer.ok()["title"], "x");
}

//! Rules for every request: one error format, no silently ignored input, request ids, methods and headers.

use std::sync::Arc;

use axum::Router;
use image_service::http::openapi;
use image_service::http::{AppState, with_layers};
use image_service::store::database::db::Sql;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::harness::pictures::{flat_jpeg, jpeg};
use crate::harness::{Answer, Form, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

/// Every route in the OpenAPI document: its path with an image id, and its methods except HEAD and OPTIONS.
fn routes(id: &str) -> Vec<(String, Vec<String>)> {
    let document = serde_json::to_value(openapi::document()).expect("the document");
    let route = |(path, operations): (&String, &Value)| {
        let path = path.replace("{size}", "small").replace("{user_id}", "alice").replace("{tag}", "sea");
        let path = path.replace("{name}", "name").replace("{token}", "token");
        let path = ["{image_id}", "{jobId}", "{id}"].iter().fold(path, |path, parameter| path.replace(parameter, id));
        let operations = operations.as_object().expect("operations").keys();
        (path, operations.map(|method| method.to_uppercase()).collect())
    };
    document["paths"].as_object().expect("paths").iter().map(route).collect()
}

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[tokio::test]
async fn an_unknown_path_is_404_for_every_method() {
    let app = TestApp::start().await;
    for path in
        ["/nope", "/images//", "/Images", "/images/a/b/c", "//images", "/users/a", "/tags/a", "/v1/images", "/favicon.ico"]
    {
        for name in ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let answer = app.send(app.request(method(name), path)).await;
            assert_eq!(assert_error(&answer, 404, "NotFound"), json!({}), "{name} {path}");
        }
    }
    for path in ["/users/%ff/images", "/docs/nope", "/docs/swagger-ui.nope"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_allowed_ones() {
    let app = TestApp::start().await;
    let mut paths = routes(UNKNOWN_ID);
    paths.extend(["/", "/docs", "/redoc", "/openapi.json"].map(|path| (path.to_owned(), vec!["GET".to_owned()])));
    for (path, methods) in paths {
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if methods.iter().any(|method| method == name) {
                continue;
            }
            let answer = app.send(app.request(method(name), &path)).await;
            assert_eq!(assert_error(&answer, 405, "MethodNotAllowed"), json!({}), "{name} {path}");
            let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            allowed.retain(|name| !["HEAD", "OPTIONS"].contains(name));
            allowed.sort_unstable();
            let mut expected = methods.clone();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn head_works_wherever_get_does() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea")).await.image_id();
    let mut paths: Vec<String> = routes(&id)
        .into_iter()
        .filter(|(_, methods)| methods.iter().any(|method| method == "GET"))
        .map(|(path, _)| path)
        .collect();
    paths.extend(["/", "/redoc", "/openapi.json", "/docs/", "/images?limit=0", "/images/x"].map(str::to_owned));
    for path in paths {
        let (get, head) = (app.get(&path).await, app.send(app.request(Method::HEAD, &path)).await);
        assert_eq!((get.status, get.header("content-type")), (head.status, head.header("content-type")), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert!(path == "/" || !get.body.is_empty(), "{path}");
        if !["/metrics"].contains(&path.as_str()) {
            assert_eq!(get.header("content-length"), head.header("content-length"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_malformed_or_unknown_id_is_404_in_every_route() {
    let app = TestApp::start().await;
    let simple = UNKNOWN_ID.replace('-', "");
    let braced = format!("%7B{UNKNOWN_ID}%7D");
    let ids = [UNKNOWN_ID, "1", "abc", "0", "%20", "%00", "..%2f..%2fetc", &simple, &braced, "urn:uuid:x", "null"];
    let long = "a".repeat(5000);
    for id in
        ids.into_iter().chain([long.as_str(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
    {
        for (name, path) in [
            ("GET", format!("/images/{id}")),
            ("GET", format!("/images/{id}?include_url=false")),
            ("GET", format!("/images/{id}/download?expires_in=60")),
            ("GET", format!("/images/{id}/thumbnails/small")),
            ("GET", format!("/images/{id}/thumbnail?width=100")),
            ("GET", format!("/i/{id}")),
            ("GET", format!("/i/{id}.json")),
            ("DELETE", format!("/images/{id}")),
            ("POST", format!("/images/{id}/restore")),
            ("POST", format!("/images/{id}/caption")),
        ] {
            assert_error(&app.by("alice", method(name), &path).await, 404, "NotFound");
        }
        assert_error(&app.patch("alice", id, &json!({"title": "t"})).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn unknown_query_parameters_are_422_in_every_route() {
    let app = TestApp::start().await;
    for (path, methods) in routes(UNKNOWN_ID) {
        for name in &methods {
            if name == "GET" && is_shared(&path) {
                continue;
            }
            let request = app.request(method(name), &format!("{path}?colour=blue&Limit=1")).header("X-User-Id", "alice");
            let details = assert_error(&app.send(request).await, 422, "ValidationError");
            assert_eq!(keys(&details), ["Limit", "colour"], "{name} {path}");
        }
    }
    // A parameter of one list may be unknown to another: here, the user is in the path.
    for (path, parameter) in
        [("/users/alice/images", "user_id"), ("/users/alice/images", "tags"), ("/tags/sea/images", "start_date")]
    {
        let details = assert_error(&app.get(&format!("{path}?{parameter}=2026-01-01")).await, 422, "ValidationError");
        assert_eq!(keys(&details), [parameter]);
    }
}

/// URLs that people share, embed in pages, or monitor. Other services add parameters to them.
fn is_shared(path: &str) -> bool {
    let pictures = path.contains("/thumbnail") && path.starts_with("/images/");
    pictures || ["/i/", "/view/", "/c/", "/health", "/ready", "/metrics"].iter().any(|start| path.starts_with(start))
}

#[tokio::test]
async fn shared_urls_accept_any_query_parameters() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let by_alice = |path: &str| app.request(Method::POST, path).header("X-User-Id", "alice");
    let link = app.send(by_alice(&format!("/images/{id}/links")).json(&json!({"expires_in": 300}))).await.json();
    let view = link["link"].as_str().unwrap().split_once("/view/").unwrap().1.to_owned();
    assert_eq!(app.send(by_alice("/collections").json(&json!({"name": "trip"}))).await.status, 201);
    let paths = [
        format!("/i/{id}"),
        format!("/i/{id}.json"),
        format!("/i/{id}/sunset.jpg"),
        format!("/view/{view}"),
        "/c/trip".to_owned(),
        format!("/images/{id}/thumbnails/small"),
        format!("/images/{id}/thumbnail"),
        "/health".to_owned(),
        "/ready".to_owned(),
        "/metrics".to_owned(),
        "/docs/".to_owned(),
        "/redoc".to_owned(),
        "/openapi.json".to_owned(),
    ];
    for path in paths {
        for query in ["fbclid=IwAR0abc", "utm_source=a&utm_source=b", "1690000000000", "v=", "_=%ff&limits[]=1"] {
            let own = if path.ends_with("/thumbnail") { "width=20&" } else { "" };
            assert_eq!(app.get(&format!("{path}?{own}{query}")).await.status, 200, "{path} {query}");
        }
    }
    // Their own parameters are still validated, and a misspelt size parameter would silently return a different image.
    assert_eq!(keys(&assert_error(&app.get("/c/trip?limit=0&fbclid=1").await, 422, "ValidationError")), ["limit"]);
    for (query, named) in
        [("width=20&heigth=20", "heigth"), ("Width=20&width=30", "Width"), ("fbclid=1", "width"), ("width=x&_=1", "width")]
    {
        let answer = app.get(&format!("/images/{id}/thumbnail?{query}")).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [named], "{query}");
    }
}

#[tokio::test]
async fn repeated_query_parameters_are_422() {
    let app = TestApp::start().await;
    for (path, parameter) in [
        ("/images?limit=1&limit=1", "limit"),
        ("/images?user_id=a&user_id=a", "user_id"),
        ("/users/alice/images?limit=1&limit=2", "limit"),
        (&format!("/images/{UNKNOWN_ID}?include_url=true&include_url=true"), "include_url"),
        (&format!("/images/{UNKNOWN_ID}/download?expires_in=60&expires_in=60"), "expires_in"),
    ] {
        assert_eq!(keys(&assert_error(&app.get(path).await, 422, "ValidationError")), [parameter], "{path}");
    }
}

#[tokio::test]
async fn all_invalid_parameters_are_reported_together() {
    let app = TestApp::start().await;
    let query = "limit=0&user_id=no%20spaces&tags=a/b&start_date=yesterday&end_date=2026-02-30&user=x&page_token=";
    let details = assert_error(&app.get(&format!("/images?{query}")).await, 422, "ValidationError");
    let named = keys(&details);
    for parameter in ["end_date", "limit", "start_date", "tags", "user", "user_id"] {
        assert!(named.contains(&parameter), "{parameter} is not in {details}");
    }
    let details = assert_error(
        &app.get(&format!("/images/{UNKNOWN_ID}/download?expires_in=59&attachment=yes&x=1")).await,
        422,
        "ValidationError",
    );
    assert_eq!(keys(&details), ["attachment", "expires_in", "x"]);
    // Errors in the path and in the query together.
    let details = assert_error(&app.get("/users/no%20spaces/images?limit=101").await, 422, "ValidationError");
    assert_eq!(keys(&details), ["limit", "user_id"]);
    let details = assert_error(&app.get("/tags/a%2Fb/images?limit=101&x").await, 422, "ValidationError");
    assert_eq!(keys(&details), ["limit", "tag", "x"]);
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
    for content_type in [None, Some("application/json"), Some("image/jpeg"), Some("multipart/mixed; boundary=x"), Some("")] {
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
async fn a_valid_request_id_is_returned_and_an_invalid_one_is_replaced() {
    let app = TestApp::start().await;
    let longest = "r".repeat(128);
    let send = |id: Vec<u8>| {
        let value = reqwest::header::HeaderValue::from_bytes(&id).unwrap();
        app.send(app.request(Method::GET, "/nope").header("X-Request-Id", value))
    };
    for valid in ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a", "web:1/2+x=_.", &longest] {
        assert_eq!(send(valid.into()).await.header("x-request-id"), valid);
    }
    let too_long = "r".repeat(129);
    for invalid in ["", "a b", "<script>", "a\"b", "{}", "é", "a,b", &too_long] {
        let answer = send(invalid.into()).await;
        assert_ne!(answer.header("x-request-id"), invalid);
        assert_eq!(answer.header("x-request-id").len(), 36, "{invalid:?}");
    }
    let (first, second) = (app.get("/health").await, app.get("/health").await);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let request = app.upload(Form::upload("alice", &jpeg(60, 60, 1))).header("X-Request-Id", "mine");
    assert_eq!(app.send(request).await.header("x-request-id"), "mine", "successful responses have it too");
}

#[tokio::test]
async fn an_internal_error_reveals_only_its_request_id() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let db = app.database().await;
    let mut tx = db.begin().await.unwrap();
    tx.execute(Sql::new("update images set format = 'a secret of the database'")).await.unwrap();
    tx.commit().await.unwrap();
    for path in [format!("/images/{id}"), "/images".to_owned(), format!("/images/{id}/download")] {
        let answer = app.send(app.request(Method::GET, &path).header("X-Request-Id", "find-me")).await;
        assert_eq!(assert_error(&answer, 500, "InternalServerError"), json!({"request_id": "find-me"}));
        assert!(!answer.text().contains("secret") && !answer.text().contains("format"), "{}", answer.text());
    }
    db.close().await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_and_later_requests_are_served() {
    let app = TestApp::start().await;
    let http = app.config().http(([127, 0, 0, 1], 8000).into());
    let state = AppState { service: Arc::clone(app.service()), config: Arc::new(http) };
    async fn panics() -> &'static str {
        panic!("a secret of the service")
    }
    let router = with_layers(Router::new().route("/panics", axum::routing::get(panics)), state);
    for method in ["GET", "HEAD", "GET"] {
        let request = http::Request::builder().method(method).uri("/panics").header("Host", "localhost");
        let request = request.header("X-Request-Id", "find-me");
        let response = router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        assert_eq!(answer.header("x-request-id"), "find-me");
        if method == "GET" {
            assert_eq!(assert_error(&answer, 500, "InternalServerError"), json!({"request_id": "find-me"}));
            assert!(!answer.text().contains("secret"), "{}", answer.text());
        }
        assert_eq!(answer.status, 500);
    }
    let metrics = app.get("/metrics").await;
    let counted = "image_service_http_requests_total{method=\"GET\",route=\"/panics\",status=\"500\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

async fn preflight(app: &TestApp, origin: &str) -> Answer {
    let request = app.request(Method::OPTIONS, "/images").header("Origin", origin);
    let request = request.header("Access-Control-Request-Method", "POST");
    app.send(request.header("Access-Control-Request-Headers", "content-type,x-user-id,idempotency-key")).await
}

#[tokio::test]
async fn cors_allows_the_headers_of_upload_widgets_and_tracing_and_exposes_response_headers() {
    for origins in ["*", "https://example.org"] {
        let app = TestApp::with(&[&format!("--cors-origins={origins}")]).await;
        let answer = preflight(&app, "https://example.org").await;
        let allowed = answer.header("access-control-allow-headers").to_lowercase();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        for name in [
            "authorization",
            "baggage",
            "cache-control",
            "content-type",
            "if-none-match",
            "if-range",
            "range",
            "sentry-trace",
            "traceparent",
            "tracestate",
            "x-api-key",
            "x-requested-with",
        ] {
            assert!(allowed.contains(&name), "{name} is not in {allowed:?}");
        }
        assert!(answer.header("access-control-max-age").parse::<u32>().is_ok_and(|seconds| seconds >= 600));
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://example.org")).await;
        let exposed = answer.header("access-control-expose-headers").to_lowercase();
        for name in [
            "accept-ranges",
            "content-disposition",
            "content-range",
            "etag",
            "link",
            "location",
            "retry-after",
            "www-authenticate",
        ] {
            assert!(exposed.split(',').any(|known| known.trim() == name), "{name} is not in {exposed}");
        }
    }
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

#[tokio::test]
async fn empty_query_parameters_are_ignored_and_common_spellings_of_booleans_and_times_are_accepted() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea,sun")).await.image_id();
    app.post(Form::upload("bob", &jpeg(60, 60, 2)).text("tags", "sea")).await.image_id();
    for query in ["", "tags=&user_id=&collection=&start_date=&end_date=&limit=&page_token=", "tags=sea", "tags=&tags=sea"] {
        assert_eq!(app.get(&format!("/images?{query}")).await.ok()["total_count"], 2, "{query}");
    }
    for query in ["tags=sea&tags=sun", "tags[]=sea&tags[]=sun", "tags=sea,sun", "tags=sea&tags%5B%5D=sun"] {
        assert_eq!(app.get(&format!("/images?{query}")).await.ok()["total_count"], 1, "{query}");
    }
    for (value, given) in [("True", true), ("TRUE", true), ("1", true), ("", true), ("False", false), ("0", false)] {
        let image = app.get(&format!("/images/{id}?include_url={value}")).await.ok();
        assert_eq!(image["download_url"].is_string(), given, "{value}");
    }
    for time in ["2026-01-31T12:00Z", "2026-01-31T12:00%2B01", "2026-01-31T12:00:00%2B0100", "2026-01-31t12:00z"] {
        app.get(&format!("/images?start_date={time}")).await.ok();
    }
}

#[tokio::test]
async fn other_origins_are_not_allowed_by_default() {
    let app = TestApp::start().await;
    let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://example.org")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
    let answer = preflight(&app, "https://example.org").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn cors_origins_allows_the_named_origins() {
    let app = TestApp::with(&["--cors-origins=https://example.org,http://localhost:3000"]).await;
    for origin in ["https://example.org", "http://localhost:3000"] {
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", origin)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
        assert!(answer.header("vary").to_lowercase().contains("origin"), "caches must tell origins apart");
        assert!(answer.header("access-control-expose-headers").to_lowercase().contains("x-request-id"));
        let answer = app.send(app.request(Method::GET, "/images?limit=0").header("Origin", origin)).await;
        assert_error(&answer, 422, "ValidationError");
        assert_eq!(answer.header("access-control-allow-origin"), origin, "pages may read errors, too");
        let answer = preflight(&app, origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
        let headers = answer.header("access-control-allow-headers").to_lowercase();
        assert!(["content-type", "x-user-id", "idempotency-key"].iter().all(|header| headers.contains(header)), "{headers}");
        let methods = answer.header("access-control-allow-methods");
        assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    for other in ["https://example.com", "http://example.org", "https://example.org.evil.com", "null"] {
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
        assert_eq!(preflight(&app, other).await.header("access-control-allow-origin"), "", "{other}");
    }
}

#[tokio::test]
async fn a_star_in_cors_origins_allows_every_origin() {
    let app = TestApp::with(&["--cors-origins=*"]).await;
    let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://anything.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn health_reports_that_the_process_is_up() {
    let app = TestApp::start().await;
    let expected = json!({"status": "healthy", "service": "instagram-image-service", "version": "1.0.0"});
    assert_eq!(app.get("/health").await.ok(), expected);
}

#[tokio::test]
async fn ready_reports_that_database_and_storage_are_up() {
    let app = TestApp::start().await;
    assert_eq!(
        app.get("/ready").await.ok(),
        json!({"status": "ready", "database": "up", "storage": "up", "captions": "off", "caption_model": null})
    );
}

#[tokio::test]
async fn the_documentation_pages_are_served() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, "docs/"), "{path}");
    }
    let page = app.get("/docs/").await;
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("swagger-ui"), "{}", page.text());
    assert!(page.text().contains("<title>Image Service</title>"), "{}", page.text());
    let initializer = app.get("/docs/swagger-initializer.js").await;
    assert!(initializer.text().contains("\"../openapi.json\""), "{}", initializer.text());
    assert!(initializer.text().contains("\"persistAuthorization\": true"), "{}", initializer.text());
    let page = app.get("/redoc").await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(!page.text().contains("//cdn"), "the page loads nothing from other hosts");
    let script = app.get("/redoc/redoc.standalone.js").await;
    assert!(script.status == 200 && script.header("content-type").contains("javascript") && script.body.len() > 100_000);
}

#[tokio::test]
async fn a_path_may_end_with_a_slash() {
    let app = TestApp::start().await;
    let image = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea")).await.image_id();
    let made =
        app.send(app.request(Method::POST, "/collections/").header("X-User-Id", "alice").json(&json!({"name": "all"}))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for path in [
        "/images/?limit=1".to_owned(),
        format!("/images/{image}/"),
        format!("/i/{image}/"),
        "/c/all/".to_owned(),
        "/tags/sea/images/".to_owned(),
        "/health/".to_owned(),
    ] {
        assert_eq!(app.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(app.by("alice", Method::DELETE, &format!("/images/{image}/")).await.status, 200);
    for path in ["/images//", "/nothing/", "/docs/nothing/", "//"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
    // The page's links are relative to its URL.
    let redoc = app.get("/redoc/").await;
    assert_eq!((redoc.status, redoc.header("location")), (307, "../redoc"));
}

#[tokio::test]
async fn a_message_names_each_invalid_field_with_its_rule() {
    let app = TestApp::start().await;
    let message = async |path: &str| app.get(path).await.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message("/images?limit=0").await, "limit must be a whole number from 1 to 100.");
    let two = "limit must be a whole number from 1 to 100. user is not a parameter of this request.";
    assert_eq!(message("/images?limit=0&user=x").await, two);
    let many: String = (0..40).map(|number| format!("&x{number}{}=1", "x".repeat(100))).collect();
    let long = message(&format!("/images?limit=0{many}")).await;
    assert!(long.ends_with(" See details for more.") && long.len() < 1000, "{long}");
}

#[tokio::test]
async fn the_documentation_pages_fit_small_screens_and_work_below_a_path_prefix() {
    let app = TestApp::start().await;
    for path in ["/docs/", "/redoc"] {
        let page = app.get(path).await;
        assert!(page.status == 200 && page.text().contains("<meta name=\"viewport\" content=\"width=device-width"), "{path}");
        // A proxy may serve this page below a path prefix that it strips. An absolute path would leave the prefix.
        for attribute in ["src=\"", "href=\"", "spec-url=\""] {
            for address in page.text().split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(!address.starts_with('/') && !address.starts_with("http"), "{path}: {address}");
                if address.starts_with("data:") {
                    continue;
                }
                let base = reqwest::Url::parse(&app.url(path)).unwrap();
                let target = base.join(address).unwrap();
                assert_eq!(app.get(target.path()).await.status, 200, "{path}: {address}");
            }
        }
    }
}

#[tokio::test]
async fn the_served_openapi_document_describes_the_routes() {
    let app = TestApp::start().await;
    let yaml = app.get("/openapi.yaml").await;
    assert_eq!((yaml.status, yaml.header("content-type")), (200, "application/yaml"));
    assert!(yaml.text().starts_with("openapi: ") && yaml.text().contains("\n  /images:\n"), "{}", yaml.text());
    let document = app.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert_eq!(document["paths"], serde_json::to_value(openapi::document()).expect("the document")["paths"]);
    assert!(document["paths"].as_object().expect("paths").len() > 30);
    let error = document["components"]["schemas"].as_object().unwrap().keys().any(|name| name == "ErrorType");
    assert!(error, "the document lists the error types");
}

#[tokio::test]
async fn metrics_are_in_openmetrics_format_and_count_requests_and_uploads() {
    let app = TestApp::start().await;
    app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.ok();
    assert_error(&app.post(Form::upload("alice", &flat_jpeg(40, 40))).await, 400, "InvalidFile");
    app.get("/nope/with-a-secret-in-it").await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"), "{}", answer.header("content-type"));
    let text = answer.text();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"));
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(["HELP ", "TYPE ", "UNIT "].iter().any(|kind| comment.starts_with(kind)), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte)), "{line}");
        }
    }
    let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["requests", "POST", "/images", "200", " 1"]), "{text}");
    assert!(has(&["requests", "POST", "/images", "400", " 1"]), "{text}");
    assert!(has(&["upload", "stored", " 1"]) && has(&["upload", "invalid_file", " 1"]), "{text}");
    assert!(!text.contains("secret"), "paths that match no route are not labels");
}

//! What every response has in common: request IDs, and errors that reveal nothing else.

use std::sync::Arc;

use axum::Router;
use image_service::http::{AppState, with_layers};
use image_service::store::database::db::Sql;
use reqwest::Method;
use serde_json::json;
use tower::ServiceExt;

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

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
    let state = AppState::new(Arc::clone(app.service()), http);
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

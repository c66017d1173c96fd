//! Adoption of one object by many requests, with repeated keys, and while the storage fails.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::adoption::adopt;
use crate::harness::pictures::jpeg;
use crate::harness::{Answer, TestApp, assert_error};

#[tokio::test]
async fn concurrent_requests_adopt_an_object_once() {
    let app = TestApp::start().await;
    app.storage().put("incoming/a.jpg", &jpeg(600, 400, 1)).await;
    let body = json!({"s3_key": "incoming/a.jpg", "user_id": "alice"});
    let answers = join_all((0..8).map(|_| adopt(&app, &body))).await;
    let first = answers[0].image_id();
    assert!(answers.iter().all(|answer| answer.image_id() == first));
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    // The objects that the other requests had stored are removed as those of any upload that failed.
    app.storage().delete("incoming/a.jpg").await;
    app.clock.advance(chrono::TimeDelta::hours(2));
    app.sweep_all().await;
    app.clock.advance(chrono::TimeDelta::hours(2));
    app.sweep_all().await;
    app.assert_sound().await;
    let objects = app.storage().keys().await;
    assert!(objects.iter().all(|key| key.contains(&first)), "{objects:?}");
}

async fn adopt_with_key(app: &TestApp, key: &str, body: &Value) -> Answer {
    app.send(app.request(Method::POST, "/images").header("Idempotency-Key", key).json(body)).await
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_object() {
    let app = TestApp::start().await;
    for (key, seed) in [("incoming/a.jpg", 1), ("incoming/b.jpg", 2)] {
        app.storage().put(key, &jpeg(60, 60, seed)).await;
    }
    let body = json!({"s3_key": "incoming/a.jpg", "user_id": "alice", "title": "A"});
    let first = adopt_with_key(&app, "k1", &body).await;
    // The key repeats the first response, even if the object has changed.
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 3)).await;
    assert_eq!(adopt_with_key(&app, "k1", &body).await.ok(), first.ok());
    let other = json!({"s3_key": "incoming/b.jpg", "user_id": "alice", "title": "A"});
    let details = assert_error(&adopt_with_key(&app, "k1", &other).await, 422, "ValidationError");
    assert!(details["Idempotency-Key"].is_string(), "{details}");
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
}

#[tokio::test]
async fn an_idempotency_key_repeats_the_first_response_whatever_happens_to_the_object() {
    let app = TestApp::start().await;
    for (key, seed) in [("incoming/a.jpg", 1), ("incoming/b.jpg", 2)] {
        app.storage().put(key, &jpeg(60, 60, seed)).await;
    }
    let body = json!({"s3_key": "incoming/a.jpg", "user_id": "alice", "title": "A"});
    let first = adopt_with_key(&app, "k1", &body).await;
    app.patch("alice", &first.image_id(), &json!({"title": "Renamed"})).await.ok();
    assert_eq!(adopt_with_key(&app, "k1", &body).await.ok(), first.ok());
    let mut renamed = body.clone();
    renamed["title"] = json!("B");
    assert_error(&adopt_with_key(&app, "k1", &renamed).await, 422, "ValidationError");
    app.storage().delete("incoming/a.jpg").await;
    assert_eq!(adopt_with_key(&app, "k1", &body).await.ok(), first.ok());
    assert_error(&adopt(&app, &body).await, 404, "NotFound");
    // A key is used up by a request for an object that was adopted before, too.
    let second = json!({"s3_key": "incoming/b.jpg", "user_id": "alice"});
    let id = adopt(&app, &second).await.image_id();
    assert_eq!(adopt_with_key(&app, "k2", &second).await.image_id(), id);
    app.storage().delete("incoming/b.jpg").await;
    assert_eq!(adopt_with_key(&app, "k2", &second).await.image_id(), id);
    assert_error(&adopt_with_key(&app, "k2", &body).await, 422, "ValidationError");
}

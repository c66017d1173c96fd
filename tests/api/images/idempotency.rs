//! `Idempotency-Key`: a repeated request stores nothing twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::caller::UserId;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::service::images::idempotency::LEASE;
use image_service::store;
use image_service::store::images::idempotency::Lease;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::harness::client::{Client, Upload};
use crate::harness::pictures::jpeg;
use crate::harness::process::Process;
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::{Answer, Form, TestApp, assert_error};

fn form(user: &str) -> Form {
    Form::upload(user, &jpeg(60, 60, 1)).text("title", "first").text("tags", "sea")
}

async fn count(app: &TestApp) -> Value {
    app.get("/images").await.ok()["total_count"].clone()
}

#[tokio::test]
async fn a_repeated_request_returns_the_first_response_and_stores_nothing() {
    let app = TestApp::start().await;
    app.clock.stop();
    let first = app.post_with_key("key-1", form("alice")).await.ok();
    for _ in 0..3 {
        assert_eq!(app.post_with_key("key-1", form("alice")).await.ok(), first);
    }
    // The order of the parts does not matter.
    let again = Form::new().text("tags", "sea").file(&jpeg(60, 60, 1)).text("title", "first").text("user_id", "alice");
    assert_eq!(app.post_with_key("key-1", again).await.ok(), first);
    assert_eq!(count(&app).await, 1);
    assert_eq!(app.storage().keys().await.len(), 3);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_repeated_request_needs_only_one_database_connection() {
    let app = TestApp::with(&["--database-connections=1", "--database-timeout=3"]).await;
    let first = app.post_with_key("key-1", form("alice")).await.image_id();
    assert_eq!(app.post_with_key("key-1", form("alice")).await.image_id(), first);
}

#[tokio::test]
async fn without_a_key_or_with_another_key_a_new_image_is_stored() {
    let app = TestApp::start().await;
    let mut ids = vec![app.post(form("alice")).await.image_id(), app.post(form("alice")).await.image_id()];
    for (key, user) in [("key-1", "alice"), ("key-2", "alice"), ("KEY-1", "alice"), ("key-1", "bob")] {
        ids.push(app.post_with_key(key, form(user)).await.image_id());
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), count(&app).await), (6, json!(6)));
}

#[tokio::test]
async fn the_first_response_is_repeated_after_a_change_but_not_while_the_image_is_deleted() {
    let app = TestApp::with(&["--delete-revokes-urls=false"]).await;
    app.clock.stop();
    let first = app.post_with_key("key-1", form("alice").text("description", "words")).await.ok();
    let id = first["image_id"].as_str().unwrap();
    let again = async || app.post_with_key("key-1", form("alice").text("description", "words")).await.ok();
    app.patch("alice", id, &json!({"title": "changed", "description": null, "tags": ["other"]})).await.ok();
    assert_eq!(again().await, first);
    assert_eq!(
        app.get(&format!("/images/{id}")).await.ok()["title"],
        "changed",
        "the response is the first one, the image has changed"
    );
    app.delete("alice", id).await.ok();
    let rejected = app.post_with_key("key-1", form("alice").text("description", "words")).await;
    assert_error(&rejected, 410, "Gone");
    assert_eq!(count(&app).await, 0);
    app.restore("alice", id).await.ok();
    assert_eq!(again().await, first);
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn the_key_of_a_purged_image_stays_used() {
    let app = TestApp::start().await;
    let first = app.post_with_key("key-1", form("alice")).await.ok();
    app.delete("alice", &format!("{}?purge=true", first["image_id"].as_str().unwrap())).await.ok();
    assert_error(&app.post_with_key("key-1", form("alice")).await, 410, "Gone");
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn a_different_payload_with_the_same_key_is_rejected() {
    let app = TestApp::start().await;
    app.post_with_key("key-1", form("alice")).await.ok();
    let file = jpeg(60, 60, 1);
    for other in [
        Form::upload("alice", &jpeg(60, 60, 2)).text("title", "first").text("tags", "sea"),
        Form::upload("alice", &file).text("title", "other").text("tags", "sea"),
        Form::upload("alice", &file).text("title", "first").text("tags", "sea,sun"),
        Form::upload("alice", &file).text("tags", "sea"),
        Form::upload("alice", &file).text("description", "first").text("tags", "sea"),
        form("alice").text("description", "more"),
        Form::new().text("user_id", "alice").file_named("b.jpg", "image/jpeg", &file).text("title", "first").text("tags", "sea"),
    ] {
        let details = assert_error(&app.post_with_key("key-1", other).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["Idempotency-Key"]);
    }
    assert_eq!(count(&app).await, 1);
    app.post_with_key("key-1", form("alice")).await.ok();
}

#[tokio::test]
async fn a_key_has_1_to_255_visible_ascii_characters() {
    let app = TestApp::start().await;
    let longest = "k".repeat(255);
    for good in ["a", "!~{}[]\"'\\/:;,", &longest] {
        app.post_with_key(good, form("alice")).await.ok();
    }
    let too_long = "k".repeat(256);
    for bad in [&b""[..], b"a b", b"a\tb", "schlüssel".as_bytes(), b"\xff", too_long.as_bytes()] {
        let key = HeaderValue::from_bytes(bad).unwrap();
        let answer = app.send(app.upload(form("alice")).header("Idempotency-Key", key)).await;
        let details = assert_error(&answer, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["Idempotency-Key"], "{bad:?}");
    }
    let twice = app.upload(form("alice")).header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    assert_error(&app.send(twice).await, 422, "ValidationError");
    assert_eq!(count(&app).await, 3);
}

#[tokio::test]
async fn a_key_expires_after_24_hours() {
    for swept in [false, true] {
        let app = TestApp::start().await;
        app.clock.stop();
        let first = app.post_with_key("key-1", form("alice")).await.image_id();
        app.clock.advance(TimeDelta::hours(24) - TimeDelta::milliseconds(1));
        app.sweep_all().await;
        assert_eq!(app.post_with_key("key-1", form("alice")).await.image_id(), first);
        app.clock.advance(TimeDelta::milliseconds(1));
        if swept {
            app.sweep_all().await;
        }
        let second = app.post_with_key("key-1", form("alice")).await.image_id();
        assert_ne!(second, first);
        assert_eq!(app.post_with_key("key-1", form("alice")).await.image_id(), second);
        assert_eq!(count(&app).await, 2);
    }
}

#[tokio::test]
async fn a_failed_first_request_releases_the_key() {
    let app = TestApp::start().await;
    let whole = jpeg(200, 200, 1);
    for bad in [&whole[..whole.len() / 2], &b"text"[..], &jpeg(40, 40, 1)] {
        let answer = app.post_with_key("key-1", Form::upload("alice", bad)).await;
        assert!([400, 415].contains(&answer.status), "{}", answer.text());
    }
    assert_error(&app.post_with_key("key-1", Form::upload("alice", &whole).text("tags", "a/b")).await, 422, "ValidationError");
    app.post_with_key("key-1", Form::upload("alice", &whole)).await.ok();
    assert_eq!(count(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_concurrent_requests_exactly_one_is_stored() {
    let app = Arc::new(TestApp::start().await);
    for round in 0..5 {
        let key = format!("key-{round}");
        let requests = (0..8).map(|_| {
            let (app, key) = (Arc::clone(&app), key.clone());
            tokio::spawn(async move { app.post_with_key(&key, form("alice")).await })
        });
        let answers: Vec<_> = join_all(requests).await.into_iter().map(|answer| answer.expect("a response")).collect();
        let mut ids: Vec<String> = Vec::new();
        for answer in answers {
            if answer.status == 200 {
                ids.push(answer.image_id());
            } else {
                assert_error(&answer, 409, "Conflict");
            }
        }
        assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(app.post_with_key(&key, form("alice")).await.image_id(), ids[0]);
        assert_eq!(count(&app).await, round + 1);
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn a_key_in_use_is_409_and_an_abandoned_claim_is_taken_over_after_its_lease() {
    let app = TestApp::start().await;
    app.clock.stop();
    app.post_with_key("key-1", form("alice")).await.ok();
    // As if a process had crashed after its claim, before it finished.
    let (db, user) = (app.database().await, UserId::parse("alice").unwrap());
    let mut tx = db.begin().await.unwrap();
    let record = store::images::idempotency::find(&mut tx, &user, "key-1").await.unwrap().expect("the key is stored");
    assert!(store::images::idempotency::forget(&mut tx, &user, "key-1", record.subject).await.unwrap());
    let dead = ImageId::new(&*app.clock).uuid();
    let lease = Lease { now: app.clock.now(), until: app.clock.now() + LEASE };
    assert!(store::images::idempotency::claim(&mut tx, &user, "key-1", &record.fingerprint, dead, lease).await.unwrap());
    tx.commit().await.unwrap();
    db.close().await;

    let retry_after = |answer: &Answer| answer.header("retry-after").to_owned();
    let early = app.post_with_key("key-1", form("alice")).await;
    assert_error(&early, 409, "Conflict");
    assert_eq!(retry_after(&early), "15");
    assert_error(&app.post_with_key("key-1", form("alice").text("description", "x")).await, 422, "ValidationError");
    app.clock.advance(LEASE - TimeDelta::milliseconds(1));
    let late = app.post_with_key("key-1", form("alice")).await;
    assert_error(&late, 409, "Conflict");
    assert_eq!(retry_after(&late), "1");
    assert_eq!(count(&app).await, 1);
    app.clock.advance(TimeDelta::milliseconds(1));
    let taken_over = app.post_with_key("key-1", form("alice")).await.image_id();
    assert_eq!(app.post_with_key("key-1", form("alice")).await.image_id(), taken_over);
    assert_eq!(count(&app).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_held_while_its_upload_runs_and_released_soon_after_a_crash() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("S3_TIMEOUT", "600"), ("INTENT_GRACE", "3600")]).await;
    let client = Client::new(process.address);
    proxied.storage.set(Fault::Hang);
    let upload = Upload::small("killed", 1).with_key("key-1");
    let first = tokio::spawn({
        let (client, upload) = (client.clone(), upload.clone());
        async move { client.try_upload(&upload).await.map(drop) }
    });
    let waits = Instant::now();
    while !client.get("/metrics").await.text().contains("intents{state=\"uploading\"} 1\n") {
        assert!(waits.elapsed() < Duration::from_secs(60), "the upload never reaches the storage");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The remaining time of the lease grows when it is renewed.
    let (mut least, started) = (u64::MAX, Instant::now());
    loop {
        assert!(started.elapsed() < Duration::from_secs(60), "the lease is never renewed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let again = client.upload(&upload).await;
        assert_error(&again, 409, "Conflict");
        let left: u64 = again.header("retry-after").parse().expect("seconds");
        assert!((1..=15).contains(&left));
        if left > least {
            break;
        }
        least = left;
    }
    process.kill().await;
    assert!(first.await.expect("a client").is_err(), "the first response is lost");

    proxied.storage.set(Fault::None);
    let process = Process::start(&proxied.home, &[]).await;
    let client = Client::new(process.address);
    let mut answer = client.upload(&upload).await;
    let started = Instant::now();
    while answer.status == 409 {
        assert!(started.elapsed() < Duration::from_secs(60), "the key is still in use");
        let left: u64 = answer.header("retry-after").parse().expect("seconds");
        tokio::time::sleep(Duration::from_secs(left)).await;
        answer = client.upload(&upload).await;
    }
    answer.ok();
    assert_eq!(client.count_whole("killed").await, 1);
    process.stop().await;
}

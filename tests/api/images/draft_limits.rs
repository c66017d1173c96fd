//! Uploads in several requests reserve quota, are limited in number and size, and leave nothing behind when they expire.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::direct_uploads::{announce, complete, create, id_of, send_put};
use super::{resumable_forms, tus};
use crate::harness::pictures::jpeg;
use crate::harness::{Form, Login, TestApp, assert_error};

#[tokio::test]
async fn a_user_has_a_limited_number_of_open_uploads() {
    let app = TestApp::with(&["--max-open-uploads=3"]).await;
    let file = jpeg(300, 200, 1);
    let body = announce(&file);
    let answers = join_all((0..10).map(|_| app.post_json("/uploads", &body))).await;
    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).map(|answer| answer.json()).collect();
    assert_eq!(created.len(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_error(refused, 429, "TooManyRequests");
        assert!(refused.text().contains("more than 3 uploads, the limit that MAX_OPEN_UPLOADS sets"), "{}", refused.text());
    }
    // Another user has uploads of its own.
    let mut bobs = announce(&file);
    bobs["user_id"] = json!("bob");
    create(&app, &bobs).await;
    // An upload that is complete makes room for another. One that was deleted does not, because its URL still works.
    app.by("alice", Method::DELETE, &format!("/uploads/{}", id_of(&created[0]))).await;
    assert_error(&app.post_json("/uploads", &announce(&file)).await, 429, "TooManyRequests");
    send_put(&app, &created[1], &file).await;
    complete(&app, &created[1]).await.ok();
    create(&app, &announce(&file)).await;
    assert_error(&app.post_json("/uploads", &announce(&file)).await, 429, "TooManyRequests");
    app.clock.advance(TimeDelta::minutes(61));
    for _ in 0..3 {
        create(&app, &announce(&file)).await;
    }
}

#[tokio::test]
async fn the_open_uploads_of_a_user_have_a_limited_size() {
    let app = TestApp::with(&["--max-open-upload-bytes=0", "--max-file-size=5000"]).await;
    let of_size = |bytes: u64| json!({"file_size": bytes, "content_type": "image/jpeg", "user_id": "alice"});
    create(&app, &of_size(3000)).await;
    let refused = app.post_json("/uploads", &of_size(2001)).await;
    assert_error(&refused, 429, "TooManyRequests");
    assert!(refused.text().contains("more than 5000 bytes, the limit that MAX_OPEN_UPLOAD_BYTES sets"), "{}", refused.text());
    create(&app, &of_size(2000)).await;
    let bob = json!({"file_size": 2000, "content_type": "image/jpeg", "user_id": "bob"});
    let answers = join_all((0..10).map(|_| app.post_json("/uploads", &bob))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
}

#[tokio::test]
async fn the_uploads_of_a_deleted_account_do_not_pass_to_another_with_the_same_user() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({"user_id": "ann"})).await;
    let file = jpeg(60, 60, 1);
    let mut body = announce(&file);
    body["user_id"] = json!("ann");
    let upload = app.json_as(&ann, Method::POST, "/uploads", &body).await.json();
    send_put(&app, &upload, &file).await;
    let account = format!("/accounts/{}", ann.id);
    app.json_as(&admin, Method::PATCH, &account, &json!({"disabled": true})).await.ok();
    let deleted = app.send(app.request_as(&admin, Method::DELETE, &account)).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let heir = app.account(&admin, "heir", &json!({"user_id": "ann"})).await;
    assert_eq!(app.get_as(&heir, "/uploads").await.ok()["uploads"], json!([]));
    let completed = app.request_as(&heir, Method::POST, &format!("/uploads/{}/complete", id_of(&upload)));
    assert_error(&app.send(completed).await, 404, "NotFound");
    app.clock.advance(TimeDelta::hours(3));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
}

#[tokio::test]
async fn the_result_of_a_complete_upload_can_be_read_for_a_day() {
    let app = TestApp::start().await;
    let file = jpeg(60, 60, 1);
    let upload = create(&app, &announce(&file)).await;
    send_put(&app, &upload, &file).await;
    let id = complete(&app, &upload).await.image_id();
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    assert_eq!(complete(&app, &upload).await.image_id(), id);
    app.clock.advance(TimeDelta::hours(23));
    assert_error(&complete(&app, &upload).await, 404, "NotFound");
}

/// An account whose plan allows one image of at most 20 kB.
async fn limited(app: &TestApp) -> Login {
    let admin = app.admin().await;
    let plan = json!({"name": "one", "max_images": 1, "max_bytes": 20_000});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    app.account(&admin, "ann", &json!({"plan": "one"})).await
}

#[tokio::test]
async fn an_open_upload_reserves_quota() {
    let app = TestApp::start().await;
    let ann = limited(&app).await;
    let file = jpeg(60, 60, 1);
    let mut body = announce(&file);
    body["user_id"] = json!(ann.user_id);
    let create = async || app.json_as(&ann, Method::POST, "/uploads", &body).await;
    let first = create().await.json();
    let details = assert_error(&create().await, 403, "QuotaExceeded");
    assert_eq!(details["images"], "1 of 1 used, 0 left, 1 required");
    assert_error(&app.post_as(&ann, Form::new().file(&file)).await, 403, "QuotaExceeded");
    let path = format!("/uploads/{}", id_of(&first));
    assert_eq!(app.send(app.request_as(&ann, Method::DELETE, &path)).await.status, 204);
    // A refused file releases it, too.
    let second = create().await.json();
    app.storage().put_as(&format!("incoming/{}/file", id_of(&second)), b"too short", "image/jpeg").await;
    let completed = app.request_as(&ann, Method::POST, &format!("/uploads/{}/complete", id_of(&second)));
    assert_error(&app.send(completed).await, 400, "InvalidFile");
    // The upload itself does not count when it becomes an image.
    let third = create().await.json();
    send_put(&app, &third, &file).await;
    let completed = app.request_as(&ann, Method::POST, &format!("/uploads/{}/complete", id_of(&third)));
    app.send(completed).await.ok();
    assert_error(&create().await, 403, "QuotaExceeded");
    assert_eq!(app.get_as(&ann, "/accounts/me").await.ok()["usage"]["images"], 1);
}

#[tokio::test]
async fn a_lowered_quota_or_a_disabled_account_applies_at_completion() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let file = jpeg(60, 60, 1);
    let mut body = announce(&file);
    body["user_id"] = json!(ann.user_id);
    let upload = app.json_as(&ann, Method::POST, "/uploads", &body).await.json();
    send_put(&app, &upload, &file).await;
    let plan = json!({"name": "none", "max_images": 0});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let account = format!("/accounts/{}", ann.id);
    app.json_as(&admin, Method::PATCH, &account, &json!({"plan": "none"})).await.ok();
    let completion = || app.request_as(&ann, Method::POST, &format!("/uploads/{}/complete", id_of(&upload)));
    assert_error(&app.send(completion()).await, 403, "QuotaExceeded");
    // The upload is still open, so that it can be completed once there is room.
    app.json_as(&admin, Method::PATCH, &account, &json!({"plan": null})).await.ok();
    app.send(completion()).await.ok();
}

#[tokio::test]
async fn an_expired_upload_does_not_exist_and_reserves_nothing() {
    let app = TestApp::start().await;
    let file = jpeg(60, 60, 1);
    let upload = create(&app, &announce(&file)).await;
    send_put(&app, &upload, &file).await;
    app.clock.advance(TimeDelta::minutes(61));
    let path = format!("/uploads/{}", id_of(&upload));
    assert_error(&app.by("alice", Method::GET, &path).await, 404, "NotFound");
    assert_error(&complete(&app, &upload).await, 404, "NotFound");
    assert_eq!(app.by("alice", Method::GET, "/uploads").await.ok()["uploads"], json!([]));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_thousand_abandoned_uploads_leave_nothing_behind() {
    const UPLOADS: usize = 1000;
    let app = TestApp::with(&["--max-open-uploads=1000", "--max-open-upload-bytes=1GiB"]).await;
    let file = jpeg(60, 60, 1);
    for number in 0..UPLOADS {
        match number % 10 {
            0 => assert!(send_put(&app, &create(&app, &announce(&file)).await, &file).await < 300),
            1 => {
                let upload = create(&app, &announce(&file)).await;
                app.storage().put_as(&format!("incoming/{}/file", id_of(&upload)), b"other", "text/plain").await;
            }
            2 => {
                let path = tus::open(&app, file.len()).await;
                assert_eq!(tus::patch(&app, &path, 0, &file[..100]).await.status, 204);
            }
            3 => {
                let request = resumable_forms::creation(&app, "?0").header("Upload-Length", 1000);
                assert_eq!(app.send(request.body("the beginning")).await.status, 201);
            }
            _ => drop(create(&app, &announce(&file)).await),
        }
    }
    assert_error(&app.post_json("/uploads", &announce(&file)).await, 429, "TooManyRequests");
    app.clock.advance(TimeDelta::hours(25));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
    let db = app.database().await;
    let user = image_service::model::caller::UserId::parse("alice").unwrap();
    let open = image_service::store::images::uploads::open(&db, &user, None).await.unwrap();
    assert_eq!((open.count, open.bytes), (0, 0));
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    let left = image_service::store::images::uploads::due(&db, chrono::DateTime::<chrono::Utc>::MAX_UTC, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    app.assert_sound().await;
}

#[tokio::test]
async fn the_doctor_finds_objects_of_uploads_that_are_not_in_the_database() {
    let app = TestApp::start().await;
    let upload = create(&app, &announce(&jpeg(60, 60, 1))).await;
    send_put(&app, &upload, &jpeg(60, 60, 1)).await;
    let lost = format!("incoming/{}/0-token", "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17");
    app.storage().put(&lost, b"a piece").await;
    app.storage().put("incoming/operators.jpg", b"a file").await;
    app.storage().put("incoming/6fa459ea-ee8a-4ca4-894e-db77e160355e/operators.jpg", b"a file").await;
    assert_eq!(app.examine().await.orphans, [""; 0], "too young");
    app.clock.advance(TimeDelta::hours(25));
    let report = app.examine().await;
    assert_eq!((report.orphans, report.foreign.count), (vec![lost.clone()], 2));
    let fix = image_service::service::maintenance::doctor::Fix { rest: true, originals: false };
    app.service().examine(fix).await.unwrap();
    app.sweep_all().await;
    let keys = app.storage().keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().all(|key| key.ends_with("operators.jpg")), "{keys:?}");
}

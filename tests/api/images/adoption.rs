//! Adoption: an object that is already in the storage becomes an image.

use reqwest::Method;
use serde_json::{Value, json};

use super::location::located_jpeg;
use crate::harness::app::ids_of;
use crate::harness::pictures::{flat_jpeg, jpeg, png};
use crate::harness::{Answer, Form, TestApp, assert_error};

pub(super) async fn adopt(app: &TestApp, body: &Value) -> Answer {
    app.post_json("/images", body).await
}

#[tokio::test]
async fn an_object_becomes_an_image_like_an_uploaded_file() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    app.storage().put("incoming/trips/sun set.jpg", &file).await;
    let body = json!({
        "s3_key": "incoming/trips/sun set.jpg", "s3_bucket": app.storage().bucket, "user_id": "alice", "title": "A title",
        "description": "Two\nlines", "tags": ["Sea", "sun"], "visibility": "private",
    });
    let adopted = adopt(&app, &body).await;
    let form = Form::new().text("user_id", "alice").text("title", "A title").text("description", "Two\nlines");
    let form = form.text("tags", "sea,sun").text("visibility", "private").file_named("sun set.jpg", "image/jpeg", &file);
    let uploaded = app.post(form).await;
    let comparable = |answer: &Answer| {
        let (id, mut body) = (answer.image_id(), answer.ok());
        for changing in ["created_at", "updated_at", "processing_time"] {
            body["image"][changing].take();
        }
        let text = body.to_string().replace(&format!("{}/{id}", &id[34..]), "ID").replace(&id, "ID");
        serde_json::from_str::<Value>(&without_signatures(&text)).unwrap()
    };
    assert_eq!(comparable(&adopted), comparable(&uploaded));
    let image = adopted.image();
    assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file);
    // The object stays, and the image does not depend on it.
    assert!(app.storage().keys().await.contains(&"incoming/trips/sun set.jpg".to_owned()));
    app.storage().delete("incoming/trips/sun set.jpg").await;
    assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file);
    app.assert_sound().await;
}

/// Removes the signatures of presigned URLs, which depend on the key.
fn without_signatures(text: &str) -> String {
    let mut parts = text.split("X-Amz-Signature=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

#[tokio::test]
async fn only_the_address_and_the_owner_are_required() {
    let app = TestApp::start().await;
    let login = app.admin().await;
    app.storage().put("incoming/plain", &png(60, 60, 1)).await;
    let image = adopt(&app, &json!({"s3_key": "incoming/plain", "user_id": "alice"})).await.image();
    assert_eq!((&image["file_name"], &image["visibility"], &image["tags"]), (&json!("plain"), &json!("public"), &json!([])));
    let own = app.json_as(&login, Method::POST, "/images", &json!({"s3_key": "incoming/plain", "s3_bucket": null})).await;
    assert_eq!(own.image()["user_id"], login.user_id.as_str());
}

#[tokio::test]
async fn adopting_the_same_contents_again_returns_the_image() {
    let app = TestApp::start().await;
    let body = json!({"s3_key": "incoming/a.jpg", "user_id": "alice", "title": "First"});
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 1)).await;
    let first = adopt(&app, &body).await;
    let id = first.image_id();
    assert_eq!(adopt(&app, &body).await.ok(), first.ok());
    app.patch("alice", &id, &json!({"title": "Renamed"})).await.ok();
    let again = adopt(&app, &json!({"s3_key": "incoming/a.jpg", "user_id": "alice", "title": "Other"})).await;
    assert_eq!((again.image_id(), &again.image()["title"]), (id.clone(), &json!("Renamed")));
    // Another owner, and another key, have images of their own.
    assert_ne!(adopt(&app, &json!({"s3_key": "incoming/a.jpg", "user_id": "bob"})).await.image_id(), id);
    app.storage().put("incoming/b.jpg", &jpeg(60, 60, 1)).await;
    assert_ne!(adopt(&app, &json!({"s3_key": "incoming/b.jpg", "user_id": "alice"})).await.image_id(), id);
    // So do other contents.
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 2)).await;
    let changed = adopt(&app, &body).await.image_id();
    assert_ne!(changed, id);
    assert_eq!(adopt(&app, &body).await.image_id(), changed);
    assert_eq!(app.get("/users/alice/images").await.ok()["total_count"], 3);
    let metric = |result: &str| format!("uploads_total{{method=\"adoption\",result=\"{result}\"}}");
    assert_eq!((app.metric(&metric("stored")).await, app.metric(&metric("replayed")).await), (4.0, 3.0));
}

#[tokio::test]
async fn an_object_whose_image_was_deleted_can_be_adopted_again() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let body = json!({"s3_key": "incoming/a.jpg", "user_id": "alice"});
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 1)).await;
    let first = adopt(&app, &body).await.image_id();
    app.delete("alice", &first).await.ok();
    let second = adopt(&app, &body).await.image_id();
    assert_ne!(second, first);
    app.restore("alice", &first).await.ok();
    assert_eq!(adopt(&app, &body).await.image_id(), second);
    let purged = app.by("alice", Method::DELETE, &format!("/images/{second}?purge=true")).await;
    assert!(purged.status < 300, "{}", purged.text());
    let third = adopt(&app, &body).await.image_id();
    assert!(third != first && third != second);
    // What an administrator has deleted does not return.
    app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{third}"))).await.ok();
    assert_error(&adopt(&app, &body).await, 403, "Forbidden");
    assert_eq!(ids_of(&app.get("/images").await.ok()), [first]);
}

#[tokio::test]
async fn objects_outside_the_sources_are_refused_whether_they_exist_or_not() {
    let app = TestApp::start().await;
    let storage = app.storage();
    let file = jpeg(60, 60, 1);
    let private = app.post(Form::upload("alice", &file).text("visibility", "private")).await.image_id();
    let original = format!("{}/{private}/original", &private[private.len() - 2..]);
    let draft = format!("incoming/{private}/0-token");
    for key in ["elsewhere/a.jpg", "incoming", &draft] {
        storage.put(key, &file).await;
    }
    let bodies = [
        json!({"s3_key": "elsewhere/a.jpg"}),
        json!({"s3_key": "elsewhere/missing.jpg"}),
        json!({"s3_key": "incoming"}),
        json!({"s3_key": original}),
        json!({"s3_key": draft}),
        json!({"s3_key": "incoming/../elsewhere/a.jpg"}),
        json!({"s3_key": format!("incoming/../{original}")}),
        json!({"s3_key": format!("incoming//{original}")}),
        json!({"s3_key": "incoming/a.jpg", "s3_bucket": "other-bucket"}),
        json!({"s3_key": "incoming/", "s3_bucket": storage.bucket}),
    ];
    let mut refusals = Vec::new();
    for mut body in bodies {
        body["user_id"] = json!("alice");
        let refused = adopt(&app, &body).await;
        assert_error(&refused, 403, "Forbidden");
        refusals.push(refused.text().to_owned());
    }
    assert!(refusals.iter().all(|refusal| refusal == &refusals[0]), "{refusals:?}");
    let missing = adopt(&app, &json!({"s3_key": "incoming/missing.jpg", "user_id": "alice"})).await;
    assert_error(&missing, 404, "NotFound");
}

#[tokio::test]
async fn sources_are_configurable() {
    let mut app = TestApp::start().await;
    let (storage, file) = (app.storage(), jpeg(60, 60, 1));
    let bucket = storage.bucket.clone();
    for key in ["incoming/a.jpg", "photos/alice/a.jpg", "photos/bob/a.jpg", "scans/2024-1.jpg"] {
        storage.put(key, &file).await;
    }
    let statuses = async |app: &TestApp| {
        let mut statuses = Vec::new();
        for key in ["incoming/a.jpg", "photos/alice/a.jpg", "photos/bob/a.jpg", "scans/2024-1.jpg", "scans/2023-1.jpg"] {
            statuses.push(adopt(app, &json!({"s3_key": key, "user_id": "alice"})).await.status);
        }
        statuses
    };
    assert_eq!(statuses(&app).await, [200, 403, 403, 403, 403]);
    app.set(&format!("--adopt-sources={bucket}/photos/{{user_id}}/, {bucket}/scans/2024-,not-there/"));
    app.restart().await;
    assert_eq!(statuses(&app).await, [403, 200, 403, 200, 403]);
    let elsewhere = adopt(&app, &json!({"s3_key": "a.jpg", "s3_bucket": "not-there", "user_id": "alice"})).await;
    assert_error(&elsewhere, 404, "NotFound");
    app.set("--adopt-sources=none");
    app.restart().await;
    assert_eq!(statuses(&app).await, [403; 5]);
}

#[tokio::test]
async fn objects_are_checked_like_uploaded_files() {
    let app = TestApp::with(&["--max-file-size=100KiB"]).await;
    let huge = [flat_jpeg(60, 60), vec![0; 110 << 10]].concat();
    let truncated = jpeg(640, 480, 1)[..10_000].to_vec();
    for (name, file, status, error) in [
        ("empty", &b""[..], 400, "InvalidFile"),
        ("huge", &huge, 400, "InvalidFile"),
        ("truncated", &truncated, 400, "InvalidFile"),
        ("text.jpg", &[b'a'; 2000], 415, "UnsupportedMediaType"),
        ("tiny", &flat_jpeg(10, 10), 400, "InvalidFile"),
    ] {
        let key = format!("incoming/{name}");
        app.storage().put(&key, file).await;
        let refused = adopt(&app, &json!({"s3_key": key, "user_id": "alice"})).await;
        assert_error(&refused, status, error);
        let uploaded = app.post(Form::upload("alice", file)).await;
        assert_eq!(refused.status, uploaded.status, "{name}");
        assert_eq!(refused.json()["message"], uploaded.json()["message"], "{name}");
        app.storage().delete(&key).await;
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    let rejected = "uploads_total{method=\"adoption\",result=\"invalid_file\"}";
    assert_eq!(app.metric(rejected).await, 4.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_location_is_removed_from_the_copy() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    let file = located_jpeg(1);
    app.storage().put("incoming/a.jpg", &file).await;
    let stored = async |body: Value| {
        let image = adopt(&app, &body).await.image();
        app.fetch(image["download_url"].as_str().unwrap()).await.body
    };
    assert_ne!(stored(json!({"s3_key": "incoming/a.jpg", "user_id": "alice"})).await, file);
    assert_eq!(stored(json!({"s3_key": "incoming/a.jpg", "user_id": "bob", "keep_location": true})).await, file);
}

#[tokio::test]
async fn invalid_fields_are_reported_together() {
    let app = TestApp::start().await;
    let long = "a".repeat(1025);
    let all = json!({
        "s3_key": long, "s3_bucket": "A", "user_id": "", "title": 1, "description": ["x"], "tags": 3, "visibility": "hidden",
        "keep_location": "yes", "colour": "red",
    });
    let details = assert_error(&adopt(&app, &all).await, 422, "ValidationError");
    let mut named: Vec<_> = details.as_object().unwrap().keys().map(String::as_str).collect();
    named.sort_unstable();
    let expected = ["colour", "description", "keep_location", "s3_bucket", "s3_key", "tags", "title", "user_id", "visibility"];
    assert_eq!(named, expected);
    for (body, field, rule) in [
        (json!({"user_id": "alice"}), "s3_key", "is required"),
        (json!({"s3_key": "incoming/a"}), "user_id", "is required"),
        (json!({"s3_key": "", "user_id": "alice"}), "s3_key", "must have 1 to 1024 bytes"),
        (json!({"s3_key": "incoming/a\u{0}", "user_id": "alice"}), "s3_key", "must not contain control characters"),
        (json!({"s3_key": null, "user_id": "alice"}), "s3_key", "must be a string"),
    ] {
        let details = assert_error(&adopt(&app, &body).await, 422, "ValidationError");
        assert_eq!(details, json!({field: rule}), "{body}");
    }
    let list = app.send(app.request(Method::POST, "/images").json(&json!([]))).await;
    assert_error(&list, 422, "ValidationError");
    let text = app.request(Method::POST, "/images").header("Content-Type", "application/json").body("{\"s3_key\": ");
    assert_error(&app.send(text).await, 400, "BadRequest");
}

#[tokio::test]
async fn a_key_needs_the_scope_to_adopt() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 1)).await;
    let body = json!({"s3_key": "incoming/a.jpg"});
    for (scopes, may_adopt, may_upload) in [
        (json!(null), true, true),
        (json!(["adopt"]), true, false),
        (json!(["upload"]), false, true),
        (json!(["read", "admin"]), false, false),
    ] {
        let key = app.key(&admin, &json!({"scopes": scopes})).await;
        let adopted = app.send(app.request_by_key(&key, Method::POST, "/images").json(&body)).await;
        assert_eq!(adopted.status, if may_adopt { 200 } else { 403 }, "{scopes}: {}", adopted.text());
        let form = app.upload(Form::new().file(&jpeg(60, 60, 2))).basic_auth("", Some(&key));
        let uploaded = app.send(form).await;
        assert_eq!(uploaded.status, if may_upload { 200 } else { 403 }, "{scopes}: {}", uploaded.text());
    }
    let other = json!({"s3_key": "incoming/a.jpg", "user_id": "somebody-else"});
    assert_error(&app.json_as(&admin, Method::POST, "/images", &other).await, 403, "Forbidden");
}

#[tokio::test]
async fn anonymous_callers_cannot_adopt_if_authentication_is_required() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    app.storage().put("incoming/a.jpg", &jpeg(60, 60, 1)).await;
    assert_error(&adopt(&app, &json!({"s3_key": "incoming/a.jpg", "user_id": "alice"})).await, 401, "Unauthorized");
    assert_error(&adopt(&app, &json!({"s3_key": "elsewhere/a.jpg", "user_id": "alice"})).await, 401, "Unauthorized");
}

#[tokio::test]
async fn an_adopted_image_counts_towards_the_quota() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let plan = json!({"name": "one", "max_images": 1});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let ann = app.account(&admin, "ann", &json!({"plan": "one"})).await;
    for key in ["incoming/a.jpg", "incoming/b.jpg"] {
        app.storage().put(key, &jpeg(60, 60, u64::from(key.as_bytes()[9]))).await;
    }
    let adopt = async |key: &str| app.json_as(&ann, Method::POST, "/images", &json!({"s3_key": key})).await;
    let id = adopt("incoming/a.jpg").await.image_id();
    assert_error(&adopt("incoming/b.jpg").await, 403, "QuotaExceeded");
    assert_eq!(adopt("incoming/a.jpg").await.image_id(), id, "stores nothing new");
}

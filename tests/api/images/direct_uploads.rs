//! Direct uploads: the client sends the file to the storage with a signed form or URL, then completes the upload.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::pictures::{jpeg, png};
use crate::harness::{Answer, Form, TestApp, assert_error};

/// Announces a JPEG file of alice's.
pub(super) fn announce(file: &[u8]) -> Value {
    json!({"file_name": "sun set.jpg", "file_size": file.len(), "content_type": "image/jpeg", "user_id": "alice"})
}

pub(super) async fn create(app: &TestApp, body: &Value) -> Value {
    let created = app.post_json("/uploads", body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    created.json()
}

/// Sends a file with the form of an upload. Returns the storage's status.
pub(super) async fn send_form(app: &TestApp, upload: &Value, file: &[u8]) -> u16 {
    let fields = upload["post"]["fields"].as_object().expect("fields");
    let form = fields.iter().fold(Form::new(), |form, (name, value)| form.text(name, value.as_str().expect("a text")));
    let body = form.file_named("any.jpg", "image/jpeg", file).finish();
    let request = app.client.post(upload["post"]["url"].as_str().expect("a URL"));
    request.header("Content-Type", Form::content_type()).body(body).send().await.expect("a response").status().as_u16()
}

/// Sends a file with the presigned URL of an upload. Returns the storage's status.
pub(super) async fn send_put(app: &TestApp, upload: &Value, file: &[u8]) -> u16 {
    let headers = upload["put"]["headers"].as_object().expect("headers");
    // Browsers do not let scripts set the length either.
    let headers = headers.iter().filter(|(name, _)| *name != "Content-Length");
    let request = headers.fold(app.client.put(upload["put"]["url"].as_str().expect("a URL")), |request, (name, value)| {
        request.header(name, value.as_str().expect("a text"))
    });
    request.body(file.to_vec()).send().await.expect("a response").status().as_u16()
}

pub(super) async fn complete(app: &TestApp, upload: &Value) -> Answer {
    app.send(app.request(Method::POST, &format!("/uploads/{}/complete", id_of(upload)))).await
}

pub(super) fn id_of(upload: &Value) -> &str {
    upload["id"].as_str().expect("an id")
}

fn key_of(upload: &Value) -> String {
    format!("incoming/{}/file", id_of(upload))
}

async fn read(app: &TestApp, upload: &Value) -> Value {
    app.by("alice", Method::GET, &format!("/uploads/{}", id_of(upload))).await.ok()
}

#[tokio::test]
async fn a_file_that_was_sent_with_a_presigned_request_becomes_an_image() {
    let app = TestApp::start().await;
    for (number, by_form) in [(1, true), (2, false)] {
        let file = jpeg(640, 480, number);
        let mut body = announce(&file);
        for (name, value) in [("title", json!("A title")), ("tags", json!(["Sea", "sun"])), ("visibility", json!("private"))] {
            body[name] = value;
        }
        body["sha256"] = json!(hex::encode_upper(Sha256::digest(&file)));
        let created = app.post_json("/uploads", &body).await;
        let upload = created.json();
        assert!(created.header("location").ends_with(&format!("/uploads/{}", id_of(&upload))), "{}", created.text());
        assert_eq!(created.header("cache-control"), "no-store");
        assert_eq!((&upload["status"], &upload["image_id"], &upload["error"]), (&json!("open"), &Value::Null, &Value::Null));
        assert_error(&complete(&app, &upload).await, 409, "Conflict");
        let status = if by_form { send_form(&app, &upload, &file).await } else { send_put(&app, &upload, &file).await };
        assert!((200..300).contains(&status), "{status}");
        let completed = complete(&app, &upload).await;
        let image = completed.image();
        for (name, value) in [("title", json!("A title")), ("tags", json!(["sea", "sun"])), ("visibility", json!("private"))] {
            assert_eq!(image[name], value);
        }
        assert_eq!((&image["file_name"], &image["user_id"]), (&json!("sun set.jpg"), &json!("alice")));
        assert_eq!(completed.json()["message"], "Image uploaded successfully");
        assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file);
        let read = read(&app, &upload).await;
        assert_eq!((&read["status"], &read["image_id"]), (&json!("complete"), &image["image_id"]));
        assert_eq!((&read["post"], &read["put"]), (&Value::Null, &Value::Null));
        // The response stays the same, even if the image changes.
        app.patch("alice", image["image_id"].as_str().unwrap(), &json!({"title": "New"})).await.ok();
        assert_eq!(complete(&app, &upload).await.json()["image"]["title"], "A title");
    }
    assert!(app.storage().keys().await.iter().all(|key| !key.starts_with("incoming/")));
    assert_eq!(app.metric("uploads_total{method=\"direct\",result=\"stored\"}").await, 2.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn what_is_sent_after_completion_has_no_effect_and_is_removed() {
    let app = TestApp::start().await;
    let (file, other) = (jpeg(300, 200, 1), jpeg(300, 200, 2));
    let upload = create(&app, &announce(&file)).await;
    send_form(&app, &upload, &file).await;
    let image = complete(&app, &upload).await.image();
    let mut replacement = other.clone();
    replacement.resize(file.len(), 0);
    assert!(send_put(&app, &upload, &replacement).await < 300);
    assert!(app.storage().keys().await.contains(&key_of(&upload)));
    assert_eq!(complete(&app, &upload).await.image_id(), image["image_id"].as_str().unwrap());
    assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.body, file);
    app.clock.advance(chrono::TimeDelta::minutes(61));
    app.sweep_all().await;
    assert!(!app.storage().keys().await.contains(&key_of(&upload)));
    app.clock.advance(chrono::TimeDelta::hours(25));
    app.sweep_all().await;
    let db = app.database().await;
    assert!(
        image_service::store::images::uploads::due(&db, chrono::DateTime::<chrono::Utc>::MAX_UTC, 10).await.unwrap().is_empty()
    );
    app.assert_sound().await;
}

#[tokio::test]
async fn a_file_that_differs_from_what_was_announced_is_rejected() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let mut longer = file.clone();
    longer.push(0);
    let wrong_hash = json!(hex::encode(Sha256::digest(b"other")));
    for (sent, content_type, hash, status, message) in [
        (&longer, "image/jpeg", Value::Null, 400, "was announced"),
        (&file, "image/png", Value::Null, 400, "was sent with the type \"image/png\", but image/jpeg was announced"),
        (&file, "image/jpeg", wrong_hash, 400, "has the SHA-256"),
        (&vec![b'a'; 3000], "image/jpeg", Value::Null, 415, "not a JPEG"),
    ] {
        let mut body = announce(if status == 415 { sent } else { &file });
        body["sha256"] = hash;
        let upload = create(&app, &body).await;
        // The storage would refuse some of these, but not every storage does.
        app.storage().put_as(&key_of(&upload), sent, content_type).await;
        let refused = complete(&app, &upload).await;
        assert_error(&refused, status, if status == 415 { "UnsupportedMediaType" } else { "InvalidFile" });
        assert!(refused.text().contains(&message.replace('"', "\\\"")), "{message}: {}", refused.text());
        let read = read(&app, &upload).await;
        assert_eq!((&read["status"], &read["error"]), (&json!("failed"), &refused.json()["message"]));
        // The file cannot be replaced, and the error stays the same.
        app.storage().put_as(&key_of(&upload), &file, "image/jpeg").await;
        assert_eq!(complete(&app, &upload).await.json()["message"], refused.json()["message"]);
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    app.clock.advance(chrono::TimeDelta::hours(3));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
}

#[tokio::test]
async fn uploads_can_be_listed_read_and_deleted_by_their_owner_only() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let upload = create(&app, &announce(&file)).await;
        ids.insert(0, id_of(&upload).to_owned());
    }
    let list = async |query: &str| app.by("alice", Method::GET, &format!("/uploads{query}")).await.ok();
    let page = list("?limit=2").await;
    let listed =
        |page: &Value| page["uploads"].as_array().unwrap().iter().map(|upload| id_of(upload).to_owned()).collect::<Vec<_>>();
    assert_eq!((listed(&page), &page["has_more"]), (ids[..2].to_vec(), &json!(true)));
    assert!(page["uploads"][0]["post"].is_null() && page["uploads"][0]["put"].is_null(), "{page}");
    let rest = list(&format!("?limit=2&page_token={}", page["next_page_token"].as_str().unwrap())).await;
    assert_eq!(listed(&rest), ids[2..]);
    assert!(listed(&app.by("bob", Method::GET, "/uploads").await.ok()).is_empty());
    let path = format!("/uploads/{}", ids[0]);
    for method in [Method::GET, Method::DELETE] {
        assert_error(&app.by("bob", method, &path).await, 404, "NotFound");
    }
    assert_error(&app.by("bob", Method::POST, &format!("{path}/complete")).await, 404, "NotFound");
    // A client that has lost the signed requests gets them again.
    let again = app.by("alice", Method::GET, &path).await.ok();
    assert_eq!(send_form(&app, &again, &file).await, 204);
    let deleted = app.by("alice", Method::DELETE, &path).await;
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    for (method, path) in [(Method::GET, &path), (Method::DELETE, &path), (Method::POST, &format!("{path}/complete"))] {
        assert_error(&app.by("alice", method, path).await, 404, "NotFound");
    }
    assert_eq!(listed(&list("").await), ids[1..]);
    assert_eq!(app.storage().keys().await, [""; 0]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
}

#[tokio::test]
async fn deleting_a_complete_upload_keeps_its_image() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let upload = create(&app, &announce(&file)).await;
    send_put(&app, &upload, &file).await;
    let id = complete(&app, &upload).await.image_id();
    assert_eq!(app.by("alice", Method::DELETE, &format!("/uploads/{}", id_of(&upload))).await.status, 204);
    app.get(&format!("/images/{id}")).await.ok();
    assert_error(&complete(&app, &upload).await, 404, "NotFound");
}

#[tokio::test]
async fn concurrent_completions_make_one_image() {
    let app = TestApp::start().await;
    let file = jpeg(600, 400, 1);
    let upload = create(&app, &announce(&file)).await;
    send_put(&app, &upload, &file).await;
    let answers = join_all((0..8).map(|_| complete(&app, &upload))).await;
    let stored: Vec<_> = answers.iter().filter(|answer| answer.status == 200).map(Answer::image_id).collect();
    assert!(!stored.is_empty() && stored.iter().all(|id| *id == stored[0]));
    for running in answers.iter().filter(|answer| answer.status != 200) {
        assert_error(running, 409, "Conflict");
    }
    assert_eq!(complete(&app, &upload).await.image_id(), stored[0]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_image_of_an_upload_may_be_gone() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let upload = create(&app, &announce(&file)).await;
    send_put(&app, &upload, &file).await;
    let id = complete(&app, &upload).await.image_id();
    app.delete("alice", &id).await.ok();
    assert_error(&complete(&app, &upload).await, 410, "Gone");
    app.by("alice", Method::DELETE, &format!("/images/{id}?purge=true")).await;
    assert_error(&complete(&app, &upload).await, 410, "Gone");
}

#[tokio::test]
async fn invalid_announcements_are_reported_together() {
    let app = TestApp::start().await;
    let body = json!({
        "file_size": 1, "content_type": "image/heic", "file_name": "a".repeat(1025), "sha256": "abc", "user_id": "", "title": 1,
        "tags": 3, "visibility": "hidden", "keep_location": true, "colour": "red",
    });
    let details = assert_error(&app.post_json("/uploads", &body).await, 422, "ValidationError");
    let mut named: Vec<_> = details.as_object().unwrap().keys().map(String::as_str).collect();
    named.sort_unstable();
    let expected = ["colour", "content_type", "file_name", "sha256", "tags", "title", "user_id", "visibility"];
    assert_eq!(named, expected, "{details}");
    let file = png(60, 60, 1);
    for (field, value, rule) in [
        ("file_size", json!(1023), "must be a whole number from 1024 to 10485760"),
        ("file_size", json!(10_485_761), "must be a whole number from 1024 to 10485760"),
        ("file_size", Value::Null, "must be a whole number of bytes"),
        ("file_size", json!(1.5), "must be a whole number of bytes"),
        ("content_type", json!("text/html"), "must be one of image/jpeg, image/png, image/gif, image/webp"),
        (
            "keep_location",
            json!(true),
            "must be false: this service removes location metadata from every image (ALLOW_KEEP_LOCATION is off)",
        ),
        ("file_name", json!("a\u{0}b"), "must not contain U+0000"),
    ] {
        let mut body = announce(&file);
        body["file_size"] = json!(2000);
        body[field] = value;
        let details = assert_error(&app.post_json("/uploads", &body).await, 422, "ValidationError");
        assert_eq!(details, json!({field: rule}));
    }
}

#[tokio::test]
async fn a_presigned_request_cannot_read_other_objects() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let secret = app.post(Form::upload("bob", &jpeg(300, 200, 2)).text("visibility", "private")).await.image_id();
    let source = format!("{}/{}/{secret}/original", app.storage().bucket, &secret[34..]);
    let upload = create(&app, &announce(&file)).await;
    for (name, value) in
        [("x-amz-copy-source", source.as_str()), ("X-Amz-Acl", "public-read"), ("x-amz-storage-class", "STANDARD")]
    {
        let put = app.client.put(upload["put"]["url"].as_str().unwrap()).header("Content-Type", "image/jpeg");
        let refused = put.header(name, value).body(file.clone()).send().await.unwrap();
        // LocalStack does not check signatures.
        if app.objects_dir().is_some() {
            assert_eq!(refused.status(), 403, "{name}");
        }
    }
    if app.objects_dir().is_some() {
        assert_error(&complete(&app, &upload).await, 409, "Conflict");
    }
}

#[tokio::test]
async fn the_form_accepts_only_the_announced_file_at_the_announced_key() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let upload = create(&app, &announce(&file)).await;
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(send_form(&app, &upload, &longer).await, 400);
    assert_eq!(send_form(&app, &upload, &file[1..]).await, 400);
    // Not every storage compares the key with the policy.
    if app.objects_dir().is_some() {
        let mut elsewhere = upload.clone();
        elsewhere["post"]["fields"]["key"] = json!("incoming/other/file");
        assert_eq!(send_form(&app, &elsewhere, &file).await, 403);
    }
    assert_eq!(app.storage().keys().await, [""; 0]);
    assert_eq!(send_form(&app, &upload, &file).await, 204);
}

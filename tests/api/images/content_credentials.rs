//! Content Credentials and `keep_location`: what is stored and what the API returns. Which manifests are removed is
//! tested in `imaging/location`.

use std::sync::Arc;

use image_service::store::database::db::Sql;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::world::picture;
use crate::harness::{Answer, Form, TestApp, World, assert_error};

const CITY: &str = "Xanaduville";

fn jumbf(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).expect("a short box").to_be_bytes()[..], name, body].concat()
}

fn superbox(kind: &[u8; 4], label: &str, content: &[u8]) -> Vec<u8> {
    let uuid_tail = b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71";
    let description = jumbf(b"jumd", &[kind, &uuid_tail[..], &[3], label.as_bytes(), &[0]].concat());
    jumbf(b"jumb", &[description, content.to_vec()].concat())
}

/// A JPEG with an unsigned manifest, in which `content` is the data of an assertion.
fn with_manifest(content: &Value, seed: u64) -> Vec<u8> {
    let assertion = superbox(b"json", "stds.iptc", &jumbf(b"json", content.to_string().as_bytes()));
    let manifest = superbox(b"c2ma", "urn:c2pa:1", &superbox(b"c2as", "c2pa.assertions", &assertion));
    let body = [b"JP\x02\x11\0\0\0\x01", &superbox(b"c2pa", "c2pa", &manifest)[..]].concat();
    let length = u16::try_from(body.len() + 2).expect("a short segment").to_be_bytes();
    let mut file = jpeg(300, 200, seed);
    file.splice(2..2, [&[0xff, 0xeb][..], &length, &body].concat());
    file
}

fn jpeg_with_location(seed: u64) -> Vec<u8> {
    with_manifest(&json!({"photoshop:City": CITY}), seed)
}

async fn stored_original(app: &TestApp, image: &Value) -> Vec<u8> {
    app.fetch(image["download_url"].as_str().expect("a URL")).await.body.to_vec()
}

async fn upload(app: &TestApp, file: &[u8], keep_location: &str) -> Answer {
    app.post(Form::upload("alice", file).text("keep_location", keep_location)).await
}

#[tokio::test]
async fn image_metadata_tells_whether_content_credentials_were_kept_or_removed() {
    let app = TestApp::start().await;
    let without_location = with_manifest(&json!({"dc:title": "A title"}), 1);
    for (file, expected, kept) in [
        (jpeg(300, 200, 2), "none", jpeg(300, 200, 2)),
        (without_location.clone(), "kept", without_location),
        (jpeg_with_location(3), "removed", jpeg(300, 200, 3)),
    ] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        assert_eq!(image["metadata"]["credentials"], expected);
        assert!(stored_original(&app, &image).await == kept, "{expected}");
        let id = image["image_id"].as_str().unwrap();
        assert_eq!(app.get(&format!("/images/{id}")).await.ok()["metadata"]["credentials"], expected);
    }
    let listed = app.get("/images").await.ok();
    let listed: Vec<&Value> =
        listed["images"].as_array().unwrap().iter().map(|image| &image["metadata"]["credentials"]).collect();
    assert_eq!(listed, ["removed", "kept", "none"]);
}

#[tokio::test]
async fn credentials_are_null_for_images_stored_by_older_versions() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image_id();
    let database = app.database().await;
    let mut tx = database.begin().await.unwrap();
    let earlier = json!({"created_at": null, "modified_at": null, "camera": null, "orientation": 1, "has_alpha": false,
        "animated": false, "frames": 1});
    assert_eq!(tx.execute(Sql::new("update images set metadata = $1").bind(earlier)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let image = app.get(&format!("/images/{id}")).await.ok();
    assert_eq!(image["metadata"].get("credentials"), Some(&Value::Null));
}

#[tokio::test]
async fn keep_location_is_rejected_unless_allowed() {
    let app = TestApp::start().await;
    let answer = upload(&app, &jpeg_with_location(1), "true").await;
    let details = assert_error(&answer, 422, "ValidationError");
    assert!(details["keep_location"].as_str().unwrap().contains("ALLOW_KEEP_LOCATION"), "{details}");
    let order = json!({"urls": ["https://example.org/a.jpg"], "user_id": "alice", "keep_location": true});
    let answer = app.post_json("/imports", &order).await;
    assert!(assert_error(&answer, 422, "ValidationError")["keep_location"].is_string());
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    // Requests that do not ask to keep the location succeed.
    for keep in ["false", ""] {
        let image = upload(&app, &jpeg_with_location(2), keep).await.image();
        assert_eq!(
            (&image["metadata"]["credentials"], stored_original(&app, &image).await),
            (&json!("removed"), jpeg(300, 200, 2))
        );
    }
}

#[tokio::test]
async fn an_upload_keeps_its_location_on_request_if_allowed() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    let image = upload(&app, &jpeg_with_location(1), "true").await.image();
    assert_eq!((&image["metadata"]["credentials"], stored_original(&app, &image).await), (&json!("kept"), jpeg_with_location(1)));
    for keep in ["false", ""] {
        let image = upload(&app, &jpeg_with_location(1), keep).await.image();
        assert_eq!(
            (&image["metadata"]["credentials"], stored_original(&app, &image).await),
            (&json!("removed"), jpeg(300, 200, 1))
        );
    }
    let image = app.post(Form::upload("alice", &jpeg_with_location(1))).await.image();
    assert_eq!(image["metadata"]["credentials"], "removed");
    app.assert_sound().await;
}

#[tokio::test]
async fn keep_location_must_be_true_or_false() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    for keep in ["2", "yes", "truee", "null"] {
        assert!(
            assert_error(&upload(&app, &jpeg_with_location(1), keep).await, 422, "ValidationError")["keep_location"].is_string()
        );
    }
    let order = |keep: Value| json!({"urls": ["https://example.org/a.jpg"], "user_id": "alice", "keep_location": keep});
    for keep in [json!(1), json!("true"), json!([])] {
        let answer = app.post_json("/imports", &order(keep)).await;
        assert_eq!(assert_error(&answer, 422, "ValidationError")["keep_location"], "must be true or false");
    }
    assert_eq!(app.post_json("/imports", &order(Value::Null)).await.status, 202);
}

#[tokio::test]
async fn keep_location_has_no_effect_when_all_locations_are_kept() {
    let app = TestApp::with(&["--keep-location=true"]).await;
    for keep in ["true", "false"] {
        let image = upload(&app, &jpeg_with_location(1), keep).await.image();
        assert_eq!(
            (&image["metadata"]["credentials"], stored_original(&app, &image).await),
            (&json!("kept"), jpeg_with_location(1))
        );
    }
}

#[tokio::test]
async fn an_idempotency_key_cannot_be_reused_with_another_keep_location() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    let form = |keep: &str| Form::upload("alice", &jpeg_with_location(1)).text("keep_location", keep);
    let first = app.post_with_key("key-1", form("true")).await.image_id();
    assert_eq!(app.post_with_key("key-1", form("true")).await.image_id(), first);
    assert_error(&app.post_with_key("key-1", form("false")).await, 422, "ValidationError");
    // `false` is the same as an absent field.
    let second = app.post_with_key("key-2", form("false")).await.image_id();
    assert_eq!(app.post_with_key("key-2", Form::upload("alice", &jpeg_with_location(1))).await.image_id(), second);
}

#[tokio::test]
async fn an_import_keeps_the_location_only_while_that_is_allowed() {
    let world = World::new();
    world.site("photos.test", |_, _| picture(&jpeg_with_location(1))).await;
    let settings = ["--import-concurrency=0", "--import-attempts=1", "--allow-keep-location=true"];
    let mut app = TestApp::within(Arc::clone(&world) as _, &settings).await;
    let order = |path: &str, keep: bool| json!({"urls": [format!("http://photos.test/{path}")], "user_id": "alice", "keep_location": keep});
    for (path, keep, expected) in [("1.jpg", true, "kept"), ("2.jpg", false, "removed")] {
        assert_eq!(app.post_json("/imports", &order(path, keep)).await.status, 202);
        app.import_all().await;
        let newest = app.get("/images?limit=1").await.ok()["images"][0].clone();
        assert_eq!(newest["metadata"]["credentials"], expected);
        assert_eq!(stored_original(&app, &newest).await == jpeg_with_location(1), keep);
    }
    let id = app.post_json("/imports", &order("3.jpg", true)).await.json()["jobId"].as_str().unwrap().to_owned();
    app.set("--allow-keep-location=false");
    app.restart().await;
    app.import_all().await;
    let job = app.job(&id).await;
    let reason = job["errors"]["http://photos.test/3.jpg"].as_str().unwrap();
    assert!(reason.contains("keep_location must be false"), "{reason}");
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}

//! Content Credentials and `keep_location`: what is stored, and what the API says of it. Which manifests go is tested in
//! `imaging/location`.

use std::sync::Arc;

use image_service::store::database::db::Sql;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::world::picture;
use crate::harness::{Answer, Form, TestApp, World, assert_error};

const PLACE: &str = "Xanaduville";

fn jumbf(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).expect("a short box").to_be_bytes()[..], name, body].concat()
}

fn superbox(kind: &[u8; 4], label: &str, content: &[u8]) -> Vec<u8> {
    let uuid_tail = b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71";
    let description = jumbf(b"jumd", &[kind, &uuid_tail[..], &[3], label.as_bytes(), &[0]].concat());
    jumbf(b"jumb", &[description, content.to_vec()].concat())
}

/// A JPEG with an unsigned manifest that says this in an assertion.
fn with_manifest(said: &Value, seed: u64) -> Vec<u8> {
    let assertion = superbox(b"json", "stds.iptc", &jumbf(b"json", said.to_string().as_bytes()));
    let manifest = superbox(b"c2ma", "urn:c2pa:1", &superbox(b"c2as", "c2pa.assertions", &assertion));
    let body = [b"JP\x02\x11\0\0\0\x01", &superbox(b"c2pa", "c2pa", &manifest)[..]].concat();
    let length = u16::try_from(body.len() + 2).expect("a short segment").to_be_bytes();
    let mut file = jpeg(300, 200, seed);
    file.splice(2..2, [&[0xff, 0xeb][..], &length, &body].concat());
    file
}

fn placed(seed: u64) -> Vec<u8> {
    with_manifest(&json!({"photoshop:City": PLACE}), seed)
}

async fn stored(app: &TestApp, image: &Value) -> Vec<u8> {
    app.fetch(image["download_url"].as_str().expect("a URL")).await.body.to_vec()
}

async fn upload(app: &TestApp, file: &[u8], keep_location: &str) -> Answer {
    app.post(Form::upload("alice", file).text("keep_location", keep_location)).await
}

#[tokio::test]
async fn an_image_tells_what_became_of_its_credentials() {
    let app = TestApp::start().await;
    let innocent = with_manifest(&json!({"dc:title": "A title"}), 1);
    for (file, expected, kept) in [
        (jpeg(300, 200, 2), "none", jpeg(300, 200, 2)),
        (innocent.clone(), "kept", innocent),
        (placed(3), "removed", jpeg(300, 200, 3)),
    ] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        assert_eq!(image["metadata"]["credentials"], expected);
        assert!(stored(&app, &image).await == kept, "{expected}");
        let id = image["image_id"].as_str().unwrap();
        assert_eq!(app.get(&format!("/images/{id}")).await.ok()["metadata"]["credentials"], expected);
    }
    let listed = app.get("/images").await.ok();
    let listed: Vec<&Value> =
        listed["images"].as_array().unwrap().iter().map(|image| &image["metadata"]["credentials"]).collect();
    assert_eq!(listed, ["removed", "kept", "none"]);
}

#[tokio::test]
async fn of_an_image_stored_earlier_nothing_is_known() {
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
async fn keeping_the_location_is_refused_unless_it_is_allowed() {
    let app = TestApp::start().await;
    let answer = upload(&app, &placed(1), "true").await;
    let details = assert_error(&answer, 422, "ValidationError");
    assert!(details["keep_location"].as_str().unwrap().contains("ALLOW_KEEP_LOCATION"), "{details}");
    let order = json!({"urls": ["https://example.org/a.jpg"], "user_id": "alice", "keep_location": true});
    let answer = app.post_json("/imports", &order).await;
    assert!(assert_error(&answer, 422, "ValidationError")["keep_location"].is_string());
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    // What asks for nothing is fine.
    for keep in ["false", ""] {
        let image = upload(&app, &placed(2), keep).await.image();
        assert_eq!((&image["metadata"]["credentials"], stored(&app, &image).await), (&json!("removed"), jpeg(300, 200, 2)));
    }
}

#[tokio::test]
async fn an_owner_keeps_the_location_of_one_upload_where_that_is_allowed() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    let image = upload(&app, &placed(1), "true").await.image();
    assert_eq!((&image["metadata"]["credentials"], stored(&app, &image).await), (&json!("kept"), placed(1)));
    for keep in ["false", ""] {
        let image = upload(&app, &placed(1), keep).await.image();
        assert_eq!((&image["metadata"]["credentials"], stored(&app, &image).await), (&json!("removed"), jpeg(300, 200, 1)));
    }
    let image = app.post(Form::upload("alice", &placed(1))).await.image();
    assert_eq!(image["metadata"]["credentials"], "removed");
    app.assert_sound().await;
}

#[tokio::test]
async fn keep_location_must_be_true_or_false() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    for keep in ["2", "yes", "truee", "null"] {
        assert!(assert_error(&upload(&app, &placed(1), keep).await, 422, "ValidationError")["keep_location"].is_string());
    }
    let order = |keep: Value| json!({"urls": ["https://example.org/a.jpg"], "user_id": "alice", "keep_location": keep});
    for keep in [json!(1), json!("true"), json!([])] {
        let answer = app.post_json("/imports", &order(keep)).await;
        assert_eq!(assert_error(&answer, 422, "ValidationError")["keep_location"], "must be true or false");
    }
    assert_eq!(app.post_json("/imports", &order(Value::Null)).await.status, 202);
}

#[tokio::test]
async fn where_every_location_is_kept_asking_for_it_changes_nothing() {
    let app = TestApp::with(&["--keep-location=true"]).await;
    for keep in ["true", "false"] {
        let image = upload(&app, &placed(1), keep).await.image();
        assert_eq!((&image["metadata"]["credentials"], stored(&app, &image).await), (&json!("kept"), placed(1)));
    }
}

#[tokio::test]
async fn a_key_is_for_one_choice_of_keeping_the_location() {
    let app = TestApp::with(&["--allow-keep-location=true"]).await;
    let form = |keep: &str| Form::upload("alice", &placed(1)).text("keep_location", keep);
    let first = app.post_with_key("key-1", form("true")).await.image_id();
    assert_eq!(app.post_with_key("key-1", form("true")).await.image_id(), first);
    assert_error(&app.post_with_key("key-1", form("false")).await, 422, "ValidationError");
    // Not to keep it is the same as to say nothing.
    let second = app.post_with_key("key-2", form("false")).await.image_id();
    assert_eq!(app.post_with_key("key-2", Form::upload("alice", &placed(1))).await.image_id(), second);
}

#[tokio::test]
async fn an_import_keeps_the_location_as_long_as_that_is_allowed() {
    let world = World::new();
    world.site("photos.test", |_, _| picture(&placed(1))).await;
    let settings = ["--import-concurrency=0", "--import-attempts=1", "--allow-keep-location=true"];
    let mut app = TestApp::within(Arc::clone(&world) as _, &settings).await;
    let order = |path: &str, keep: bool| json!({"urls": [format!("http://photos.test/{path}")], "user_id": "alice", "keep_location": keep});
    for (path, keep, expected) in [("1.jpg", true, "kept"), ("2.jpg", false, "removed")] {
        assert_eq!(app.post_json("/imports", &order(path, keep)).await.status, 202);
        app.import_all().await;
        let newest = app.get("/images?limit=1").await.ok()["images"][0].clone();
        assert_eq!(newest["metadata"]["credentials"], expected);
        assert_eq!(stored(&app, &newest).await == placed(1), keep);
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

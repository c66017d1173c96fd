//! One image after its upload: look up, download link, change, delete, restore.

use chrono::{DateTime, FixedOffset, TimeDelta};
use image_service::model::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, png};
use crate::harness::{Answer, Form, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

async fn upload(app: &TestApp, user: &str) -> Value {
    let form = Form::upload(user, &jpeg(60, 60, 1)).text("title", "old title").text("description", "old text");
    app.post(form.text("tags", "sea,sun")).await.image()
}

fn id_of(image: &Value) -> &str {
    image["image_id"].as_str().expect("an id")
}

fn field_of(details: &Value) -> &str {
    let details = details.as_object().expect("details");
    assert_eq!(details.len(), 1, "{details:?}");
    details.keys().next().expect("a field")
}

#[tokio::test]
async fn an_image_is_identical_in_every_response() {
    let app = TestApp::start().await;
    app.clock.stop();
    let image = upload(&app, "alice").await;
    let id = id_of(&image);
    assert_eq!(app.get(&format!("/images/{id}")).await.ok(), image);
    assert_eq!(app.get(&format!("/images/{id}?include_url=true")).await.ok(), image);
    for list in ["/images", "/users/alice/images", "/tags/sea/images", "/images?tags=sun,sea&user_id=alice"] {
        assert_eq!(app.get(list).await.ok()["images"], json!([image]), "{list}");
    }
    // All callers can read a public image, and all get the same response.
    assert_eq!(app.by("bob", Method::GET, &format!("/images/{id}")).await.ok(), image);
}

#[tokio::test]
async fn include_url_false_makes_every_url_null_and_changes_nothing_else() {
    let app = TestApp::start().await;
    app.clock.stop();
    let mut image = upload(&app, "alice").await;
    let path = format!("/images/{}?include_url=false", id_of(&image));
    for url in ["/download_url", "/thumbnail_url", "/thumbnails/small/url", "/thumbnails/medium/url"] {
        assert!(image.pointer_mut(url).expect(url).take().is_string());
    }
    assert_eq!(app.get(&path).await.ok(), image);
    for bad in ["no", "2", "%20", "on", "null"] {
        let answer = app.get(&format!("/images/{}?include_url={bad}", id_of(&image))).await;
        assert_eq!(field_of(&assert_error(&answer, 422, "ValidationError")), "include_url", "{bad}");
    }
}

#[tokio::test]
async fn a_download_link_expires_after_the_requested_time() {
    let app = TestApp::start().await;
    let image = upload(&app, "alice").await;
    let path = format!("/images/{}/download", id_of(&image));
    for (query, seconds) in [("", 3600), ("?expires_in=60", 60), ("?expires_in=86400", 86_400), ("?expires_in=0061", 61)] {
        let mut answer = app.get(&format!("{path}{query}")).await.ok();
        let url = answer["download_url"].take();
        assert!(url.as_str().unwrap().contains(&format!("X-Amz-Expires={seconds}&")), "{url}");
        let expected = json!({
            "image_id": image["image_id"], "download_url": null, "expires_in": seconds,
            "content_type": "image/jpeg", "file_size": image["file_size"],
        });
        assert_eq!(answer, expected);
    }
    for bad in ["59", "86401", "0", "-60", "60.5", "1e3", "%20", "abc", "99999999999999999999", " 60"] {
        let answer = app.get(&format!("{path}?expires_in={bad}")).await;
        assert_eq!(field_of(&assert_error(&answer, 422, "ValidationError")), "expires_in", "{bad}");
    }
}

#[tokio::test]
async fn a_change_sets_only_the_given_fields() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    let mut expected = app.get(&format!("/images/{id}?include_url=false")).await.ok();
    let steps = [
        (json!({"title": "new"}), json!({"title": "new"})),
        (json!({"description": "new text"}), json!({"description": "new text"})),
        (json!({"tags": ["Moon", " moon ", "sea", ""]}), json!({"tags": ["moon", "sea"]})),
        (json!({"tags": "Stars, sky"}), json!({"tags": ["stars", "sky"]})),
        (json!({"title": null}), json!({"title": null})),
        (json!({"description": ""}), json!({"description": null})),
        (json!({"tags": []}), json!({"tags": []})),
        (json!({"title": "t", "description": "d", "tags": ["a"]}), json!({"title": "t", "description": "d", "tags": ["a"]})),
        (json!({"title": null, "description": null, "tags": null}), json!({"title": null, "description": null, "tags": []})),
        (json!({}), json!({})),
    ];
    for (change, shown) in steps {
        let before = time_of(&expected);
        let changed = app.patch("alice", &id, &change).await.ok();
        for (field, value) in shown.as_object().unwrap() {
            expected[field] = value.clone();
        }
        expected["updated_at"] = changed["updated_at"].clone();
        assert!(time_of(&changed) > before, "{change}");
        assert_eq!(app.get(&format!("/images/{id}?include_url=false")).await.ok(), expected, "{change}");
        assert_eq!(without_urls(changed), expected, "the response is the image");
    }
}

fn time_of(image: &Value) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(image["updated_at"].as_str().expect("a time")).expect("an RFC 3339 time")
}

fn without_urls(mut image: Value) -> Value {
    for url in ["/download_url", "/thumbnail_url", "/thumbnails/small/url", "/thumbnails/medium/url"] {
        *image.pointer_mut(url).expect(url) = Value::Null;
    }
    image
}

#[tokio::test]
async fn updated_at_is_the_time_of_the_last_change() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let image = upload(&app, "alice").await;
    assert_eq!(
        (&image["created_at"], &image["updated_at"]),
        (&json!("2026-01-31T12:00:00.000Z"), &json!("2026-01-31T12:00:00.000Z"))
    );
    app.clock.stop_at("2026-02-01T00:00:00.123456789Z");
    let changed = app.patch("alice", id_of(&image), &json!({"title": "t"})).await.ok();
    assert_eq!((&changed["created_at"], &changed["updated_at"]), (&image["created_at"], &json!("2026-02-01T00:00:00.123Z")));
    assert_eq!(app.get(&format!("/images/{}", id_of(&image))).await.ok()["updated_at"], "2026-02-01T00:00:00.123Z");
}

#[tokio::test]
async fn a_change_has_the_same_limits_as_an_upload() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let texts = json!({"title": "é".repeat(200), "description": "🌅".repeat(1000), "tags": eleven[..10]});
    let changed = app.patch("alice", &id, &texts).await.ok();
    assert_eq!(
        (&changed["title"], &changed["description"], &changed["tags"]),
        (&texts["title"], &texts["description"], &texts["tags"])
    );
    for (field, value) in [
        ("title", json!("é".repeat(201))),
        ("title", json!("nul\0")),
        ("title", json!(1)),
        ("title", json!(["a"])),
        ("description", json!("🌅".repeat(1001))),
        ("description", json!(false)),
        ("tags", json!(eleven)),
        ("tags", json!(vec![""; 11])),
        ("tags", json!(["a".repeat(51)])),
        ("tags", json!(["a/b"])),
        ("tags", json!(["a,b"])),
        ("tags", json!([1])),
        ("tags", json!([null])),
        ("tags", json!({"a": "b"})),
        ("tags", json!(7)),
        ("user_id", json!("alice")),
        ("file_name", json!("a.jpg")),
        ("Title", json!("a")),
    ] {
        let answer = app.patch("alice", &id, &json!({field: value})).await;
        assert_eq!(field_of(&assert_error(&answer, 422, "ValidationError")), field, "{value}");
    }
    let answer = app.patch("alice", &id, &json!({"title": 1, "description": 2, "tags": 3, "color": 4})).await;
    let details = assert_error(&answer, 422, "ValidationError");
    assert_eq!(details.as_object().unwrap().len(), 4, "{details}");
    assert_eq!(app.get(&format!("/images/{id}")).await.ok()["title"], texts["title"], "a rejected change changes nothing");
}

#[tokio::test]
async fn a_duplicate_field_is_400_and_changes_nothing() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("title", "kept")).await.image_id();
    for (body, named) in [
        (r#"{"title": "a", "title": "b"}"#, vec!["title"]),
        (r#"{"title": "a", "tags": [], "t\u0069tle": "a"}"#, vec!["title"]),
        (r#"{"tags": null, "description": "a", "tags": null, "description": "a", "title": "a"}"#, vec!["description", "tags"]),
        (r#"{"colour": 1, "colour": 2}"#, vec!["colour"]),
    ] {
        let request = app.request(Method::PATCH, &format!("/images/{id}")).header("X-User-Id", "alice");
        let answer = app.send(request.header("Content-Type", "application/json").body(body)).await;
        let details = assert_error(&answer, 400, "BadRequest");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), named, "{body}");
    }
    assert_eq!(app.get(&format!("/images/{id}")).await.ok()["title"], "kept");
}

#[tokio::test]
async fn a_retagged_image_is_listed_by_its_new_tags_only() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    app.patch("alice", &id, &json!({"tags": ["sun", "moon"]})).await.ok();
    for (tag, count) in [("sea", 0), ("sun", 1), ("moon", 1)] {
        let page = app.get(&format!("/tags/{tag}/images")).await.ok();
        assert_eq!((&page["total_count"], page["images"].as_array().unwrap().len()), (&json!(count), count), "{tag}");
        assert_eq!(app.get(&format!("/images?tags={tag}&user_id=alice")).await.ok()["total_count"], count);
    }
    app.assert_sound().await;
}

/// Sends one of the requests that change an image.
async fn write(app: &TestApp, what: &str, caller: Option<&str>, id: &str) -> Answer {
    let request = match what {
        "change" => app.request(Method::PATCH, &format!("/images/{id}")).json(&json!({"title": "new"})),
        "delete" => app.request(Method::DELETE, &format!("/images/{id}")),
        "restore" => app.request(Method::POST, &format!("/images/{id}/restore")),
        other => panic!("{other}"),
    };
    app.send(caller.iter().fold(request, |request, caller| request.header("X-User-Id", *caller))).await
}

#[tokio::test]
async fn writes_check_the_caller_then_the_image_then_its_owner() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    for what in ["change", "delete", "restore"] {
        for id in [id.as_str(), UNKNOWN_ID, "no-id"] {
            assert_eq!(assert_error(&write(&app, what, None, id).await, 401, "Unauthorized"), json!({}), "{what}");
        }
        for id in [UNKNOWN_ID, "no-id"] {
            assert_error(&write(&app, what, Some("bob"), id).await, 404, "NotFound");
        }
        for other_user in ["bob", "Alice", "alice2", "alic"] {
            assert_eq!(assert_error(&write(&app, what, Some(other_user), &id).await, 403, "Forbidden"), json!({}), "{what}");
        }
    }
    assert_error(&write(&app, "restore", Some("alice"), &id).await, 409, "Conflict");
    app.delete("alice", &id).await.ok();
    assert_error(&write(&app, "delete", None, &id).await, 401, "Unauthorized");
    assert_error(&write(&app, "delete", Some("bob"), &id).await, 403, "Forbidden");
    assert_error(&write(&app, "delete", Some("alice"), &id).await, 410, "Gone");
    assert_error(&write(&app, "change", Some("alice"), &id).await, 404, "NotFound");
    assert_error(&write(&app, "restore", Some("bob"), &id).await, 403, "Forbidden");
    write(&app, "restore", Some("alice"), &id).await.ok();
}

#[tokio::test]
async fn an_invalid_user_id_of_the_caller_is_422() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    let too_long = "u".repeat(256);
    for name in ["", "no spaces", "a/b", "a,b", &too_long] {
        for what in ["change", "delete", "restore"] {
            let details = assert_error(&write(&app, what, Some(name), &id).await, 422, "ValidationError");
            assert_eq!(field_of(&details), "X-User-Id", "{name}");
        }
    }
    let twice = app.request(Method::DELETE, &format!("/images/{id}")).header("X-User-Id", "bob").header("X-User-Id", "alice");
    assert_eq!(field_of(&assert_error(&app.send(twice).await, 422, "ValidationError")), "X-User-Id");
}

#[tokio::test]
async fn a_deleted_image_is_hidden_everywhere_but_its_objects_are_kept() {
    let app = TestApp::start().await;
    let id = id_of(&upload(&app, "alice").await).to_owned();
    let other = app.post(Form::upload("alice", &png(60, 60, 2)).text("tags", "sea")).await.image_id();
    let deleted = app.delete("alice", &id).await.ok();
    assert_eq!(deleted, json!({"message": "Image deleted successfully", "image_id": id}));
    for path in [format!("/images/{id}"), format!("/images/{id}/download")] {
        assert_error(&app.get(&path).await, 404, "NotFound");
        assert_error(&app.by("alice", Method::GET, &path).await, 404, "NotFound");
    }
    for list in
        ["/images", "/users/alice/images", "/tags/sea/images", "/images?user_id=alice&tags=sea", "/images?start_date=2020-01-01"]
    {
        let page = app.get(list).await.ok();
        assert_eq!((&page["total_count"], page["images"].as_array().unwrap().len()), (&json!(1), 1), "{list}");
        assert_eq!(page["images"][0]["image_id"], other);
    }
    assert_eq!(app.get("/tags/sun/images").await.ok()["total_count"], 0);
    assert_eq!(app.storage().keys().await.len(), 6, "the objects stay until the image is purged");
    app.assert_sound().await;
}

#[tokio::test]
async fn a_restored_image_returns_to_its_place_in_every_list() {
    let app = TestApp::with(&["--delete-revokes-urls=false"]).await;
    app.clock.stop();
    let mut images = Vec::new();
    for seed in 0..3 {
        app.clock.advance(TimeDelta::seconds(1));
        let form = Form::upload("alice", &png(60, 60, seed)).text("tags", "sea,sun").text("title", "a title");
        images.push(app.post(form).await.image());
    }
    let before = app.get("/images").await.ok();
    let id = id_of(&images[1]);
    app.delete("alice", id).await.ok();
    assert_eq!(app.restore("alice", id).await.ok(), images[1]);
    assert_eq!(app.get("/images").await.ok(), before);
    assert_eq!(app.get("/tags/sun/images").await.ok(), page_of_tag(&app, "sun", &before).await);
    assert_error(&app.restore("alice", id).await, 409, "Conflict");
    // An image can be deleted and restored any number of times.
    app.delete("alice", id).await.ok();
    app.restore("alice", id).await.ok();
    assert_eq!(app.get("/images").await.ok(), before);
    app.assert_sound().await;
}

/// Returns the page of a tag, which must hold the same images as the list of all images.
async fn page_of_tag(app: &TestApp, tag: &str, all: &Value) -> Value {
    let page = app.get(&format!("/images?tags={tag}")).await.ok();
    assert_eq!(page["images"], all["images"]);
    page
}

#[tokio::test]
async fn a_deleted_image_can_be_restored_until_it_is_purged() {
    let app = TestApp::with(&["--retention-days=30"]).await;
    app.clock.stop();
    let id = id_of(&upload(&app, "alice").await).to_owned();
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(30) - TimeDelta::seconds(1));
    app.sweep_all().await;
    app.restore("alice", &id).await.ok();
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(30));
    app.sweep_all().await;
    for what in ["delete", "restore", "change"] {
        assert_error(&write(&app, what, Some("alice"), &id).await, 404, "NotFound");
    }
    assert!(app.storage().keys().await.is_empty());
    app.assert_sound().await;
}

#[tokio::test]
async fn every_image_survives_a_restart() {
    let mut app = TestApp::start().await;
    let kept = upload(&app, "alice").await;
    let deleted = upload(&app, "alice").await;
    app.delete("alice", id_of(&deleted)).await.ok();
    let before = app.clock.now();
    app.restart().await;
    assert!(app.clock.now() >= before);
    let path = format!("/images/{}?include_url=false", id_of(&kept));
    assert_eq!(app.get(&path).await.ok(), without_urls(kept));
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    app.restore("alice", id_of(&deleted)).await.ok();
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
    app.assert_sound().await;
}

//! The import API: `POST`, `GET` and `DELETE /imports`, and `GET /links`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{gif, jpeg, png, webp};
use crate::harness::world::{picture, reply};
use crate::harness::{Form, TestApp, World, assert_error};

/// No worker runs; the test itself runs each item.
const NO_WORKERS: &str = "--import-concurrency=0";

/// Serves small images at `http://pictures.test/<seed>.jpg`, and 404 at `/none…`.
async fn image_host() -> Arc<World> {
    let world = World::new();
    world
        .site("pictures.test", |path, _| match path.trim_matches(|c: char| !c.is_ascii_digit()).parse() {
            Ok(seed) => picture(&jpeg(64, 64, seed)),
            Err(_) => reply("404 Not Found", &[], b"nothing"),
        })
        .await;
    world
}

fn url(seed: usize) -> String {
    format!("http://pictures.test/{seed}.jpg")
}

#[tokio::test]
async fn imported_images_are_like_uploaded_images() {
    let world = World::new();
    let files = [jpeg(300, 200, 1), png(120, 90, 1), gif(90, 90, 2, 1), webp(90, 90, 1)];
    let served = files.clone();
    world.site("pictures.test", move |path, _| picture(&served[path[1..2].parse::<usize>().unwrap()])).await;
    let app = TestApp::within(world, &["--public-url=https://images.example.org/"]).await;
    let urls: Vec<String> = (0..4).map(|number| format!("http://pictures.test/{number}/Sea%20%C3%BC.jpg?x=/y.gif#z")).collect();
    let accepted = app.post_json("/imports", &json!({"urls": urls, "user_id": "alice", "tags": " Sea, sun,sea"})).await;
    assert_eq!(accepted.status, 202);
    let id = accepted.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(accepted.json(), json!({"jobId": id}));
    assert_eq!(accepted.header("location"), format!("https://images.example.org/imports/{id}"));
    let job = app.done(&id).await;
    let links = job["uploaded"]["complete"].as_array().unwrap();
    assert_eq!((links.len(), &job["errors"]), (4, &json!({})));
    for (link, file) in links.iter().zip(files) {
        let path = link.as_str().unwrap().strip_prefix("https://images.example.org").unwrap();
        let answer = app.get(path).await;
        assert!(answer.body == file, "{path}");
        let image = app.get(&path.replace("/i/", "/images/")).await.ok();
        assert_eq!((&image["user_id"], &image["tags"]), (&json!("alice"), &json!(["sea", "sun"])));
        assert_eq!(
            (&image["file_name"], &image["title"], &image["description"]),
            (&json!("Sea ü.jpg"), &Value::Null, &Value::Null)
        );
        assert_eq!(image["thumbnails"].as_object().unwrap().len(), 2);
    }
    assert_eq!(app.get("/images?tags=sea&user_id=alice").await.ok()["total_count"], 4);
    assert_eq!(app.get("/stats").await.ok()["success"], 4);
    app.assert_sound().await;
}

/// A proxy that serves the API below a path strips that path, so the service itself never sees it.
#[tokio::test]
async fn the_location_header_of_a_job_starts_with_the_public_url() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS, "--public-url=https://example.org/pictures/"]).await;
    let accepted = app.post_json("/imports", &json!({"urls": [url(1)], "user_id": "alice"})).await;
    let id = accepted.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), format!("https://example.org/pictures/imports/{id}"));
}

#[tokio::test]
async fn a_job_reports_its_progress_and_its_times() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    app.clock.stop_at("2026-01-31T12:00:00.5Z");
    let id = app.import(&[url(1), "http://pictures.test/none".to_owned(), url(2)]).await;
    let pending = json!({
        "id": id, "created": "2026-01-31T12:00:00.500Z", "finished": null, "status": "pending", "errors": {},
        "uploaded": {"pending": [url(1), "http://pictures.test/none", url(2)], "complete": [], "failed": []},
    });
    assert_eq!(app.job(&id).await, pending);
    assert_eq!(app.get(&format!("/imports/{id}")).await.header("cache-control"), "no-store");
    app.clock.advance(TimeDelta::seconds(1));
    app.import_next().await;
    let job = app.job(&id).await;
    assert_eq!((&job["status"], &job["finished"]), (&json!("in-progress"), &Value::Null));
    assert_eq!(job["uploaded"]["pending"], json!(["http://pictures.test/none", url(2)]));
    app.clock.advance(TimeDelta::seconds(1));
    app.import_all().await;
    let job = app.job(&id).await;
    assert_eq!((&job["status"], &job["finished"]), (&json!("complete"), &json!("2026-01-31T12:00:02.500Z")));
    assert_eq!(job["uploaded"]["pending"], json!([]));
    assert_eq!(job["uploaded"]["failed"], json!(["http://pictures.test/none"]));
    assert_eq!(job["errors"], json!({"http://pictures.test/none": "its host responded with 404 Not Found"}));
    let links = job["uploaded"]["complete"].as_array().unwrap();
    assert_eq!(links.len(), 2);
    assert!(links[0].as_str().unwrap().starts_with("http://localhost:"), "{job}");
}

#[tokio::test]
async fn equivalent_urls_are_imported_once() {
    let world = image_host().await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    let same = [
        url(1),
        "HTTP://PICTURES.test:80/1.jpg".to_owned(),
        format!("{}#part", url(1)),
        "http://pictures.test/x/../1.jpg".to_owned(),
        url(2),
        url(1),
    ];
    let id = app.import(&same).await;
    assert_eq!(app.job(&id).await["uploaded"]["pending"], json!([url(1), url(2)]));
    app.import_all().await;
    assert_eq!(world.requests(), ["pictures.test/1.jpg", "pictures.test/2.jpg"]);
}

#[tokio::test]
async fn an_invalid_import_request_reports_every_broken_rule_and_stores_nothing() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    let hundred: Vec<String> = (0..100).map(url).collect();
    let too_many: Vec<String> = (0..101).map(url).collect();
    let long = |length: usize| format!("http://pictures.test/{}", "a".repeat(length - 21));
    for (import_request, fields) in [
        (json!({}), vec!["urls", "user_id"]),
        (json!({"urls": [], "user_id": "a b"}), vec!["urls", "user_id"]),
        (json!({"urls": too_many, "user_id": "alice"}), vec!["urls"]),
        (
            json!({"urls": "http://pictures.test/1.jpg", "user_id": 7, "tags": 7, "url": 1}),
            vec!["tags", "url", "urls", "user_id"],
        ),
        (json!({"urls": [url(1), 7, null], "user_id": "alice"}), vec!["urls[1]", "urls[2]"]),
        (
            json!({"urls": [url(1), "ftp://pictures.test/", "pictures.test/1.jpg", "http://u:p@pictures.test/", "http://pictures.test:22/", long(2049)], "user_id": ""}),
            vec!["urls[1]", "urls[2]", "urls[3]", "urls[4]", "urls[5]", "user_id"],
        ),
        (
            json!({"urls": ["http://pictures.test/\u{0}", "http://pictures.test/\tx", format!("http://{}/", "漢字".repeat(900))], "user_id": "alice"}),
            vec!["urls[0]", "urls[1]", "urls[2]"],
        ),
        (json!({"urls": [url(1)], "user_id": "alice", "tags": ["a/b"]}), vec!["tags"]),
        (json!({"urls": [url(1)], "user_id": "alice", "tags": (0..11).map(|n| n.to_string()).collect::<Vec<_>>()}), vec!["tags"]),
    ] {
        let details = assert_error(&app.post_json("/imports", &import_request).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), fields, "{import_request}");
    }
    assert_eq!(app.by("alice", Method::GET, "/imports").await.ok()["imports"], json!([]));
    for (urls, count) in [(hundred, 100), (vec![long(2048)], 1)] {
        let id = app.import(&urls).await;
        assert_eq!(app.job(&id).await["uploaded"]["pending"].as_array().unwrap().len(), count);
    }

    let import_request = json!({"urls": [url(1)], "user_id": "alice"});
    let with = |body: &str, kind: &str| {
        app.request(Method::POST, "/imports").header("Content-Type", kind.to_owned()).body(body.to_owned())
    };
    assert_error(&app.send(with(&import_request.to_string(), "text/plain")).await, 415, "UnsupportedMediaType");
    assert_error(&app.send(with("{", "application/json")).await, 400, "BadRequest");
    assert_error(&app.send(with("[]", "application/json")).await, 422, "ValidationError");
    assert_error(&app.send(with(r#"{"urls": [], "urls": []}"#, "application/json")).await, 400, "BadRequest");
    let large = json!({"urls": ["x".repeat(600_000)], "user_id": "alice"});
    assert_error(&app.post_json("/imports", &large).await, 413, "PayloadTooLarge");
    let by_bob = app.request(Method::POST, "/imports").header("X-User-Id", "bob").json(&import_request);
    assert_error(&app.send(by_bob).await, 403, "Forbidden");
    assert_error(&app.post_json("/imports?x=1", &import_request).await, 422, "ValidationError");
    assert_error(&app.by("alice", Method::PUT, "/imports").await, 405, "MethodNotAllowed");
}

#[tokio::test]
async fn an_import_request_with_an_idempotency_key_is_accepted_once() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    let send = async |key: &str, user: &str, seed: usize| {
        let import_request = json!({"urls": [url(seed)], "user_id": user});
        app.send(app.request(Method::POST, "/imports").header("Idempotency-Key", key).json(&import_request)).await
    };
    let first = send("key-1", "alice", 1).await;
    assert_eq!(first.status, 202);
    let again = send("key-1", "alice", 1).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_ne!(send("key-1", "bob", 1).await.json(), first.json());
    assert_ne!(send("key-2", "alice", 1).await.json(), first.json());
    let details = assert_error(&send("key-1", "alice", 2).await, 422, "ValidationError");
    assert!(details["Idempotency-Key"].is_string());
    // An upload with the same key is a different request, and vice versa.
    assert_error(&app.post_with_key("key-1", Form::upload("alice", &jpeg(64, 64, 1))).await, 422, "ValidationError");
    app.post_with_key("key-3", Form::upload("alice", &jpeg(64, 64, 1))).await.ok();
    assert_error(&send("key-3", "alice", 1).await, 422, "ValidationError");
    assert_error(&send("a b", "alice", 1).await, 422, "ValidationError");
    // Concurrent requests.
    let concurrent = futures::future::join_all((0..8).map(|_| send("key-4", "alice", 4))).await;
    assert!(concurrent.iter().all(|answer| answer.status == 202 && answer.json() == concurrent[0].json()));
    assert_eq!(app.by("alice", Method::GET, "/imports").await.ok()["imports"].as_array().unwrap().len(), 3);
    app.clock.advance(TimeDelta::hours(24));
    assert_ne!(send("key-1", "alice", 1).await.json(), first.json());
}

#[tokio::test]
async fn cancelling_a_job_fails_the_items_that_have_not_started() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    let id = app.import(&[url(1), url(2), url(3)]).await;
    let path = format!("/imports/{id}");
    app.import_next().await;
    assert_error(&app.send(app.request(Method::DELETE, &path)).await, 401, "Unauthorized");
    assert_error(&app.by("bob", Method::DELETE, &path).await, 404, "NotFound");
    assert_eq!(app.job(&id).await["status"], "in-progress");
    let job = app.by("alice", Method::DELETE, &path).await.ok();
    assert_eq!(job["status"], "complete");
    assert!(job["finished"].is_string());
    assert_eq!(
        (job["uploaded"]["complete"].as_array().unwrap().len(), &job["uploaded"]["failed"]),
        (1, &json!([url(2), url(3)]))
    );
    assert_eq!(job["errors"][url(2)], "the import was cancelled");
    app.clock.advance(TimeDelta::seconds(9));
    assert_eq!(app.by("alice", Method::DELETE, &path).await.ok(), job);
    app.import_all().await;
    assert_eq!(app.job(&id).await, job);
    assert_eq!(app.metric("import_items_total{result=\"cancelled\"}").await, 2.0);
    // A job of which no item has started.
    let id = app.import(&[url(4)]).await;
    let job = app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!((&job["status"], &job["uploaded"]["failed"]), (&json!("complete"), &json!([url(4)])));
    app.assert_sound().await;
}

#[tokio::test]
async fn a_job_is_visible_to_its_owner_only() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    let id = app.import(&[url(1)]).await;
    app.by("alice", Method::GET, &format!("/imports/{id}")).await.ok();
    app.get(&format!("/imports/{}", id.to_uppercase())).await.ok();
    assert_error(&app.by("bob", Method::GET, &format!("/imports/{id}")).await, 404, "NotFound");
    for unknown in ["x", "01a202f9-2bd8-74f4-bed9-a60dab1f3f1f", &id.replace('-', "")] {
        assert_error(&app.get(&format!("/imports/{unknown}")).await, 404, "NotFound");
        assert_error(&app.by("alice", Method::DELETE, &format!("/imports/{unknown}")).await, 404, "NotFound");
        assert_error(&app.send(app.request(Method::DELETE, &format!("/imports/{unknown}"))).await, 401, "Unauthorized");
    }
    assert_error(&app.get(&format!("/imports/{id}?x=1")).await, 422, "ValidationError");
    assert_error(&app.get("/imports").await, 401, "Unauthorized");
}

#[tokio::test]
async fn the_jobs_of_a_user_are_listed_in_pages() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    let start = DateTime::parse_from_rfc3339("2026-01-31T12:00:00Z").unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        app.clock.stop_at(&(start + TimeDelta::seconds(number)).to_rfc3339());
        ids.insert(0, app.import(&[url(1), url(2)]).await);
    }
    app.import_for("bob", &[url(1)]).await;
    // The first URL of the oldest job: users take turns before jobs do.
    app.import_next().await;
    let page = app.by("alice", Method::GET, "/imports?limit=2").await.ok();
    assert_eq!(
        page["imports"][0],
        json!({
            "id": ids[0], "created": "2026-01-31T12:00:04.000Z", "finished": null, "status": "pending",
            "counts": {"pending": 2, "complete": 0, "failed": 0},
        })
    );
    let mut seen = Vec::new();
    let mut path = "/imports?limit=2".to_owned();
    loop {
        let page = app.by("alice", Method::GET, &path).await.ok();
        seen.extend(page["imports"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], page["next_page_token"].is_string());
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/imports?limit=2&page_token={token}");
        // A page token is valid only for its user.
        assert_error(&app.by("bob", Method::GET, &path).await, 400, "BadRequest");
        assert_error(&app.get(&format!("/links?page_token={token}")).await, 400, "BadRequest");
    }
    assert_eq!(seen, ids);
    let oldest = app.by("alice", Method::GET, "/imports").await.ok()["imports"][4].clone();
    assert_eq!(
        (&oldest["status"], &oldest["counts"]),
        (&json!("in-progress"), &json!({"pending": 1, "complete": 1, "failed": 0}))
    );
    for bad in ["limit=0", "limit=101", "x=1"] {
        assert_error(&app.by("alice", Method::GET, &format!("/imports?{bad}")).await, 422, "ValidationError");
    }
    assert_error(&app.by("alice", Method::GET, "/imports?page_token=x").await, 400, "BadRequest");
}

#[tokio::test]
async fn links_are_listed_until_their_image_is_deleted() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS]).await;
    assert_eq!(app.get("/links").await.ok(), json!({"uploaded": [], "next_page_token": null, "has_more": false}));
    app.post(Form::upload("alice", &jpeg(64, 64, 9))).await.ok();
    app.import(&(0..4).map(url).collect::<Vec<_>>()).await;
    app.import_for("bob", &[url(7)]).await;
    app.import_all().await;
    let all = app.get("/links").await.ok()["uploaded"].clone();
    let all: Vec<&str> = all.as_array().unwrap().iter().map(|link| link.as_str().unwrap()).collect();
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|newer, older| newer > older));
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = app.get(&format!("/links?limit=2{token}")).await.ok();
        seen.extend(page["uploaded"].as_array().unwrap().iter().map(|link| link.as_str().unwrap().to_owned()));
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = format!("&page_token={next}");
    }
    assert_eq!(seen, all);
    let image = all[2].rsplit('/').next().unwrap();
    let owner = app.get(&format!("/images/{image}")).await.ok()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(app.delete(&owner, image).await.status, 200);
    let left = app.get("/links").await.ok()["uploaded"].clone();
    assert_eq!(left, json!([all[0], all[1], all[3], all[4]]));
    app.restore(&owner, image).await.ok();
    assert_eq!(app.get("/links").await.ok()["uploaded"], json!(all));
    assert_error(&app.get("/links?user_id=alice").await, 422, "ValidationError");
}

#[tokio::test]
async fn finished_jobs_are_deleted_after_the_retention_and_their_images_are_kept() {
    let app = TestApp::within(image_host().await, &[NO_WORKERS, "--import-retention-days=7"]).await;
    let done = app.import(&[url(1), "http://pictures.test/none".to_owned()]).await;
    app.import_all().await;
    let open = app.import(&[url(2)]).await;
    app.clock.advance(TimeDelta::days(7) - TimeDelta::minutes(1));
    app.sweep_all().await;
    app.job(&done).await;
    app.clock.advance(TimeDelta::minutes(2));
    app.sweep_all().await;
    assert_error(&app.get(&format!("/imports/{done}")).await, 404, "NotFound");
    assert_eq!(app.job(&open).await["status"], "pending");
    assert_eq!(app.get("/links").await.ok()["uploaded"].as_array().unwrap().len(), 1);
    app.assert_sound().await;
}

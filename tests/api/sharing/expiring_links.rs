//! Expiring links: created by owners, usable by anyone for a limited time.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use image_service::store::database::db::{Run, Sql};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

/// Creates a link to one of alice's images. Returns the response body.
async fn create_link(app: &TestApp, id: &str, fields: &Value) -> Value {
    let request = app.request(Method::POST, &format!("/images/{id}/links")).header("X-User-Id", "alice");
    let answer = app.send(request.json(fields)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

fn path(link: &Value) -> String {
    let link = link["link"].as_str().expect("a link");
    let (base, token) = link.split_once("/view/").expect("an address of this service");
    assert!(base.starts_with("http://localhost:") && token.len() == 43, "{link}");
    format!("/view/{token}")
}

fn assert_expired(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    assert_eq!(answer.json()["message"], "Sorry, the link is expired.");
}

async fn upload_private(app: &TestApp, file: &[u8]) -> String {
    app.post(Form::upload("alice", file).text("visibility", "private")).await.image_id()
}

#[tokio::test]
async fn a_link_gives_anonymous_access_to_a_private_image_until_it_expires() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let created = create_link(&app, &id, &json!({"expires_in": 300})).await;
    let expires_at: DateTime<Utc> = created["expires_at"].as_str().unwrap().parse().unwrap();
    let left = expires_at - image_service::model::clock::Clock::now(&*app.clock);
    assert!(left <= TimeDelta::seconds(300) && left > TimeDelta::seconds(240), "{left}");
    let path = path(&created);
    let answer = app.get(&path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/jpeg"));
    assert!(answer.body == file);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
    let head = app.send(app.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.header("content-length")), (200, file.len().to_string().as_str()));
    app.clock.advance(left - TimeDelta::seconds(30));
    assert_eq!(app.get(&path).await.status, 200);
    app.clock.advance(TimeDelta::seconds(31));
    assert_expired(&app.get(&path).await);
    // A conditional request does not reveal more.
    assert_expired(&app.get_with(&path, "If-None-Match", "*").await);
    // A week later, the link has been deleted.
    app.clock.advance(TimeDelta::days(8));
    app.sweep_all().await;
    assert_error(&app.get(&path).await, 404, "NotFound");
}

#[tokio::test]
async fn concurrent_views_are_counted_exactly() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let path = path(&create_link(&app, &id, &json!({"expires_in": 3000, "max_views": 7})).await);
    // Neither HEAD requests nor 304 responses count as views.
    let etag = app.send(app.request(Method::HEAD, &path)).await.header("etag").to_owned();
    assert_eq!(app.get_with(&path, "If-None-Match", &etag).await.status, 304);
    let answers = join_all((0..30).map(|_| app.get(&path))).await;
    let opened = answers.iter().filter(|answer| answer.status == 200 && answer.body == file).count();
    assert_eq!(opened, 7);
    answers.iter().filter(|answer| answer.status != 200).for_each(assert_expired);
    let links = app.by("alice", Method::GET, &format!("/images/{id}/links")).await.ok();
    let first = &links["links"][0];
    assert_eq!((&first["views"], &first["max_views"], &first["expired"]), (&json!(7), &json!(7), &json!(true)));
    assert_eq!(app.send(app.request(Method::HEAD, &path)).await.status, 403);
}

/// The view count of the image's only link.
async fn views(app: &TestApp, id: &str) -> Value {
    app.by("alice", Method::GET, &format!("/images/{id}/links")).await.ok()["links"][0]["views"].clone()
}

#[tokio::test]
async fn requests_for_one_or_two_bytes_are_not_views() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let path = path(&create_link(&app, &id, &json!({"expires_in": 3000, "max_views": 1})).await);
    for range in ["bytes=0-0", "bytes=0-1", "bytes=-1"] {
        let answer = app.get_with(&path, "Range", range).await;
        assert_eq!((answer.status, answer.header("accept-ranges")), (206, "bytes"), "{range}");
        assert_eq!(answer.header("content-range").rsplit('/').next(), Some(file.len().to_string().as_str()));
    }
    assert_eq!(app.get_with(&path, "Range", &format!("bytes={}-", file.len())).await.status, 416);
    assert_eq!(views(&app, &id).await, 0);
    let answer = app.get(&path).await;
    assert!(answer.status == 200 && answer.body == file);
    assert_expired(&app.get(&path).await);
    assert_expired(&app.get_with(&path, "Range", "bytes=0-0").await);
}

#[tokio::test]
async fn ranges_count_as_one_view_until_they_add_up_to_the_file_size() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let path = path(&create_link(&app, &id, &json!({"expires_in": 3000, "max_views": 1})).await);
    // Four concurrent ranges, as download managers use them.
    let piece = file.len().div_ceil(4);
    let ranges: Vec<String> = (0..4).map(|n| format!("bytes={}-{}", n * piece, (n + 1) * piece - 1)).collect();
    let answers = join_all(ranges.iter().map(|range| app.get_with(&path, "Range", range))).await;
    assert!(answers.iter().all(|answer| answer.status == 206), "{answers:?}");
    assert!(answers.iter().flat_map(|answer| answer.body.iter()).eq(file.iter()));
    assert_eq!(views(&app, &id).await, 1);
    assert_expired(&app.get_with(&path, "Range", &ranges[0]).await);
    assert_expired(&app.get(&path).await);
}

#[tokio::test]
async fn ranges_return_no_more_bytes_than_the_views_allow() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let path = path(&create_link(&app, &id, &json!({"expires_in": 3000, "max_views": 2})).await);
    let mut sent = 0;
    for n in 0..60 {
        let range = format!("bytes=0-{}", if n % 3 == 0 { 9 } else { file.len() / 3 });
        let answer = app.get_with(&path, "Range", &range).await;
        if answer.status == 206 {
            sent += answer.body.len();
        } else {
            assert_expired(&answer);
        }
    }
    assert!(sent <= 2 * file.len() + 64, "{sent} of {}", file.len());
    assert_expired(&app.get(&path).await);
}

#[tokio::test]
async fn previews_are_not_views_and_are_rejected_for_links_with_a_view_limit() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let counted = path(&create_link(&app, &id, &json!({"expires_in": 3000, "max_views": 1})).await);
    let previews = [
        ("User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
        ("User-Agent", "facebookexternalhit/1.1"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
    ];
    for (name, value) in previews {
        let answer = app.get_with(&counted, name, value).await;
        assert_error(&answer, 403, "Forbidden");
        assert!(answer.text().contains("Previews") && answer.header("cache-control") == "no-cache", "{answer:?}");
        assert_error(
            &app.send(app.request(Method::GET, &counted).header(name, value).header("Range", "bytes=0-0")).await,
            403,
            "Forbidden",
        );
    }
    assert!(app.get(&counted).await.body == file);
    assert_expired(&app.get(&counted).await);
    let uncounted = path(&create_link(&app, &id, &json!({"expires_in": 3000})).await);
    for (name, value) in previews {
        assert!(app.get_with(&uncounted, name, value).await.body == file);
    }
    assert_eq!(views(&app, &id).await, 0);
}

#[tokio::test]
async fn a_link_stops_working_with_its_image_and_works_again_after_a_restore() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let path = path(&create_link(&app, &id, &json!({"expires_in": 30000})).await);
    app.delete("alice", &id).await.ok();
    assert_error(&app.get(&path).await, 404, "NotFound");
    app.restore("alice", &id).await.ok();
    assert_eq!(app.get(&path).await.status, 200);
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    assert_error(&app.get(&path).await, 404, "NotFound");
    let db = app.database().await;
    let (left,) = db.fetch_optional::<(i64,)>(Sql::new("select count(*) from image_links")).await.unwrap().unwrap();
    assert_eq!(left, 0);
    db.close().await;
    app.assert_sound().await;
}

#[tokio::test]
async fn a_link_is_revoked_by_its_token_or_its_id() {
    let app = TestApp::start().await;
    let (id, other) = (upload_private(&app, &jpeg(64, 64, 1)).await, upload_private(&app, &jpeg(64, 64, 2)).await);
    let (one, two) =
        (create_link(&app, &id, &json!({"expires_in": 300})).await, create_link(&app, &id, &json!({"expires_in": 30000})).await);
    let listed = app.by("alice", Method::GET, &format!("/images/{id}/links")).await.ok();
    let ids: Vec<&Value> = listed["links"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
    assert_eq!(ids, [&two["id"], &one["id"]]);
    let (one_path, two_path) = (path(&one), path(&two));
    // The token is returned only on creation and is not stored.
    assert!(!listed.to_string().contains(one_path.trim_start_matches("/view/")));
    for (name, path) in [(one_path.trim_start_matches("/view/"), &one_path), (two["id"].as_str().unwrap(), &two_path)] {
        // A link cannot be revoked through another image.
        assert_error(&app.by("alice", Method::DELETE, &format!("/images/{other}/links/{name}")).await, 404, "NotFound");
        assert_eq!(app.get(path).await.status, 200);
        assert_eq!(app.by("alice", Method::DELETE, &format!("/images/{id}/links/{name}")).await.status, 204);
        assert_error(&app.get(path).await, 404, "NotFound");
        assert_error(&app.by("alice", Method::DELETE, &format!("/images/{id}/links/{name}")).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn invalid_tokens_are_not_found() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let created = create_link(&app, &id, &json!({"expires_in": 300})).await;
    let token = path(&created).trim_start_matches("/view/").to_owned();
    let mut altered = token.clone().into_bytes();
    altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let id_of_link = created["id"].as_str().unwrap().to_owned();
    for wrong in [altered, token.to_uppercase(), token[1..].to_owned(), format!("{token}A"), id_of_link, id, "%00".to_owned()] {
        assert_error(&app.get(&format!("/view/{wrong}")).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn the_lifetime_and_the_view_limit_are_validated() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let path = format!("/images/{id}/links");
    let post = async |fields: Value| app.send(app.request(Method::POST, &path).header("X-User-Id", "alice").json(&fields)).await;
    for (fields, broken) in [
        (json!({}), vec!["expires_in"]),
        (json!({"expires_in": 299}), vec!["expires_in"]),
        (json!({"expires_in": 30001}), vec!["expires_in"]),
        (json!({"expires_in": "300"}), vec!["expires_in"]),
        (json!({"expires_in": 300.5, "max_views": 0}), vec!["expires_in", "max_views"]),
        (json!({"expires_in": 300, "max_views": -1}), vec!["max_views"]),
        (json!({"expires_in": 300, "max_view": 1}), vec!["max_view"]),
    ] {
        let details = assert_error(&post(fields.clone()).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), broken, "{fields}");
    }
    for fields in [json!({"expires_in": 300}), json!({"expires_in": 30000, "max_views": null}), json!({"expires_in": 300.0})] {
        assert_eq!(post(fields).await.status, 201);
    }
    assert_error(&app.post_json(&path, &json!({"expires_in": 300})).await, 401, "Unauthorized");
}

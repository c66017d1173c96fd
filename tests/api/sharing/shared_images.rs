//! Shares as their visitors see them: which images they show, in which sizes, and for how long.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::collections::{add_image, create_collection, post_collection, upload};
use super::shares::{assert_expired, create_share, own_path, patch_share, path, upload_private};
use crate::harness::app::ids_of;
use crate::harness::pictures::{gif, jpeg, transparent_png};
use crate::harness::pixels::Pixels;
use crate::harness::{Answer, Form, TestApp, assert_error};

const CSP: &str = "default-src 'none'; sandbox";

/// The paths of an image's files below a share.
fn file_paths(share: &Value, id: &str) -> Vec<String> {
    let base = format!("{}/images/{id}", path(share));
    let sizes = ["small", "200", "large"].map(|size| format!("{base}/thumbnails/{size}"));
    std::iter::once(base).chain(sizes).collect()
}

/// The ids on the page of a share, whose total must be exact.
async fn shown(app: &TestApp, share: &Value) -> Vec<String> {
    let page = app.get(&format!("{}?limit=100", path(share))).await.ok();
    assert_eq!(page["total_count"], ids_of(&page).len());
    ids_of(&page)
}

/// The paths of the thumbnails of an image on a page, with their sizes. All must be downloadable.
async fn thumbs(app: &TestApp, image: &Value) -> Vec<(String, (u64, u64))> {
    let mut thumbs = Vec::new();
    for thumb in image["thumbs"].as_array().unwrap() {
        let (_, path) = thumb["url"].as_str().unwrap().split_once("/s/").unwrap();
        let size = ["width", "height"].map(|side| thumb["size"][side].as_u64().unwrap());
        let pixels = Pixels::of(&app.get(&format!("/s/{path}")).await);
        assert_eq!((u64::from(pixels.width), u64::from(pixels.height)), (size[0], size[1]), "{path}");
        thumbs.push((path.rsplit('/').next().unwrap().to_owned(), (size[0], size[1])));
    }
    thumbs
}

#[tokio::test]
async fn anyone_sees_a_shared_private_image() {
    let app = TestApp::with(&["--public-url=https://images.example.org/", "--auth-mode=required"]).await;
    let admin = app.admin().await;
    let file = jpeg(900, 600, 1);
    let form = Form::new().file_named("dusk.jpg", "image/jpeg", &file).text("visibility", "private");
    let form = form.text("title", "Dusk").text("description", "Over the sea").text("tags", "secret");
    let id = app.post_as(&admin, form).await.image_id();
    let share = app.json_as(&admin, Method::POST, "/shares", &json!({"image_id": id})).await.json();
    let url = share["url"].as_str().unwrap();
    let thumb = |name: &str, width: u32, height: u32| json!({"size": {"width": width, "height": height}, "url": format!("{url}/images/{id}/thumbnails/{name}")});
    let page = app.get(&path(&share)).await;
    let expected = json!({
        "type": "image", "name": null, "expires_at": null, "guest_images_left": 0,
        "images": [{
            "image_id": id, "title": "Dusk", "description": "Over the sea", "file_name": "dusk.jpg",
            "size": {"width": 900, "height": 600}, "url": format!("{url}/images/{id}"),
            "thumbs": [
                thumb("small", 128, 85), thumb("200", 300, 200), thumb("medium", 512, 341), thumb("400", 600, 400),
                thumb("large", 900, 600),
            ],
        }],
        "total_count": 1, "next_page_token": null, "has_more": false,
    });
    assert_eq!(page.ok(), expected);
    assert_eq!(page.header("cache-control"), "private, no-cache");
    thumbs(&app, &page.ok()["images"][0]).await;
    assert!(app.get(&format!("{}/images/{id}", path(&share))).await.body == file);
    // The links of the image itself stay private.
    assert_error(&app.get(&format!("/i/{id}")).await, 404, "NotFound");
    assert_error(&app.get(&format!("/images/{id}/thumbnails/small")).await, 404, "NotFound");
    let head = app.send(app.request(Method::HEAD, &path(&share))).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Parameters that others add to links do not matter.
    assert_eq!(app.get(&format!("{}?fbclid=1", path(&share))).await.ok(), expected);
    let details = assert_error(&app.get(&format!("{}?limit=0", path(&share))).await, 422, "ValidationError");
    assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["limit"]);
}

#[tokio::test]
async fn a_shared_collection_shows_what_its_owner_sees() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    assert_eq!(post_collection(&app, "alice", &json!({"name": "c", "visibility": "private"})).await.status, 201);
    let (own, foreign) = (upload(&app, "alice", 1, "private").await, upload(&app, "bob", 2, "public").await);
    let (public, outside) = (upload(&app, "alice", 3, "public").await, upload(&app, "alice", 4, "private").await);
    for id in [&public, &foreign, &own] {
        add_image(&app, "alice", "c", id).await.ok();
    }
    let share = create_share(&app, &json!({"collection": "c", "expires_in": 3600})).await;
    let first = app.get(&format!("{}?limit=2", path(&share))).await;
    let page = first.ok();
    assert_eq!(
        (&page["type"], &page["name"], &page["expires_at"]),
        (&json!("collection"), &json!("c"), &json!("2026-01-31T13:00:00.000Z"))
    );
    assert_eq!((ids_of(&page), &page["total_count"]), (vec![public.clone(), foreign.clone()], &json!(3)));
    assert!(page.get("user_id").is_none() && !page.to_string().contains("bob"), "{page}");
    let token = page["next_page_token"].as_str().unwrap();
    assert!(first.header("link").contains(&format!("page_token={token}")), "{}", first.header("link"));
    let second = app.get(&format!("{}?limit=2&page_token={token}", path(&share))).await.ok();
    assert_eq!((ids_of(&second), &second["has_more"]), (vec![own.clone()], &json!(false)));
    for id in [&own, &foreign, &public] {
        for path in file_paths(&share, id) {
            assert_eq!(app.get(&path).await.status, 200, "{path}");
        }
    }
    // What is not in the collection cannot be reached, whether or not it exists.
    for id in [outside.as_str(), "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a", "x"] {
        for path in file_paths(&share, id) {
            assert_error(&app.get(&path).await, 404, "NotFound");
        }
    }
    let unknown = app.get(&format!("{}/images/{own}/thumbnails/huge", path(&share))).await;
    assert_error(&unknown, 400, "BadRequest");
    assert!(unknown.text().contains("medium, 200, 400, large, largest"), "{}", unknown.text());
    // A token of a page of another share is not valid here.
    create_collection(&app, "alice", "d").await;
    let other = create_share(&app, &json!({"collection": "d"})).await;
    assert_error(&app.get(&format!("{}?page_token={token}", path(&other))).await, 400, "BadRequest");
    let empty = app.get(&path(&other)).await.ok();
    assert_eq!((&empty["images"], &empty["total_count"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn a_shared_collection_follows_the_state_of_its_images() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let (a, b, c) = (
        upload(&app, "alice", 1, "public").await,
        upload(&app, "alice", 2, "private").await,
        upload(&app, "bob", 3, "public").await,
    );
    for id in [&a, &b, &c] {
        add_image(&app, "alice", "c", id).await.ok();
    }
    let share = create_share(&app, &json!({"collection": "c"})).await;
    let shows = async |expected: &[&String]| {
        assert_eq!(shown(&app, &share).await.iter().collect::<Vec<_>>(), expected);
        for id in [&a, &b, &c] {
            for path in file_paths(&share, id) {
                assert_eq!(app.get(&path).await.status, if expected.contains(&id) { 200 } else { 404 }, "{path}");
            }
        }
    };
    shows(&[&a, &b, &c]).await;
    // A private image of another user is never shown, although the collection still contains it.
    app.patch("bob", &c, &json!({"visibility": "private"})).await.ok();
    shows(&[&a, &b]).await;
    app.patch("bob", &c, &json!({"visibility": "public"})).await.ok();
    app.patch("alice", &a, &json!({"visibility": "private"})).await.ok();
    shows(&[&a, &b, &c]).await;
    app.delete("alice", &b).await.ok();
    app.delete("bob", &c).await.ok();
    shows(&[&a]).await;
    app.restore("alice", &b).await.ok();
    shows(&[&a, &b]).await;
    assert_eq!(app.by("alice", Method::DELETE, &format!("/collections/c/images/{a}")).await.status, 204);
    shows(&[&b]).await;
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    shows(&[&b]).await;
    app.assert_sound().await;
}

#[tokio::test]
async fn an_expired_share_is_forbidden_and_a_week_later_unknown() {
    let app = TestApp::start().await;
    app.clock.stop();
    create_collection(&app, "alice", "c").await;
    let id = upload(&app, "alice", 1, "private").await;
    add_image(&app, "alice", "c", &id).await.ok();
    let fields = json!({"collection": "c", "expires_in": 60, "password": "between us", "max_guest_images": 5});
    let share = create_share(&app, &fields).await;
    patch_share(&app, "alice", &share, &json!({"password": null})).await.ok();
    let answers = async || {
        let mut answers = vec![app.get(&path(&share)).await];
        for path in file_paths(&share, &id) {
            answers.push(app.get(&path).await);
        }
        let password = format!("{}/password", path(&share));
        answers.push(app.post_json(&password, &json!({"password": "between us"})).await);
        let form = Form::new().file(&jpeg(64, 64, 9));
        let request = app.request(Method::POST, &format!("{}/images", path(&share)));
        answers.push(app.send(request.header("Content-Type", Form::content_type()).body(form.finish())).await);
        answers
    };
    let statuses = |answers: &[Answer]| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
    assert_eq!(statuses(&answers().await), [200, 200, 200, 200, 200, 204, 201]);
    app.clock.advance(TimeDelta::seconds(60));
    answers().await.iter().for_each(assert_expired);
    let listed = app.by("alice", Method::GET, &own_path(&share)).await.ok();
    assert_eq!((&listed["expired"], &listed["guest_images"]), (&json!(true), &json!(1)));
    app.clock.advance(TimeDelta::days(6));
    app.sweep_all().await;
    answers().await.iter().for_each(assert_expired);
    // The owner can extend it as long as it is listed.
    patch_share(&app, "alice", &share, &json!({"expires_in": 60})).await.ok();
    assert_eq!(app.get(&path(&share)).await.status, 200);
    app.clock.advance(TimeDelta::days(8));
    app.sweep_all().await;
    for answer in answers().await {
        assert_error(&answer, 404, "NotFound");
    }
    assert_error(&app.by("alice", Method::GET, &own_path(&share)).await, 404, "NotFound");
    app.assert_sound().await;
}

#[tokio::test]
async fn unknown_tokens_are_not_found() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let share = create_share(&app, &json!({"image_id": id})).await;
    let token = path(&share).trim_start_matches("/s/").to_owned();
    let shifted: String = token.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    let id_of_share = share["id"].as_str().unwrap().to_owned();
    for wrong in [shifted, token.to_uppercase(), token[1..].to_owned(), format!("{token}A"), id_of_share, "%00".to_owned()] {
        for suffix in ["".to_owned(), format!("/images/{id}"), format!("/images/{id}/thumbnails/small")] {
            assert_error(&app.get(&format!("/s/{wrong}{suffix}")).await, 404, "NotFound");
        }
        let entered = app.post_json(&format!("/s/{wrong}/password"), &json!({"password": "between us"})).await;
        assert_error(&entered, 404, "NotFound");
    }
    assert_error(&app.send(app.request(Method::DELETE, &path(&share))).await, 405, "MethodNotAllowed");
}

async fn with(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(*name, *value));
    app.send(request).await
}

#[tokio::test]
async fn files_can_be_revalidated_and_originals_sent_in_parts() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let id = upload_private(&app, &file).await;
    let share = create_share(&app, &json!({"image_id": id})).await;
    for path in file_paths(&share, &id) {
        let whole = app.get(&path).await;
        let etag = whole.header("etag");
        let head = app.send(app.request(Method::HEAD, &path)).await;
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, etag), "{path}");
        assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
        let known = app.get_with(&path, "If-None-Match", etag).await;
        assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, etag), "{path}");
        for answer in [&whole, &head, &known] {
            assert_eq!(answer.header("content-security-policy"), CSP, "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("cache-control"), "private, max-age=600", "{path}");
        }
    }
    let original = format!("{}/images/{id}", path(&share));
    let part = app.get_with(&original, "Range", "bytes=10-19").await;
    assert_eq!((part.status, part.header("accept-ranges")), (206, "bytes"));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", file.len()));
    assert!(part.body == file[10..20]);
    assert_eq!(part.header("content-security-policy"), CSP);
    let headers = [("Range", "bytes=10-19"), ("If-Range", "\"other\"")];
    assert!(with(&app, Method::GET, &original, &headers).await.body == file);
    let beyond = app.get_with(&original, "Range", &format!("bytes={}-", file.len())).await;
    assert_error(&beyond, 416, "RangeNotSatisfiable");
    // The page of a share that can end is checked each time, and so is every file.
    for change in [json!({"expires_in": 60}), json!({"expires_in": null, "password": "between us"})] {
        patch_share(&app, "alice", &share, &change).await.ok();
        let pass = app.post_json(&format!("{}/password", path(&share)), &json!({"password": "between us"})).await;
        let cookie = pass.header("set-cookie").split(';').next().unwrap().to_owned();
        for path in file_paths(&share, &id) {
            let answer = app.get_with(&path, "Cookie", &cookie).await;
            assert_eq!((answer.status, answer.header("cache-control")), (200, "private, no-cache"), "{path}");
        }
    }
    // Ordinary thumbnails are sandboxed too.
    let own = app.by("alice", Method::GET, &format!("/images/{id}/thumbnails/small")).await;
    assert_eq!((own.status, own.header("content-security-policy")), (200, CSP));
    let resized = app.by("alice", Method::GET, &format!("/images/{id}/thumbnail?width=32")).await;
    assert_eq!((resized.status, resized.header("content-security-policy")), (200, CSP));
}

#[tokio::test]
async fn large_sizes_are_sent_in_every_resize_mode_and_in_an_accepted_format() {
    for settings in [vec![], vec!["--resize=signed"], vec!["--resize=listed", "--resize-sizes=320x"]] {
        let app = TestApp::with(&settings).await;
        let id = upload_private(&app, &jpeg(1500, 1000, 1)).await;
        let share = create_share(&app, &json!({"image_id": id})).await;
        let page = app.get(&path(&share)).await.ok();
        let names = thumbs(&app, &page["images"][0]).await;
        let large = [("large".to_owned(), (1280, 853)), ("largest".to_owned(), (1500, 1000))];
        assert_eq!(names[names.len() - 2..], large, "{settings:?}");
        let of_size = |size: &str| format!("{}/images/{id}/thumbnails/{size}", path(&share));
        for (accept, content_type) in [("image/webp,*/*", "image/webp"), ("image/jpeg", "image/jpeg"), ("*/*", "image/jpeg")] {
            let answer = app.get_with(&of_size("large"), "Accept", accept).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{accept}");
            assert_eq!(answer.header("vary"), "accept", "{accept}");
            let known = [("Accept", accept), ("If-None-Match", answer.header("etag"))];
            let again = with(&app, Method::GET, &of_size("large"), &known).await;
            assert_eq!((again.status, again.header("vary")), (304, "accept"), "{accept}");
        }
        assert_eq!(app.get(&of_size("small")).await.header("vary"), "", "thumbnails have one format");
        // The operator's setting stays in force elsewhere.
        let unsigned = app.by("alice", Method::GET, &format!("/images/{id}/thumbnail?width=1280&height=1280")).await;
        assert_eq!(unsigned.status, if settings.is_empty() { 200 } else { 403 }, "{settings:?}");
    }
}

#[tokio::test]
async fn a_share_shows_the_sizes_that_the_plan_of_the_image_owner_includes() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    // Neither originals, nor resized images, nor the medium thumbnail.
    let bob = app.account(&admin, "bob", &json!({"plan": "Basic"})).await;
    let id = app.post_as(&bob, Form::new().file(&jpeg(1500, 1000, 1))).await.image_id();
    create_collection(&app, "alice", "c").await;
    add_image(&app, "alice", "c", &id).await.ok();
    let share = create_share(&app, &json!({"collection": "c"})).await;
    let image = app.get(&path(&share)).await.ok()["images"][0].clone();
    assert_eq!(image["url"], Value::Null);
    assert_eq!(thumbs(&app, &image).await, [("small".to_owned(), (128, 85)), ("200".to_owned(), (300, 200))]);
    let base = format!("{}/images/{id}", path(&share));
    for suffix in ["", "/thumbnails/medium", "/thumbnails/large", "/thumbnails/largest"] {
        assert_error(&app.get(&format!("{base}{suffix}")).await, 403, "Forbidden");
    }
    app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", bob.id), &json!({"plan": "Enterprise"})).await.ok();
    let image = app.get(&path(&share)).await.ok()["images"][0].clone();
    assert_eq!(image["url"].as_str().unwrap().rsplit('/').next(), Some(id.as_str()));
    let names: Vec<String> = thumbs(&app, &image).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["small", "200", "medium", "400"], "the plan has no resized images");
    assert_error(&app.get(&format!("{base}/thumbnails/large")).await, 403, "Forbidden");
}

#[tokio::test]
async fn small_transparent_and_animated_images_are_shared_in_every_size() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    for file in [jpeg(64, 64, 1), transparent_png(120, 90, 1), gif(90, 90, 2, 1)] {
        let id = upload_private(&app, &file).await;
        add_image(&app, "alice", "c", &id).await.ok();
    }
    let share = create_share(&app, &json!({"collection": "c"})).await;
    let page = app.get(&path(&share)).await.ok();
    for image in page["images"].as_array().unwrap() {
        let names = thumbs(&app, image).await;
        assert!(names.iter().all(|(name, _)| name != "large"), "{names:?} would be as large as the original");
        for size in ["small", "medium", "200", "400", "large", "largest"] {
            let path = format!("{}/images/{}/thumbnails/{size}", path(&share), image["image_id"].as_str().unwrap());
            Pixels::of(&app.get(&path).await);
        }
    }
}

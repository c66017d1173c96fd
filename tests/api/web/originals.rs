//! The signed URLs with which the gallery shows private animated images: who gets them, and what ends them.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{animated_webp, gif, jpeg};
use crate::harness::{Form, Login, TestApp, assert_error};

async fn upload(app: &TestApp, file: &[u8], visibility: &str) -> String {
    app.post(Form::upload("ann", file).text("visibility", visibility)).await.image_id()
}

async fn tile(app: &TestApp, user: &str, id: &str) -> Value {
    app.by(user, Method::GET, &format!("/app/tiles/{id}")).await.ok()
}

fn original(tile: &Value) -> Option<String> {
    tile["original"].as_str().map(|path| format!("/{path}"))
}

/// Uploads a private animated image of ann. Returns its id and the URL of its original.
async fn animation(app: &TestApp) -> (String, String) {
    let id = upload(app, &gif(80, 60, 3, 1), "private").await;
    let url = original(&tile(app, "ann", &id).await).expect("a URL");
    (id, url)
}

async fn send_as(app: &TestApp, login: &Login, method: Method, path: &str, body: &Value) {
    let answer = app.json_as(login, method, path, body).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

#[tokio::test]
async fn the_tile_of_a_private_animated_image_has_a_url_of_its_original_that_works_without_credentials() {
    let app = TestApp::start().await;
    for (file, content_type) in [(gif(80, 60, 3, 1), "image/gif"), (animated_webp(80, 60, 3), "image/webp")] {
        let id = upload(&app, &file, "private").await;
        let url = original(&tile(&app, "ann", &id).await).expect("a URL");
        assert!(url.starts_with(&format!("/app/tiles/{id}/original?expires=")), "{url}");
        let answer = app.get(&url).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
        assert_eq!(&answer.body[..], file);
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(answer.header("cache-control").starts_with("private, max-age="), "{}", answer.header("cache-control"));
        assert_eq!(app.get_with(&url, "If-None-Match", answer.header("etag")).await.status, 304);
        let part = app.get_with(&url, "Range", "bytes=1-3").await;
        assert_eq!((part.status, &part.body[..]), (206, &file[1..4]));
        let head = app.send(app.request(Method::HEAD, &url)).await;
        assert_eq!((head.status, head.header("content-length")), (200, file.len().to_string().as_str()));
    }
    for (file, visibility) in [(jpeg(80, 60, 1), "private"), (gif(80, 60, 1, 1), "private")] {
        let id = upload(&app, &file, visibility).await;
        assert_eq!(original(&tile(&app, "ann", &id).await), None, "its thumbnails show all of it");
    }
    let public = upload(&app, &gif(80, 60, 3, 2), "public").await;
    assert_eq!(original(&tile(&app, "ann", &public).await), Some(format!("/i/{public}")));
}

#[tokio::test]
async fn only_the_tiles_of_the_owner_have_the_url() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (id, url) = animation(&app).await;
    let put = |user: &'static str, name: &'static str| {
        let (app, id) = (&app, &id);
        async move {
            let collection = app.request(Method::POST, "/collections").header("X-User-Id", user);
            assert_eq!(app.send(collection.json(&json!({"name": name, "visibility": "public"}))).await.status, 201);
            app.by(user, Method::PUT, &format!("/collections/{name}/images/{id}")).await.ok();
        }
    };
    put("ann", "hers").await;
    // Another user collected the image while it was public.
    app.patch("ann", &id, &json!({"visibility": "public"})).await.ok();
    put("bob", "his").await;
    app.patch("ann", &id, &json!({"visibility": "private"})).await.ok();
    for path in ["/app/tiles", "/app/collections/hers/tiles", "/app/collection-cards"] {
        let answer = app.by("ann", Method::GET, path).await;
        assert!(answer.text().contains(&url[1..]), "{path}: {}", answer.text());
    }
    let share = app.request(Method::POST, "/shares").header("X-User-Id", "ann");
    let share = app.send(share.json(&json!({"collection": "hers"}))).await.json()["url"].as_str().unwrap().to_owned();
    let share = share.rsplit_once("/s/").unwrap().1;
    let tile_path = format!("/app/tiles/{id}");
    let share_path = format!("/s/{share}/tiles");
    let of_bob = ["/app/tiles", "/app/tiles?user_id=ann", &tile_path, "/app/collections/his/tiles", "/app/collection-cards"];
    let of_all = ["/app/tiles", &tile_path, "/c/hers/tiles", "/c/his/tiles", &share_path];
    let mut answers = Vec::new();
    for path in of_bob {
        answers.push(app.by("bob", Method::GET, path).await);
    }
    for path in of_all {
        answers.extend([app.get(path).await, app.get_as(&admin, path).await]);
    }
    for answer in &answers {
        assert!(!answer.text().contains("/original?"), "{}", answer.text());
    }
    assert!(answers.last().unwrap().text().contains(&format!("s/{share}/images/{id}")), "the share has its own URL");
}

#[tokio::test]
async fn the_url_has_the_lifetime_of_the_other_urls_of_a_tile_and_ends_with_the_image() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-01T00:30:00Z");
    let (id, url) = animation(&app).await;
    app.clock.advance(TimeDelta::hours(5));
    assert_eq!(original(&tile(&app, "ann", &id).await).as_ref(), Some(&url), "browsers can cache it");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(app.get(&url).await.status, 200, "for at least six hours");
    let next = original(&tile(&app, "ann", &id).await).expect("a URL");
    app.clock.advance(TimeDelta::hours(6));
    assert_error(&app.get(&url).await, 403, "Forbidden");
    assert_eq!(app.get(&next).await.status, 200);
    app.patch("ann", &id, &json!({"visibility": "public"})).await.ok();
    assert_eq!(app.get(&next).await.status, 200, "who may see it may still see it");
    app.delete("ann", &id).await.ok();
    assert_error(&app.get(&next).await, 404, "NotFound");
    let trash = app.by("ann", Method::GET, "/app/trash/tiles").await;
    assert!(!trash.text().contains("/original?"), "{}", trash.text());
    app.restore("ann", &id).await.ok();
    assert_eq!(app.get(&next).await.status, 200);
    app.delete("ann", &id).await.ok();
    app.by("ann", Method::DELETE, &format!("/images/{id}?purge=true")).await.ok();
    assert_error(&app.get(&next).await, 404, "NotFound");
}

#[tokio::test]
async fn a_signature_opens_only_the_file_for_which_it_was_made() {
    let app = TestApp::start().await;
    let ((id, url), (other, _)) = (animation(&app).await, animation(&app).await);
    let query = url.split_once('?').unwrap().1;
    let size = tile(&app, "ann", &id).await["sizes"][0]["url"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    let (before, signature) = url.split_at(url.find("signature=").unwrap() + "signature=".len());
    let expiry: i64 = query.trim_start_matches("expires=").split('&').next().unwrap().parse().unwrap();
    for path in [
        format!("/app/tiles/{id}/original"),
        format!("/app/tiles/{id}/original?{size}"),
        format!("/app/tiles/{other}/original?{query}"),
        format!("/images/{id}/thumbnail?width=128&{query}"),
        format!("{before}{}", "A".repeat(signature.len())),
        format!("{url}&width=128"),
        format!("{url}&signature={signature}"),
        url.replace(&expiry.to_string(), &(expiry + 1).to_string()),
    ] {
        assert_error(&app.get(&path).await, 403, "Forbidden");
    }
    assert_eq!(app.get(&format!("{url}&utm_source=mail")).await.status, 200);
    assert_error(&app.get(&format!("/i/{id}?{query}")).await, 404, "NotFound");
}

#[tokio::test]
async fn a_plan_without_originals_and_a_disabled_account_end_the_url() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let features = |original: bool| json!({"thumbnails": ["small"], "original": original, "custom_sizes": true});
    let mut plan = features(true);
    plan["name"] = json!("Studio");
    send_as(&app, &admin, Method::POST, "/plans", &plan).await;
    let ann = app.account(&admin, "ann", &json!({"plan": "Studio"})).await;
    let (id, url) = animation(&app).await;
    assert_eq!(app.get(&url).await.status, 200);
    send_as(&app, &admin, Method::PUT, "/plans/Studio", &features(false)).await;
    assert_error(&app.get(&url).await, 403, "Forbidden");
    assert_eq!(original(&tile(&app, "ann", &id).await), None);
    send_as(&app, &admin, Method::PUT, "/plans/Studio", &features(true)).await;
    assert_eq!(app.get(&url).await.status, 200);
    let account = format!("/accounts/{}", ann.id);
    send_as(&app, &admin, Method::PATCH, &account, &json!({"disabled": true})).await;
    assert_error(&app.get(&url).await, 404, "NotFound");
    send_as(&app, &admin, Method::PATCH, &account, &json!({"disabled": false})).await;
    assert_eq!(app.get(&url).await.status, 200);
    send_as(&app, &admin, Method::DELETE, &format!("/images/{id}"), &Value::Null).await;
    assert_error(&app.get(&url).await, 404, "NotFound");
}

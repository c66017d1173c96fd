//! Passwords of shares: the cookie that proves that a visitor has entered one, and how guessing is slowed down.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::collections::{add_image, create_collection};
use super::shares::{create_share, patch_share, path, upload_private};
use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

const PASSWORD: &str = "between us";

async fn enter(app: &TestApp, share: &Value, password: &str) -> Answer {
    app.post_json(&format!("{}/password", path(share)), &json!({"password": password})).await
}

/// Enters the right password. Returns the cookie as clients send it, and its attributes.
async fn pass(app: &TestApp, share: &Value, password: &str) -> (String, String) {
    let answer = enter(app, share, password).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(answer.header("cache-control"), "no-store");
    let (cookie, attributes) = answer.header("set-cookie").split_once("; ").expect("a cookie");
    // Browsers send a cookie to all ports of a host, so its name contains the port.
    assert!(cookie.starts_with(&format!("share_pass_{}=", app.url("").rsplit(':').next().unwrap())), "{cookie}");
    (cookie.to_owned(), attributes.to_owned())
}

async fn status(app: &TestApp, path: &str, cookie: &str) -> u16 {
    let answer = app.get_with(path, "Cookie", cookie).await;
    if answer.status != 200 {
        assert_password_required(&answer);
    }
    answer.status
}

#[track_caller]
fn assert_password_required(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    let message = answer.json()["message"].clone();
    assert!(message.as_str().unwrap().starts_with("The password of this share is required: "), "{message}");
    assert!(!answer.header("cache-control").contains("max-age"), "errors are not cached");
}

#[track_caller]
fn assert_wrong(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    assert_eq!((&answer.json()["message"], answer.header("set-cookie")), (&json!("The password is wrong."), ""));
}

/// Starts a service with a share of a private image. Returns the share and the image's id.
async fn start(terms: &Value) -> (TestApp, Value, String) {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let mut fields = json!({"image_id": id, "password": PASSWORD});
    fields.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    let share = create_share(&app, &fields).await;
    (app, share, id)
}

#[tokio::test]
async fn a_share_with_a_password_opens_only_with_the_cookie() {
    let (app, share, id) = start(&json!({})).await;
    let files = [format!("/images/{id}"), format!("/images/{id}/thumbnails/small"), format!("/images/{id}/thumbnails/large")];
    let paths: Vec<String> = std::iter::once("").chain(files.iter().map(String::as_str)).map(|end| path(&share) + end).collect();
    for path in &paths {
        assert_password_required(&app.get(path).await);
        assert_eq!(app.send(app.request(Method::HEAD, path)).await.status, 403);
        // Not even the owner opens the link without it, nor does a 304 answer.
        assert_password_required(&app.by("alice", Method::GET, path).await);
        assert_password_required(&app.get_with(path, "If-None-Match", "*").await);
    }
    for wrong in ["between Us", "", " between us", &"x".repeat(5000)] {
        assert_wrong(&enter(&app, &share, wrong).await);
    }
    let (cookie, attributes) = pass(&app, &share, PASSWORD).await;
    // Without a path, browsers send it only to /s/{token} and below.
    assert_eq!(attributes, "Max-Age=86400; HttpOnly; Secure; SameSite=Lax");
    assert!(!cookie.contains(PASSWORD), "{cookie}");
    for path in &paths {
        assert_eq!(status(&app, path, &format!("theme=dark; {cookie}")).await, 200, "{path}");
    }
    assert!(!app.get_with(&paths[0], "Cookie", &cookie).await.text().contains("password"));
    for body in [json!({}), json!({"password": 123_456}), json!({"password": null}), json!({"password": PASSWORD, "a": 1})] {
        let answer = app.post_json(&format!("{}/password", path(&share)), &body).await;
        assert_error(&answer, 422, "ValidationError");
    }
}

#[tokio::test]
async fn a_cookie_is_valid_for_one_share_only_and_cannot_be_changed() {
    let (app, share, id) = start(&json!({})).await;
    let (cookie, _) = pass(&app, &share, PASSWORD).await;
    let other = create_share(&app, &json!({"image_id": id, "password": PASSWORD})).await;
    assert_eq!(status(&app, &path(&other), &cookie).await, 403, "another share with the same password");
    let (name, value) = cookie.split_once('=').unwrap();
    let (expires, signature) = value.split_once('.').unwrap();
    let later = expires.parse::<i64>().unwrap() + 1;
    let flipped = if signature.ends_with('A') { 'B' } else { 'A' };
    for forged in [
        format!("{later}.{signature}"),
        format!("{expires}.{flipped}{}", &signature[1..]),
        format!("+{expires}.{signature}"),
        format!("0{expires}.{signature}"),
        format!("{expires}.{signature}="),
        format!("{expires}."),
        format!("99999999999999999999.{signature}"),
        format!("{}.{signature}", i64::MAX),
        signature.to_owned(),
        ".".to_owned(),
        "\"\"".to_owned(),
    ] {
        assert_eq!(status(&app, &path(&share), &format!("{name}={forged}")).await, 403, "{forged}");
    }
    // The cookie of another port, and one with the plain name.
    for other in [format!("share_pass={value}"), format!("share_pass_1={value}"), format!("x{cookie}")] {
        assert_eq!(status(&app, &path(&share), &other).await, 403, "{other}");
    }
    assert_eq!(status(&app, &path(&share), &cookie).await, 200);
}

#[tokio::test]
async fn a_cookie_ends_after_24_hours_or_with_the_share() {
    let (app, share, _) = start(&json!({})).await;
    let (cookie, _) = pass(&app, &share, PASSWORD).await;
    app.clock.advance(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert_eq!(status(&app, &path(&share), &cookie).await, 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(status(&app, &path(&share), &cookie).await, 403);
    patch_share(&app, "alice", &share, &json!({"expires_in": 600})).await.ok();
    let (cookie, attributes) = pass(&app, &share, PASSWORD).await;
    assert!(attributes.starts_with("Max-Age=600; "), "{attributes}");
    // It ends then, even if the share is extended.
    patch_share(&app, "alice", &share, &json!({"expires_in": 3600})).await.ok();
    app.clock.advance(TimeDelta::seconds(599));
    assert_eq!(status(&app, &path(&share), &cookie).await, 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(status(&app, &path(&share), &cookie).await, 403);
}

#[tokio::test]
async fn a_cookie_ends_when_the_password_changes() {
    let (app, share, _) = start(&json!({})).await;
    let (cookie, _) = pass(&app, &share, PASSWORD).await;
    // What is not about the password does not end it.
    patch_share(&app, "alice", &share, &json!({"expires_in": 3600})).await.ok();
    assert_eq!(status(&app, &path(&share), &cookie).await, 200);
    patch_share(&app, "alice", &share, &json!({"password": PASSWORD})).await.ok();
    assert_eq!(status(&app, &path(&share), &cookie).await, 403, "also if it is set to the same");
    patch_share(&app, "alice", &share, &json!({"password": "another"})).await.ok();
    assert_wrong(&enter(&app, &share, PASSWORD).await);
    let (second, _) = pass(&app, &share, "another").await;
    assert_eq!(status(&app, &path(&share), &second).await, 200);
    patch_share(&app, "alice", &share, &json!({"password": null})).await.ok();
    for open in ["a=b", cookie.as_str(), second.as_str()] {
        assert_eq!(status(&app, &path(&share), open).await, 200);
    }
    let answer = enter(&app, &share, "anything").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (204, ""), "there is nothing to prove");
    patch_share(&app, "alice", &share, &json!({"password": PASSWORD})).await.ok();
    assert_eq!(status(&app, &path(&share), &cookie).await, 403);
}

#[tokio::test]
async fn a_password_can_be_typed_in_any_unicode_form() {
    let (app, share, _) = start(&json!({"password": "caf\u{e9}s!"})).await;
    pass(&app, &share, "cafe\u{301}s!").await;
    assert_wrong(&enter(&app, &share, "cafes!").await);
}

#[tokio::test]
async fn the_twelfth_wrong_password_must_wait() {
    let (app, share, id) = start(&json!({})).await;
    let other = create_share(&app, &json!({"image_id": id, "password": PASSWORD})).await;
    let (cookie, _) = pass(&app, &share, PASSWORD).await;
    for _ in 0..11 {
        assert_wrong(&enter(&app, &share, "a guess").await);
    }
    for wait in [1, 2, 4] {
        for password in ["a guess", PASSWORD] {
            let refused = enter(&app, &share, password).await;
            assert_error(&refused, 429, "TooManyRequests");
            assert_eq!(refused.header("retry-after"), wait.to_string());
        }
        // Visitors who have entered the password before do not wait.
        assert_eq!(status(&app, &path(&share), &cookie).await, 200);
        app.clock.advance(TimeDelta::seconds(wait));
        assert_wrong(&enter(&app, &share, "a guess").await);
    }
    pass(&app, &other, PASSWORD).await;
    app.clock.advance(TimeDelta::seconds(8));
    pass(&app, &share, PASSWORD).await;
    assert_wrong(&enter(&app, &share, "a guess").await);
    assert_wrong(&enter(&app, &share, "a guess").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_guesses_are_limited_like_consecutive_ones() {
    let (app, share, _) = start(&json!({})).await;
    let answers = join_all((0..40).map(|_| enter(&app, &share, "a guess"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 403).count(), 11);
    for refused in answers.iter().filter(|answer| answer.status != 403) {
        assert_error(refused, 429, "TooManyRequests");
        assert_eq!(refused.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn visitors_add_images_only_after_the_password() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    add_image(&app, "alice", "c", &id).await.ok();
    let share = create_share(&app, &json!({"collection": "c", "password": PASSWORD, "max_guest_images": 1})).await;
    let post = || {
        let request = app.request(Method::POST, &format!("{}/images", path(&share)));
        request.header("Content-Type", Form::content_type()).body(Form::new().file(&jpeg(64, 64, 2)).finish())
    };
    assert_password_required(&app.send(post()).await);
    let (cookie, _) = pass(&app, &share, PASSWORD).await;
    assert_eq!(app.send(post().header("Cookie", cookie)).await.status, 201);
    app.assert_sound().await;
}

//! The pass with which the gallery of an account has its first pictures in the first response.

use reqwest::Method;
use serde_json::json;

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, Login, TestApp, assert_error};

const ANONYMOUS: &str = "data-identity=\"account\" data-user=\"\">";

async fn upload(app: &TestApp, login: &Login, title: &str) {
    let form = Form::new().file(&jpeg(300, 200, 1)).text("title", title).text("visibility", "private");
    app.post_as(login, form).await.ok();
}

/// Returns the cookie as the browser sends it, and its attributes.
async fn pass_of(app: &TestApp, login: &Login) -> (String, String) {
    let answer = app.send(app.request_as(login, Method::POST, "/app/pass")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (204, "no-store"));
    let (cookie, attributes) = answer.header("set-cookie").split_once("; ").expect("a cookie");
    (cookie.to_owned(), attributes.to_owned())
}

async fn open(app: &TestApp, path: &str, cookie: &str) -> Answer {
    let answer = app.get_with(path, "cookie", cookie).await;
    assert_eq!(answer.status, 200);
    answer
}

#[tokio::test]
async fn the_gallery_of_an_account_has_its_first_pictures_until_the_session_ends() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let (ann, bob) = (app.account(&admin, "ann", &json!({})).await, app.account(&admin, "bob", &json!({})).await);
    upload(&app, &ann, "Rose").await;
    upload(&app, &bob, "Tulip").await;
    let (cookie, attributes) = pass_of(&app, &ann).await;
    // Without a path, browsers send it to all of …/app/.
    assert_eq!(attributes, "Max-Age=2592000; HttpOnly; Secure; SameSite=Strict");

    let page = open(&app, "/app/", &cookie).await;
    let text = page.text();
    assert!(text.contains("data-user=\"ann\" data-email=\"ann@example.org\">"), "{text}");
    assert!(text.contains("app/tiles?user_id=ann") && text.contains("Rose") && !text.contains("Tulip"), "{text}");
    assert_eq!(page.header("cache-control"), "private, no-store");
    // The pictures that a filter selects are requested by the scripts.
    let filtered = open(&app, "/app/?tags=sea", &cookie).await;
    assert!(filtered.text().contains("data-user=\"ann\"") && !filtered.text().contains("Rose"), "{}", filtered.text());
    let administrator = open(&app, "/app/", &pass_of(&app, &admin).await.0).await;
    assert!(administrator.text().contains("data-email=\"root@example.org\" data-admin>"), "{}", administrator.text());

    let ended = app.send(app.request_as(&ann, Method::DELETE, "/accounts/me/sessions")).await;
    assert_eq!(ended.status, 204);
    let page = open(&app, "/app/", &cookie).await;
    assert!(page.text().contains(ANONYMOUS) && !page.text().contains("Rose"), "{}", page.text());
    assert_eq!(page.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn a_pass_is_for_the_gallery_only() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    upload(&app, &admin, "Rose").await;
    let (cookie, _) = pass_of(&app, &admin).await;
    for path in ["/app/trash/tiles", "/accounts/me", "/accounts"] {
        assert_eq!(app.get_with(path, "cookie", &cookie).await.status, 401, "{path}");
    }
    assert!(!open(&app, "/app/tiles", &cookie).await.text().contains("Rose"));
    // It does not issue another one.
    let again = app.send(app.request(Method::POST, "/app/pass").header("cookie", &cookie)).await;
    assert_error(&again, 401, "Unauthorized");
    let forgotten = app.send(app.request(Method::DELETE, "/app/pass")).await;
    assert_eq!(forgotten.status, 204);
    assert!(forgotten.header("set-cookie").contains("=; Max-Age=0; "), "{}", forgotten.header("set-cookie"));
}

#[tokio::test]
async fn a_pass_that_was_changed_is_ignored() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let ((of_admin, _), (of_ann, _)) = (pass_of(&app, &admin).await, pass_of(&app, &ann).await);
    let (name, pass) = of_ann.split_once('=').expect("a value");
    let (session, signature) = pass.split_once('.').expect("a signature");
    let other = of_admin.split_once('=').and_then(|(_, pass)| pass.split_once('.')).expect("a signature").0;
    for changed in [
        format!("{other}.{signature}"),
        format!("{session}."),
        session.to_owned(),
        format!("{pass}x"),
        "x.y".to_owned(),
        ann.access.clone(),
    ] {
        let page = open(&app, "/app/", &format!("{name}={changed}")).await;
        assert!(page.text().contains(ANONYMOUS), "{changed}: {}", page.text());
    }
    assert!(open(&app, "/app/", &of_ann).await.text().contains("data-user=\"ann\""));
}

#[tokio::test]
async fn a_disabled_account_has_no_gallery() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let (cookie, _) = pass_of(&app, &ann).await;
    let disable = app.request_as(&admin, Method::PATCH, &format!("/accounts/{}", ann.id)).json(&json!({"disabled": true}));
    app.send(disable).await.ok();
    assert!(open(&app, "/app/", &cookie).await.text().contains(ANONYMOUS));
}

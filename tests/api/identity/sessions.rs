//! Sessions: they are listed, ended one by one or all together, and end at a maximum age.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Login, PASSWORD, TestApp, assert_error};

async fn sessions(app: &TestApp, login: &Login) -> Vec<Value> {
    app.get_as(login, "/accounts/me/sessions").await.ok()["sessions"].as_array().unwrap().clone()
}

/// Starts another session of the same account.
async fn another_session(app: &TestApp, login: &Login) -> Login {
    let tokens = app.post_json("/token", &json!({"email": login.email, "password": PASSWORD})).await.json();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    Login { access: text("access"), refresh: text("refresh"), ..login.clone() }
}

async fn end(app: &TestApp, login: &Login, which: &str) -> u16 {
    app.send(app.request_as(login, Method::DELETE, &format!("/accounts/me/sessions{which}"))).await.status
}

/// Returns whether the access and refresh tokens of the session are both valid; panics if only one is.
async fn is_valid(app: &TestApp, login: &Login) -> bool {
    let access = app.get_as(login, "/accounts/me").await.status;
    let refresh = app.post_json("/token/refresh", &json!({"refresh": login.refresh})).await.status;
    match (access, refresh) {
        (200, 201) => true,
        (401, 401) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sessions_are_listed_and_can_be_ended_one_by_one() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let first = app.account(&admin, "ann", &json!({})).await;
    app.clock.advance(TimeDelta::seconds(1));
    let second = another_session(&app, &first).await;
    app.clock.advance(TimeDelta::seconds(1));
    let third = another_session(&app, &first).await;
    let listed = sessions(&app, &second).await;
    let current: Vec<&Value> = listed.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [false, true, false], "newest first");
    for session in &listed {
        let names: Vec<&String> = session.as_object().unwrap().keys().collect();
        assert_eq!(names, ["created_at", "current", "expires_at", "id"]);
    }
    let oldest = listed[2]["id"].as_str().unwrap();
    assert_eq!(end(&app, &second, &format!("/{oldest}")).await, 204);
    assert_eq!(end(&app, &second, &format!("/{oldest}")).await, 404);
    assert!(!is_valid(&app, &first).await);
    assert_eq!(end(&app, &third, "/current").await, 204);
    assert!(!is_valid(&app, &third).await);
    assert_eq!(sessions(&app, &second).await.len(), 1);
    assert!(is_valid(&app, &second).await);
    for nothing in ["/x", "/01a22671-fe30-7a1d-858e-79bad2aa491c", "/Current"] {
        assert_eq!(end(&app, &second, nothing).await, 404, "{nothing}");
    }
}

#[tokio::test]
async fn all_sessions_of_one_account_can_be_ended_together() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ann, bob) = (app.account(&admin, "ann", &json!({})).await, app.account(&admin, "bob", &json!({})).await);
    let other = another_session(&app, &ann).await;
    let of_bob = sessions(&app, &bob).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(end(&app, &ann, &format!("/{of_bob}")).await, 404, "sessions of other accounts are not found");
    let key = app.key(&ann, &json!({})).await;
    for method in [Method::GET, Method::DELETE] {
        assert_error(&app.send(app.request_by_key(&key, method.clone(), "/accounts/me/sessions")).await, 403, "Forbidden");
        assert_error(&app.send(app.request(method, "/accounts/me/sessions")).await, 401, "Unauthorized");
    }
    assert_eq!(end(&app, &ann, "").await, 204);
    assert!(!is_valid(&app, &ann).await && !is_valid(&app, &other).await);
    assert!(is_valid(&app, &bob).await);
    assert_eq!(app.send(app.request_by_key(&key, Method::GET, "/accounts/me")).await.status, 200, "API keys remain valid");
    // Password authentication creates no session.
    let by_password = |method, path: &str| app.request(method, path).basic_auth(&ann.email, Some(PASSWORD));
    assert_eq!(app.send(by_password(Method::GET, "/accounts/me/sessions")).await.ok()["sessions"], json!([]));
    assert_eq!(app.send(by_password(Method::DELETE, "/accounts/me/sessions/current")).await.status, 404);
}

#[tokio::test]
async fn a_session_ends_at_its_maximum_age_however_often_it_is_refreshed() {
    let app = TestApp::with(&["--session-max-days=40"]).await;
    app.clock.stop();
    let mut login = app.admin().await;
    for _ in 0..2 {
        app.clock.advance(TimeDelta::days(19));
        let tokens = app.post_json("/token/refresh", &json!({"refresh": login.refresh})).await;
        assert_eq!(tokens.status, 201);
        let tokens = tokens.json();
        (login.access, login.refresh) =
            (tokens["access"].as_str().unwrap().to_owned(), tokens["refresh"].as_str().unwrap().to_owned());
    }
    app.clock.advance(TimeDelta::days(2));
    assert_eq!(app.post_json("/token/refresh", &json!({"refresh": login.refresh})).await.status, 401);
    assert_eq!(app.get_as(&login, "/accounts/me").await.status, 401);
}

//! Concurrent use and concurrent changes of accounts, plans and passwords.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, TestApp, assert_error};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_deleted_while_it_is_assigned_is_either_deleted_or_in_use() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let account = format!("/accounts/{}", ann.id);
    for round in 0..40 {
        let (name, body) = (format!("Plan{round}"), json!({}));
        let made = app.json_as(&admin, Method::POST, "/plans", &json!({"name": name})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let (plan, change) = (format!("/plans/{name}"), json!({"plan": name}));
        let (given, deleted) = tokio::join!(
            app.json_as(&admin, Method::PATCH, &account, &change),
            app.json_as(&admin, Method::DELETE, &plan, &body),
        );
        match (given.status, deleted.status) {
            (200, 409) | (422, 204) => {}
            _ => panic!("{round}: {} {}", given.text(), deleted.text()),
        }
        app.json_as(&admin, Method::PATCH, &account, &json!({"plan": null})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_cannot_demote_each_other_concurrently() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for round in 0..5 {
        let name = |side: &str| format!("{side}{round}");
        let (one, two) = (
            app.account(&admin, &name("one"), &json!({"admin": true})).await,
            app.account(&admin, &name("two"), &json!({"admin": true})).await,
        );
        let (path_one, path_two, change) =
            (format!("/accounts/{}", one.id), format!("/accounts/{}", two.id), json!({"admin": false}));
        let answers: (Answer, Answer) = tokio::join!(
            app.json_as(&one, Method::PATCH, &path_two, &change),
            app.json_as(&two, Method::PATCH, &path_one, &change),
        );
        let (one, two) = (answers.0.status, answers.1.status);
        assert!((one == 200) != (two == 200), "{round}: {one} {two}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_two_concurrent_password_changes_succeeds() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (one, two) = ("another horse battery", "yet another horse");
    let body = |new: &str| json!({"current_password": PASSWORD, "new_password": new});
    let (body_one, body_two) = (body(one), body(two));
    let answers: (Answer, Answer) = tokio::join!(
        app.json_as(&admin, Method::PUT, "/accounts/me/password", &body_one),
        app.json_as(&admin, Method::PUT, "/accounts/me/password", &body_two),
    );
    let changed: Vec<u16> = [&answers.0, &answers.1].iter().map(|answer| answer.status).filter(|status| *status == 204).collect();
    assert_eq!(changed.len(), 1, "{} {}", answers.0.text(), answers.1.text());
    let password = if answers.0.status == 204 { one } else { two };
    let login: Value = json!({"email": admin.email, "password": password});
    assert_eq!(app.post_json("/token", &login).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_logins_with_correct_passwords_are_not_limited() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let request = || app.send(app.request(Method::GET, "/accounts/me").basic_auth(&admin.email, Some(PASSWORD)));
    for answer in join_all((0..40).map(|_| request())).await {
        assert_eq!(answer.ok()["id"], admin.id.as_str());
    }
    // Many other accounts log in from the same address.
    let body = |number: u32| json!({"email": format!("{number}@example.org"), "password": PASSWORD});
    for number in 0..40 {
        assert_eq!(app.json_as(&admin, Method::POST, "/accounts", &body(number)).await.status, 201);
    }
    let logins = (0..40).map(|number| {
        let app = &app;
        async move { app.post_json("/token", &json!({"email": format!("{number}@example.org"), "password": PASSWORD})).await }
    });
    for answer in join_all(logins).await {
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert_error(
        &app.post_json("/token", &json!({"email": admin.email, "password": "incorrect horse"})).await,
        401,
        "Unauthorized",
    );
}

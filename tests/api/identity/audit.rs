//! The audit trail of administrators' actions and of security events.

use chrono::TimeDelta;
use image_service::model::account::Email;
use image_service::service::identity::passwords::Password;
use image_service::service::identity::registration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Form, Login, PASSWORD, TestApp, assert_error};

/// The newest entries as (action, subject, details), newest first.
async fn trail(app: &TestApp, admin: &Login) -> Vec<(String, String, Value)> {
    let page = app.get_as(admin, "/audit").await.ok();
    let text = |entry: &Value, name: &str| entry[name].as_str().expect(name).to_owned();
    let entries = page["entries"].as_array().expect("entries");
    entries.iter().map(|entry| (text(entry, "action"), text(entry, "subject"), entry["details"].clone())).collect()
}

#[tokio::test]
async fn account_changes_by_administrators_are_recorded() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let admin = app.admin().await;
    app.clock.advance(TimeDelta::seconds(1));
    let ann = app.account(&admin, "ann", &json!({"plan": "Premium"})).await;
    let path = format!("/accounts/{}", ann.id);
    let patch = async |change: Value| {
        app.clock.advance(TimeDelta::seconds(1));
        app.json_as(&admin, Method::PATCH, &path, &change).await
    };
    patch(json!({"plan": "Basic"})).await.ok();
    patch(json!({"plan": null, "disabled": true, "admin": true})).await.ok();
    // Changes without effect and rejected requests are not recorded.
    patch(json!({"disabled": true, "plan": null})).await.ok();
    patch(json!({})).await.ok();
    assert_eq!(patch(json!({"disabled": false, "plan": "Nonesuch"})).await.status, 422);
    let own = app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", admin.id), &json!({"admin": false})).await;
    assert_eq!(own.status, 409);
    let taken = json!({"email": ann.email, "password": PASSWORD});
    assert_eq!(app.json_as(&admin, Method::POST, "/accounts", &taken).await.status, 409);
    patch(json!({"disabled": false})).await.ok();
    app.clock.advance(TimeDelta::seconds(1));
    let db = app.database().await;
    let (email, password) = (Email::parse(&ann.email).unwrap(), Password::parse("another horse battery").unwrap());
    registration::set_password(&db, &*app.clock, &email, &password).await.expect("the password is set");
    db.close().await;

    let page = app.get_as(&admin, "/audit").await.ok();
    let mut entries = page["entries"].as_array().expect("entries").clone();
    entries.reverse();
    for entry in &entries {
        let names: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(names, ["action", "actor", "at", "details", "id", "subject"]);
    }
    let made = |email: &str, user_id: &str, plan: &str, admin: &str| json!({"email": email, "user_id": user_id, "plan": plan, "admin": admin});
    let expected = [
        ("(command line)", "account.created", &admin.id, made(&admin.email, &admin.id, "none", "true"), 0),
        (&admin.email, "account.created", &ann.id, made(&ann.email, "ann", "Premium", "false"), 1),
        (&admin.email, "account.changed", &ann.id, json!({"plan": "Basic"}), 2),
        (&admin.email, "account.changed", &ann.id, json!({"plan": "none", "disabled": "true", "admin": "true"}), 3),
        (&admin.email, "account.changed", &ann.id, json!({"disabled": "false"}), 7),
        ("(command line)", "account.password_set", &ann.id, json!({}), 8),
    ];
    assert_eq!(entries.len(), expected.len(), "{page:#}");
    for (entry, (actor, action, subject, details, second)) in entries.iter().zip(expected) {
        let expected = json!({
            "id": entry["id"], "at": format!("2026-01-31T12:00:0{second}.000Z"), "actor": actor, "action": action,
            "subject": subject, "details": details,
        });
        assert_eq!(*entry, expected);
    }
}

#[tokio::test]
async fn plan_changes_by_administrators_are_recorded() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let step = async |method: Method, path: &str, body: Value| {
        app.clock.advance(TimeDelta::seconds(1));
        app.json_as(&admin, method, path, &body).await.status
    };
    let studio = json!({"name": "Studio", "thumbnails": ["small", "200"], "original": true, "max_images": 5});
    assert_eq!(step(Method::POST, "/plans", studio.clone()).await, 201);
    assert_eq!(step(Method::POST, "/plans", studio).await, 409);
    assert_eq!(step(Method::PUT, "/plans/Studio", json!({"imports": true})).await, 200);
    assert_eq!(step(Method::DELETE, "/plans/Studio", json!(null)).await, 204);
    assert_eq!(step(Method::DELETE, "/plans/Studio", json!(null)).await, 404);
    assert_eq!(step(Method::DELETE, "/plans/Basic", json!(null)).await, 409);
    let trail = trail(&app, &admin).await;
    let actions: Vec<_> = trail.iter().map(|(action, subject, _)| (action.as_str(), subject.as_str())).collect();
    assert_eq!(
        actions,
        [("plan.deleted", "Studio"), ("plan.changed", "Studio"), ("plan.created", "Studio"), ("account.created", &admin.id)]
    );
    let created = &trail[2].2;
    assert_eq!((&created["original"], &created["max_images"]), (&json!("true"), &json!("5")));
    assert_eq!(created["thumbnails"], "small, 200", "the names that the API uses");
    assert_eq!((&trail[1].2["original"], &trail[1].2["imports"]), (&json!("false"), &json!("true")));
}

#[tokio::test]
async fn a_takedown_is_recorded_and_only_administrators_restore_it() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let form = |seed| Form::upload("ann", &jpeg(60, 60, seed));
    let (public, private) = (app.post_as(&ann, form(1)).await.image_id(), form(2).text("visibility", "private"));
    let private = app.post_as(&ann, private).await.image_id();
    let send = async |by: &Login, method: Method, path: String| {
        app.clock.advance(TimeDelta::seconds(1));
        app.send(app.request_as(by, method, &path)).await
    };
    let (image, restore) = (|id: &str| format!("/images/{id}"), |id: &str| format!("/images/{id}/restore"));
    for id in [&public, &private] {
        send(&admin, Method::DELETE, image(id)).await.ok();
        assert_error(&send(&admin, Method::DELETE, image(id)).await, 410, "Gone");
        assert_error(&send(&ann, Method::DELETE, image(id)).await, 410, "Gone");
        assert_error(&send(&ann, Method::POST, restore(id)).await, 403, "Forbidden");
        let gateway = app.restore("ann", id).await;
        assert_error(&gateway, 403, "Forbidden");
        // An administrator cannot see the private image, so the response does not show it.
        let restored = send(&admin, Method::POST, restore(id)).await.status;
        assert_eq!(restored, if id == &public { 200 } else { 204 });
        assert_eq!(app.get_as(&ann, &image(id)).await.ok()["image_id"], id.as_str());
    }
    // The owner's own actions are not recorded. An administrator cannot restore an image that its owner deleted.
    send(&ann, Method::DELETE, image(&public)).await.ok();
    assert_error(&send(&admin, Method::POST, restore(&public)).await, 403, "Forbidden");
    send(&ann, Method::POST, restore(&public)).await.ok();
    let own = app.post_as(&admin, Form::upload(&admin.user_id, &jpeg(60, 60, 3))).await.image_id();
    send(&admin, Method::DELETE, image(&own)).await.ok();
    send(&admin, Method::POST, restore(&own)).await.ok();
    let mut expected = Vec::new();
    for id in [&private, &public] {
        for action in ["image.restored", "image.deleted"] {
            expected.push((action.to_owned(), id.clone(), json!({"user_id": "ann"})));
        }
    }
    let trail = trail(&app, &admin).await;
    assert_eq!(trail[..4], expected);
    assert_eq!(trail.len(), 6, "{trail:?}");
}

#[tokio::test]
async fn administrators_read_the_trail_in_pages() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    for number in 0..5 {
        app.clock.advance(TimeDelta::seconds(1));
        let change = json!({"plan": if number % 2 == 0 { "Basic" } else { "Premium" }});
        app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", ann.id), &change).await.ok();
    }
    let whole = app.get_as(&admin, "/audit?limit=100").await.ok();
    let names: Vec<&String> = whole.as_object().unwrap().keys().collect();
    assert_eq!(names, ["entries", "has_more", "next_page_token"]);
    let whole = whole["entries"].as_array().unwrap().clone();
    assert_eq!(whole.len(), 7);
    assert!(whole.is_sorted_by(|newer, older| newer["id"].as_str() > older["id"].as_str()));
    let (mut walked, mut path) = (Vec::new(), "/audit?limit=3".to_owned());
    loop {
        let page = app.get_as(&admin, &path).await.ok();
        walked.extend(page["entries"].as_array().unwrap().clone());
        assert_eq!(page["has_more"], page["next_page_token"].is_string());
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/audit?limit=3&page_token={token}");
    }
    assert_eq!(walked, whole);
    assert_error(&app.get_as(&ann, "/audit").await, 403, "Forbidden");
    assert_error(&app.get_as(&admin, "/audit?page_token=abc").await, 400, "BadRequest");
    for query in ["limit=0", "limit=101", "actor=root@example.org"] {
        assert_error(&app.get_as(&admin, &format!("/audit?{query}")).await, 422, "ValidationError");
    }
    for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
        assert_error(&app.send(app.request_as(&admin, method, "/audit")).await, 405, "MethodNotAllowed");
    }
}

#[tokio::test]
async fn changes_of_credentials_are_recorded() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key =
        app.json_as(&ann, Method::POST, "/api-keys", &json!({"scopes": ["upload", "read"], "expires_in": 3600})).await.json();
    let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
    app.json_as(&ann, Method::PUT, &path, &json!({"scopes": null, "expires_in": null})).await.ok();
    assert_eq!(app.send(app.request_as(&ann, Method::DELETE, &path)).await.status, 204);
    app.send(app.request_as(&ann, Method::DELETE, "/accounts/me/sessions/current")).await;
    let password = json!({"current_password": PASSWORD, "new_password": "another horse battery"});
    let change = app.request(Method::PUT, "/accounts/me/password").basic_auth(&ann.email, Some(PASSWORD)).json(&password);
    assert_eq!(app.send(change).await.status, 204);
    let page = app.get_as(&admin, "/audit").await.ok();
    let mut entries = page["entries"].as_array().unwrap().clone();
    entries.truncate(5);
    entries.reverse();
    let seen: Vec<(&str, &str)> =
        entries.iter().map(|entry| (entry["actor"].as_str().unwrap(), entry["action"].as_str().unwrap())).collect();
    let actions = ["api_key.created", "api_key.changed", "api_key.deleted", "session.ended", "account.password_set"];
    assert_eq!(seen, actions.map(|action| ("ann@example.org", action)));
    assert_eq!(entries[0]["details"], json!({"scopes": "read, upload", "expires_at": key["expires_at"]}));
    assert_eq!(entries[1]["details"], json!({"scopes": "all"}));
    assert_eq!(entries[2]["subject"], key["id"]);
}

#[tokio::test]
async fn failed_logins_are_recorded_once_they_are_rate_limited() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let before = trail(&app, &admin).await.len();
    let fail = async |email: &str| app.post_json("/token", &json!({"email": email, "password": "a wrong password"})).await.status;
    for _ in 0..10 {
        assert_eq!(fail(&ann.email).await, 401);
    }
    assert_eq!(trail(&app, &admin).await.len(), before, "the first failed logins are not recorded");
    assert_eq!(fail(&ann.email).await, 401);
    assert_eq!(fail(&ann.email).await, 429, "the password is not checked");
    let noted = trail(&app, &admin).await;
    assert_eq!(noted.len(), before + 1);
    assert_eq!(noted[0], ("login.failed".to_owned(), ann.id.clone(), json!({"address": "127.0.0.1"})));
    // The name is not recorded when no account has it: it may be a password.
    for _ in 0..11 {
        fail("my-secret@example.org").await;
    }
    let noted = trail(&app, &admin).await;
    assert_eq!((noted[0].0.as_str(), noted[0].1.as_str()), ("login.failed", "(no account)"));
    assert!(!format!("{noted:?}").contains("my-secret"));
}

#[tokio::test]
async fn client_addresses_are_not_recorded_if_logging_them_is_off() {
    let app = TestApp::with(&["--log-client-address=false"]).await;
    let admin = app.admin().await;
    for _ in 0..11 {
        app.post_json("/token", &json!({"email": "nobody@example.org", "password": "a wrong password"})).await;
    }
    assert_eq!(trail(&app, &admin).await[0], ("login.failed".to_owned(), "(no account)".to_owned(), json!({})));
}

#[tokio::test]
async fn reuse_of_a_refresh_token_is_recorded() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let refresh = async |token: &str| app.post_json("/token/refresh", &json!({"refresh": token})).await;
    assert_eq!(refresh(&ann.refresh).await.status, 201);
    app.clock.advance(TimeDelta::seconds(60));
    assert_eq!(refresh(&ann.refresh).await.status, 401);
    let (action, subject, details) = trail(&app, &admin).await.remove(0);
    assert_eq!((action.as_str(), &subject), ("session.token_reused", &ann.id));
    assert!(details["session_id"].is_string());
}

//! Edge cases of access control: rules that meet, and permissions that are withdrawn while they are in use.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::world::picture;
use crate::harness::{Form, Login, PASSWORD, TestApp, World, assert_error};

async fn patch_account(app: &TestApp, admin: &Login, login: &Login, change: &Value) {
    app.json_as(admin, Method::PATCH, &format!("/accounts/{}", login.id), change).await.ok();
}

async fn upload_private(app: &TestApp, login: &Login, seed: u64) -> String {
    app.post_as(login, Form::new().file(&jpeg(64, 64, seed)).text("visibility", "private")).await.image_id()
}

async fn send_as(app: &TestApp, login: &Login, method: Method, path: &str) -> crate::harness::Answer {
    app.send(app.request_as(login, method, path)).await
}

#[tokio::test]
async fn a_key_without_permission_to_delete_does_not_reveal_which_images_exist() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ann, bob) = (app.account(&admin, "ann", &json!({})).await, app.account(&admin, "bob", &json!({})).await);
    let hidden = upload_private(&app, &ann, 1).await;
    for (login, scopes) in [(&bob, json!(["read"])), (&admin, json!(["read"])), (&bob, json!([]))] {
        let key = app.key(login, &json!({"scopes": scopes})).await;
        for id in [hidden.as_str(), "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17"] {
            for (method, path) in [(Method::DELETE, format!("/images/{id}")), (Method::POST, format!("/images/{id}/restore"))] {
                assert_error(&app.send(app.request_by_key(&key, method, &path)).await, 403, "Forbidden");
            }
        }
    }
}

#[tokio::test]
async fn only_an_administrator_restores_an_image_that_was_taken_down() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let file = jpeg(64, 64, 1);
    let send = || {
        let form = Form::new().file(&file).text("visibility", "private");
        app.send(app.upload(form).bearer_auth(&ann.access).header("Idempotency-Key", "k"))
    };
    let id = send().await.image_id();
    let (path, restore) = (format!("/images/{id}"), format!("/images/{id}/restore"));
    // The owner has already deleted it.
    send_as(&app, &ann, Method::DELETE, &path).await.ok();
    send_as(&app, &admin, Method::DELETE, &path).await.ok();
    assert_error(&send_as(&app, &admin, Method::DELETE, &path).await, 410, "Gone");
    assert_error(&send_as(&app, &ann, Method::POST, &restore).await, 403, "Forbidden");
    // Repeating the upload does not return links to it either.
    assert_error(&send().await, 403, "Forbidden");
    // It is in its previous state: deleted by its owner, who can restore it.
    let restored = send_as(&app, &admin, Method::POST, &restore).await;
    assert_eq!((restored.status, restored.body.len()), (204, 0));
    assert_error(&app.get_as(&ann, &path).await, 404, "NotFound");
    assert_error(&send_as(&app, &admin, Method::POST, &restore).await, 404, "NotFound");
    app.assert_sound().await;
    send_as(&app, &ann, Method::POST, &restore).await.ok();
    // A takedown of a live image. Restoring it makes it live again, but does not show it to the administrator.
    send_as(&app, &admin, Method::DELETE, &path).await.ok();
    assert_error(&app.get_as(&ann, &path).await, 404, "NotFound");
    assert_eq!(send_as(&app, &admin, Method::POST, &restore).await.status, 204);
    assert_error(&app.get_as(&admin, &path).await, 404, "NotFound");
    assert_eq!(app.get_as(&ann, &path).await.ok()["visibility"], "private");
    let audit = app.get_as(&admin, "/audit").await.ok();
    let acts: Vec<(&Value, &Value)> =
        audit["entries"].as_array().unwrap().iter().take(2).map(|entry| (&entry["action"], &entry["subject"])).collect();
    assert_eq!(acts, [(&json!("image.restored"), &json!(id)), (&json!("image.deleted"), &json!(id))]);
    app.assert_sound().await;
}

#[tokio::test]
async fn share_links_of_a_disabled_account_are_rejected() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let id = upload_private(&app, &ann, 1).await;
    let link = app.json_as(&ann, Method::POST, &format!("/images/{id}/links"), &json!({"expires_in": 30000})).await.json();
    let view = format!("/view/{}", link["link"].as_str().unwrap().rsplit('/').next().unwrap());
    for (disabled, status) in [(false, 200), (true, 403), (false, 200)] {
        patch_account(&app, &admin, &ann, &json!({"disabled": disabled})).await;
        assert_eq!(app.get(&view).await.status, status);
    }
}

#[tokio::test]
async fn a_made_up_refresh_token_does_not_revoke_its_session() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    // Access tokens, and therefore logs of them, contain the session id. Refresh tokens cannot be looked up by it.
    let payload = admin.access.split('.').nth(1).unwrap();
    use base64::Engine;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let made_up = format!("isr_{}_{}", claims["sid"].as_str().unwrap().replace('-', ""), "A".repeat(43));
    assert_error(&app.post_json("/token/refresh", &json!({"refresh": made_up})).await, 401, "Unauthorized");
    assert_eq!(app.get_as(&admin, "/accounts/me").await.status, 200);
    assert_eq!(app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await.status, 201);
}

#[tokio::test]
async fn an_expired_access_token_does_not_prevent_login_or_refresh() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.clock.advance(TimeDelta::minutes(16));
    assert_error(&app.get_as(&admin, "/images").await, 401, "Unauthorized");
    let login = json!({"email": admin.email, "password": PASSWORD});
    assert_eq!(app.json_as(&admin, Method::POST, "/token", &login).await.status, 201);
    assert_eq!(app.json_as(&admin, Method::POST, "/token/refresh", &json!({"refresh": admin.refresh})).await.status, 201);
}

#[tokio::test]
async fn an_import_that_the_plan_no_longer_allows_fetches_nothing() {
    let world = World::new();
    world.site("pictures.test", |_, _| picture(&jpeg(64, 64, 1))).await;
    let app = TestApp::within(world.clone(), &["--import-concurrency=0"]).await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({"plan": "Premium"})).await;
    let url = "http://pictures.test/a.jpg";
    let job = app.json_as(&ann, Method::POST, "/imports", &json!({"urls": [url]})).await.json();
    app.json_as(&admin, Method::PUT, "/plans/Premium", &json!({"original": true})).await.ok();
    app.import_all().await;
    let job = app.get_as(&ann, &format!("/imports/{}", job["jobId"].as_str().unwrap())).await.ok();
    assert_eq!(job["errors"][url], "The plan of this user does not include imports.");
    assert_eq!(world.requests().len(), 0);
}

#[tokio::test]
async fn an_import_of_an_account_is_visible_only_to_its_owner() {
    let app = TestApp::with(&["--import-concurrency=0"]).await;
    let admin = app.admin().await;
    app.account(&admin, "ann", &json!({})).await;
    let order =
        |user: &str, visibility: &str| json!({"urls": ["http://pictures.test/a.jpg"], "user_id": user, "visibility": visibility});
    for (user, visibility, anonymous_status) in [("bob", "public", 200), ("bob", "private", 404), ("ann", "public", 404)] {
        let job = app.post_json("/imports", &order(user, visibility)).await.json();
        let path = format!("/imports/{}", job["jobId"].as_str().unwrap());
        assert_eq!(app.get(&path).await.status, anonymous_status, "{user} {visibility}");
        assert_eq!(app.by(user, Method::GET, &path).await.status, 200);
        assert_eq!(app.by("eve", Method::GET, &path).await.status, 404);
    }
}

#[tokio::test]
async fn an_api_key_of_an_administrator_cannot_create_or_promote_accounts() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let new = json!({"email": "eve@example.org", "password": PASSWORD, "admin": true});
    for scopes in [json!(["admin"]), Value::Null] {
        let key = app.key(&admin, &json!({"scopes": scopes})).await;
        let made = app.send(app.request_by_key(&key, Method::POST, "/accounts").json(&new)).await;
        assert_error(&made, 403, "Forbidden");
        let path = format!("/accounts/{}", ann.id);
        let promoted = app.send(app.request_by_key(&key, Method::PATCH, &path).json(&json!({"admin": true}))).await;
        assert_error(&promoted, 403, "Forbidden");
        app.send(app.request_by_key(&key, Method::PATCH, &path).json(&json!({"plan": "Basic"}))).await.ok();
    }
    assert_eq!(app.json_as(&admin, Method::POST, "/accounts", &new).await.status, 201);
}

#[tokio::test]
async fn two_administrators_cannot_disable_each_other_concurrently() {
    let app = TestApp::start().await;
    let root = app.admin().await;
    let other = app.account(&root, "other", &json!({"admin": true})).await;
    let (path_of_root, path_of_other) = (format!("/accounts/{}", root.id), format!("/accounts/{}", other.id));
    let disable = json!({"disabled": true});
    let answers = join_all([
        app.json_as(&root, Method::PATCH, &path_of_other, &disable),
        app.json_as(&other, Method::PATCH, &path_of_root, &disable),
    ])
    .await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(done, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| [200, 401, 403].contains(&answer.status)));
}

#[tokio::test]
async fn a_plan_is_either_assigned_or_deleted_when_both_happen_concurrently() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let (account, plan) = (format!("/accounts/{}", ann.id), "/plans/Brief");
    for _ in 0..8 {
        assert_eq!(app.json_as(&admin, Method::POST, "/plans", &json!({"name": "Brief"})).await.status, 201);
        let give = json!({"plan": "Brief"});
        let (given, gone) = tokio::join!(app.json_as(&admin, Method::PATCH, &account, &give), async {
            send_as(&app, &admin, Method::DELETE, plan).await
        },);
        match (given.status, gone.status) {
            (200, 409) => patch_account(&app, &admin, &ann, &json!({"plan": null})).await,
            (422, 204) => continue,
            other => panic!("{other:?}: {} {}", given.text(), gone.text()),
        }
        assert_eq!(send_as(&app, &admin, Method::DELETE, plan).await.status, 204);
    }
}

#[tokio::test]
async fn concurrent_changes_do_not_undo_narrowed_scopes() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for number in 0..6 {
        let made = app.json_as(&admin, Method::POST, "/api-keys", &json!({"description": format!("{number}")})).await.json();
        let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
        let (narrow, rename) = (json!({"scopes": ["read"]}), json!({"description": "other"}));
        let (one, two) =
            tokio::join!(app.json_as(&admin, Method::PUT, &path, &narrow), app.json_as(&admin, Method::PUT, &path, &rename));
        assert_eq!((one.status, two.status), (200, 200));
        let key = app.get_as(&admin, &path).await.ok();
        assert_eq!((&key["scopes"], &key["description"]), (&json!(["read"]), &json!("other")));
    }
}

#[tokio::test]
async fn authenticated_image_responses_are_not_cached() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(64, 64, 1))).await.image_id();
    for path in ["/images".to_owned(), format!("/images/{id}"), "/images/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17".to_owned()] {
        assert_eq!(app.get(&path).await.header("cache-control"), "no-cache", "{path}");
        assert_eq!(app.by("alice", Method::GET, &path).await.header("cache-control"), "private, no-store", "{path}");
    }
}

//! Scopes of API keys: what they prevent.

use reqwest::Method;
use serde_json::json;

use super::api_keys::{by_key, create, text};
use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

#[tokio::test]
async fn a_key_with_scopes_cannot_manage_keys_or_widen_its_scopes() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for scopes in [json!([]), json!(["read"]), json!(["upload"]), json!(["admin"]), json!(["read", "upload", "admin"])] {
        let made = create(&app, &admin, &json!({"scopes": scopes})).await;
        let (key, path) = (text(&made, "key"), format!("/api-keys/{}", text(&made, "id")));
        for (method, path, body) in [
            (Method::POST, "/api-keys", json!({})),
            (Method::POST, "/api-keys", json!({"scopes": scopes})),
            (Method::POST, "/api-keys", json!({"scopes": []})),
            (Method::PUT, &path, json!({"scopes": null})),
            (Method::PUT, &path, json!({"scopes": ["read", "upload", "admin"]})),
            (Method::PUT, &path, json!({"description": "other"})),
            (Method::PUT, "/api-keys/nonsense", json!({})),
            (Method::DELETE, &path, json!({})),
        ] {
            assert_error(&by_key(&app, key, method, path, &body).await, 403, "Forbidden");
        }
        let seen = by_key(&app, key, Method::GET, &path, &json!(null)).await;
        let reads = scopes.as_array().unwrap().contains(&json!("read"));
        assert_eq!(seen.status, if reads { 200 } else { 403 }, "{scopes}");
        assert_eq!(app.get_as(&admin, &path).await.ok()["scopes"], scopes, "{scopes}");
    }
    assert_eq!(app.get_as(&admin, "/api-keys").await.ok()["api_keys"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn scopes_limit_what_a_key_may_do() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let private = Form::upload(&admin.user_id, &jpeg(60, 60, 1)).text("visibility", "private");
    let id = app.post_as(&admin, private).await.image_id();
    let path = format!("/images/{id}");
    for (scopes, read, upload, admin_too) in [
        (json!(null), true, true, true),
        (json!(["read", "upload", "admin"]), true, true, true),
        (json!([]), false, false, false),
        (json!(["read"]), true, false, false),
        (json!(["upload"]), false, true, false),
        (json!(["admin"]), false, false, true),
    ] {
        let key = app.key(&admin, &json!({"scopes": scopes})).await;
        let expect = |may: bool, status: u16| if may { status } else { 403 };
        let plans = by_key(&app, &key, Method::GET, "/plans", &json!(null)).await;
        assert_eq!(plans.status, expect(read || admin_too, 200), "{scopes}");
        for path in [path.as_str(), "/images", "/accounts/me", "/api-keys"] {
            let answer = by_key(&app, &key, Method::GET, path, &json!(null)).await;
            assert_eq!(answer.status, expect(read, 200), "{scopes} {path}: {}", answer.text());
        }
        let patched = by_key(&app, &key, Method::PATCH, &path, &json!({"title": "t"})).await;
        assert_eq!(patched.status, expect(upload, 200), "{scopes}: {}", patched.text());
        let form = Form::new().file(&jpeg(60, 60, 2));
        let uploaded = app.send(app.upload(form).basic_auth("", Some(&key))).await;
        assert_eq!(uploaded.status, expect(upload, 200), "{scopes}: {}", uploaded.text());
        for path in ["/accounts", "/audit", &format!("/accounts/{}", ann.id)] {
            let answer = by_key(&app, &key, Method::GET, path, &json!(null)).await;
            assert_eq!(answer.status, expect(admin_too, 200), "{scopes} {path}: {}", answer.text());
        }
        let change = json!({"plan": "Basic"});
        let changed = by_key(&app, &key, Method::PATCH, &format!("/accounts/{}", ann.id), &change).await;
        assert_eq!(changed.status, expect(admin_too, 200), "{scopes}: {}", changed.text());
    }
    // The scope does not make the caller an administrator.
    let key = app.key(&ann, &json!({"scopes": ["admin"]})).await;
    assert_error(&by_key(&app, &key, Method::GET, "/accounts", &json!(null)).await, 403, "Forbidden");
}

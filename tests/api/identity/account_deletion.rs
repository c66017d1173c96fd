//! Deleted accounts: what is deleted with an account, and which accounts cannot be deleted.

use reqwest::Method;
use serde_json::json;

use super::accounts::patch;
use crate::harness::pictures::jpeg;
use crate::harness::{Form, Login, TestApp, assert_error};

#[tokio::test]
async fn deleting_a_disabled_account_keeps_its_images() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    let form = Form::upload("ann", &jpeg(60, 60, 1)).text("visibility", "private");
    let id = app.post_as(&ann, form).await.image_id();
    let link = app.json_as(&ann, Method::POST, &format!("/images/{id}/links"), &json!({"expires_in": 3000})).await.json();
    let link = reqwest::Url::parse(link["link"].as_str().expect("a link")).unwrap().path().to_owned();
    assert_eq!(app.get(&link).await.status, 200);
    assert_eq!(app.json_as(&ann, Method::POST, "/collections", &json!({"name": "best"})).await.status, 201);
    let path = format!("/accounts/{}", ann.id);
    let delete = async |by: &Login, query: &str| app.send(app.request_as(by, Method::DELETE, &format!("{path}{query}"))).await;

    assert_error(&delete(&admin, "?keep_images=true").await, 409, "Conflict");
    patch(&app, &admin, &ann.id, &json!({"disabled": true})).await.ok();
    let refused = delete(&admin, "").await;
    assert_error(&refused, 409, "Conflict");
    assert!(refused.text().contains("has 1 image, and 0 in the trash"), "{}", refused.text());
    assert_eq!(app.get_as(&admin, &path).await.ok()["disabled"], true);
    assert_error(&delete(&admin, "?keep_images=2").await, 422, "ValidationError");

    assert_eq!(delete(&admin, "?keep_images=true").await.status, 204);
    assert_error(&delete(&admin, "?keep_images=true").await, 404, "NotFound");
    assert_error(&app.get_as(&admin, &path).await, 404, "NotFound");
    assert_error(&app.get_as(&ann, "/accounts/me").await, 401, "Unauthorized");
    assert_error(&app.post_json("/token/refresh", &json!({"refresh": ann.refresh})).await, 401, "Unauthorized");
    assert_error(&app.send(app.request(Method::GET, "/accounts/me").bearer_auth(&key)).await, 401, "Unauthorized");
    // The expiring link and the user stay locked.
    assert_error(&app.get(&link).await, 403, "Forbidden");
    let upload = app.upload(Form::upload("ann", &jpeg(60, 60, 2)));
    assert_error(&app.send(upload.header("X-User-Id", "ann")).await, 403, "Forbidden");
    let listed = app.get_as(&admin, "/accounts").await.ok();
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1);
    app.assert_sound().await;

    // A new account for the same user owns what the old one left.
    let again = app.account(&admin, "ann", &json!({})).await;
    assert_ne!(again.id, ann.id);
    assert_eq!(app.get_as(&again, "/accounts/me").await.ok()["usage"]["images"], 1);
    assert_eq!(app.get_as(&again, "/collections").await.ok()["collections"][0]["name"], "best");
    assert_eq!(app.send(app.request_as(&again, Method::DELETE, &format!("/images/{id}"))).await.status, 200);

    let path = format!("/accounts/{}", again.id);
    patch(&app, &admin, &again.id, &json!({"disabled": true})).await.ok();
    let refused = app.send(app.request_as(&admin, Method::DELETE, &path)).await;
    assert_error(&refused, 409, "Conflict");
    assert!(refused.text().contains("has 0 images, and 1 in the trash"), "{}", refused.text());
    // After a takedown, the owner cannot restore it, so the account can be deleted.
    assert_eq!(app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{id}"))).await.status, 200);
    assert_eq!(app.send(app.request_as(&admin, Method::DELETE, &path)).await.status, 204);
    assert_error(&app.get_as(&admin, "/c/best").await, 404, "NotFound");
    app.sweep_all().await;
    app.assert_sound().await;
    let entries = app.get_as(&admin, "/audit").await.ok();
    let deleted = &entries["entries"][0];
    assert_eq!((&deleted["action"], &deleted["subject"]), (&json!("account.deleted"), &json!(again.id)));
    assert_eq!(deleted["details"], json!({"user_id": "ann", "images": "0"}));
}

#[tokio::test]
async fn the_plan_of_a_deleted_account_can_be_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let plan = json!({"name": "Ten", "max_images": 10});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let ann = app.account(&admin, "ann", &json!({"plan": "Ten"})).await;
    let delete = async |path: &str| app.send(app.request_as(&admin, Method::DELETE, path)).await;
    assert_error(&delete("/plans/Ten").await, 409, "Conflict");
    patch(&app, &admin, &ann.id, &json!({"disabled": true})).await.ok();
    assert_eq!(delete(&format!("/accounts/{}", ann.id)).await.status, 204);
    assert_eq!(delete("/plans/Ten").await.status, 204);
    // The user is still locked out.
    let upload = app.upload(Form::upload("ann", &jpeg(60, 60, 1)));
    assert_error(&app.send(upload.header("X-User-Id", "ann")).await, 403, "Forbidden");
}

#[tokio::test]
async fn the_last_administrator_cannot_be_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    assert_error(&app.send(app.request_as(&admin, Method::DELETE, &format!("/accounts/{}", admin.id))).await, 409, "Conflict");
    assert_eq!(app.get_as(&admin, "/accounts/me").await.ok()["admin"], true);
}

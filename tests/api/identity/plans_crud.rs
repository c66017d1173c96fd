//! Plan management: the built-in plans, and the plans that administrators create, change and delete.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Login, TestApp, assert_error};

async fn create(app: &TestApp, by: &Login, body: &Value) -> Answer {
    app.json_as(by, Method::POST, "/plans", body).await
}

async fn delete(app: &TestApp, by: &Login, name: &str) -> Answer {
    app.send(app.request_as(by, Method::DELETE, &format!("/plans/{name}"))).await
}

fn fields(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

/// Returns a plan without any features except these fields.
fn plan(name: &str, gives: &Value) -> Value {
    let mut plan = json!({
        "name": name, "built_in": false, "thumbnails": [], "original": false, "expiring_links": false,
        "custom_sizes": false, "imports": false, "max_bytes": null, "max_images": null,
    });
    plan.as_object_mut().unwrap().extend(gives.as_object().expect("fields").clone());
    plan
}

fn built_in() -> [Value; 3] {
    [
        plan("Basic", &json!({"built_in": true, "thumbnails": ["small", "200"], "imports": true})),
        plan(
            "Enterprise",
            &json!({
                "built_in": true, "thumbnails": ["small", "medium", "200", "400"], "original": true,
                "expiring_links": true, "imports": true,
            }),
        ),
        plan(
            "Premium",
            &json!({"built_in": true, "thumbnails": ["small", "medium", "200", "400"], "original": true, "imports": true}),
        ),
    ]
}

#[tokio::test]
async fn there_are_three_built_in_plans() {
    let mut app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    assert_eq!(app.get_as(&ann, "/plans").await.ok(), json!({"plans": built_in()}));
    for plan in built_in() {
        let path = format!("/plans/{}", plan["name"].as_str().unwrap());
        assert_eq!(app.get_as(&admin, &path).await.ok(), plan);
        assert_eq!(app.get_with(&path, "X-User-Id", "bob").await.ok(), plan, "any authenticated caller can read plans");
        assert_error(&app.get(&path).await, 401, "Unauthorized");
    }
    assert_error(&app.get("/plans").await, 401, "Unauthorized");
    for name in ["Nonesuch", "basic", "a%20b", "%00", &"a".repeat(65)] {
        assert_error(&app.get_as(&ann, &format!("/plans/{name}")).await, 404, "NotFound");
    }
    assert_error(&app.get_as(&ann, "/plans?limit=1").await, 422, "ValidationError");
    app.restart().await;
    assert_eq!(app.get_as(&ann, "/plans").await.ok(), json!({"plans": built_in()}));
}

#[tokio::test]
async fn a_plan_can_be_created_changed_and_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let all = json!({
        "thumbnails": ["medium", "small", "16", "2000", "small"], "original": true, "expiring_links": true,
        "custom_sizes": true, "imports": true, "max_bytes": 1_000_000_000_000_000_u64, "max_images": 1_000_000_000_000_u64,
    });
    let mut body = all.clone();
    body["name"] = json!("Studio_1-b");
    let made = create(&app, &admin, &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let mut expected = plan("Studio_1-b", &all);
    expected["thumbnails"] = json!(["medium", "small", "16", "2000"]);
    assert_eq!(made.json(), expected);
    assert_eq!(app.get_as(&admin, "/plans/Studio_1-b").await.ok(), expected);
    // Absent features are not included.
    let made = create(&app, &admin, &json!({"name": "Nothing"})).await;
    assert_eq!((made.status, made.json()), (201, plan("Nothing", &json!({}))));
    let listed = app.get_as(&admin, "/plans").await.ok();
    let names: Vec<&str> = listed["plans"].as_array().unwrap().iter().map(|plan| plan["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Basic", "Enterprise", "Nothing", "Premium", "Studio_1-b"]);
    // An update replaces all features of a plan.
    for (body, gives) in [
        (json!({"max_images": 0, "max_bytes": 0}), json!({"max_images": 0, "max_bytes": 0})),
        (json!({"original": true, "max_images": null}), json!({"original": true})),
        (json!({"thumbnails": []}), json!({})),
        (json!({}), json!({})),
    ] {
        let changed = app.json_as(&admin, Method::PUT, "/plans/Studio_1-b", &body).await.ok();
        assert_eq!(changed, plan("Studio_1-b", &gives), "{body}");
        assert_eq!(app.get_as(&admin, "/plans/Studio_1-b").await.ok(), changed);
    }
    let deleted = delete(&app, &admin, "Studio_1-b").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_error(&delete(&app, &admin, "Studio_1-b").await, 404, "NotFound");
    for method in [Method::GET, Method::PUT] {
        assert_error(&app.json_as(&admin, method, "/plans/Studio_1-b", &json!({})).await, 404, "NotFound");
    }
    assert_eq!(create(&app, &admin, &json!({"name": "Studio_1-b"})).await.status, 201, "the name is free again");
}

#[tokio::test]
async fn every_invalid_field_of_a_plan_is_reported() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let many: Vec<String> = (100..111).map(|height| height.to_string()).collect();
    let everything = json!({
        "thumbnails": "small", "original": 1, "expiring_links": "yes", "custom_sizes": null, "imports": [],
        "max_bytes": -1, "max_images": 1.5, "price": 10,
    });
    let all = ["custom_sizes", "expiring_links", "imports", "max_bytes", "max_images", "original", "price", "thumbnails"];
    for (gives, broken) in [
        (everything, &all[..]),
        (json!({"thumbnails": ["large"]}), &["thumbnails"]),
        (json!({"thumbnails": [200]}), &["thumbnails"]),
        (json!({"thumbnails": ["15"]}), &["thumbnails"]),
        (json!({"thumbnails": ["2001"]}), &["thumbnails"]),
        (json!({"thumbnails": ["0200"]}), &["thumbnails"]),
        (json!({"thumbnails": ["+200"]}), &["thumbnails"]),
        (json!({"thumbnails": ["h200"]}), &["thumbnails"]),
        (json!({"thumbnails": null}), &["thumbnails"]),
        (json!({"thumbnails": many}), &["thumbnails"]),
        (json!({"max_bytes": 1_000_000_000_000_001_u64}), &["max_bytes"]),
        (json!({"max_images": 1_000_000_000_001_u64}), &["max_images"]),
        (json!({"max_images": "5"}), &["max_images"]),
        (json!({"built_in": true}), &["built_in"]),
        (json!({"expiring_links": true}), &["expiring_links"]),
        (json!({"expiring_links": true, "original": false}), &["expiring_links"]),
    ] {
        let mut body = gives.clone();
        body["name"] = json!("Studio");
        let details = assert_error(&create(&app, &admin, &body).await, 422, "ValidationError");
        assert_eq!(fields(&details), broken, "{gives}");
        let details = assert_error(&app.json_as(&admin, Method::PUT, "/plans/Premium", &gives).await, 422, "ValidationError");
        assert_eq!(fields(&details), broken, "{gives}");
    }
    for name in [json!(""), json!("a b"), json!("ü"), json!("a/b"), json!("a".repeat(65)), json!(1), json!(null), json!("a\0")] {
        let details = assert_error(&create(&app, &admin, &json!({"name": name, "a": 1})).await, 422, "ValidationError");
        assert_eq!(fields(&details), ["a", "name"], "{name}");
    }
    let details = assert_error(&create(&app, &admin, &json!({})).await, 422, "ValidationError");
    assert_eq!(fields(&details), ["name"]);
    // A plan cannot be renamed.
    let details =
        assert_error(&app.json_as(&admin, Method::PUT, "/plans/Basic", &json!({"name": "Other"})).await, 422, "ValidationError");
    assert_eq!(fields(&details), ["name"]);
    assert_eq!(app.get_as(&admin, "/plans").await.ok(), json!({"plans": built_in()}));
}

#[tokio::test]
async fn plan_names_are_unique_and_plans_in_use_cannot_be_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    assert_eq!(create(&app, &admin, &json!({"name": "Studio", "original": true})).await.status, 201);
    for name in ["Studio", "Basic"] {
        let taken = create(&app, &admin, &json!({"name": name})).await;
        assert_error(&taken, 409, "Conflict");
        assert_eq!(taken.json()["message"], format!("There is already a plan named \"{name}\"."));
    }
    assert_eq!(create(&app, &admin, &json!({"name": "studio"})).await.status, 201, "names are case-sensitive");
    for name in ["Basic", "Premium", "Enterprise"] {
        assert_error(&delete(&app, &admin, name).await, 409, "Conflict");
    }
    let ann = app.account(&admin, "ann", &json!({"plan": "Studio"})).await;
    assert_error(&delete(&app, &admin, "Studio").await, 409, "Conflict");
    let path = format!("/accounts/{}", ann.id);
    app.json_as(&admin, Method::PATCH, &path, &json!({"disabled": true})).await.ok();
    assert_error(&delete(&app, &admin, "Studio").await, 409, "Conflict");
    app.json_as(&admin, Method::PATCH, &path, &json!({"plan": "studio", "disabled": false})).await.ok();
    assert_eq!(delete(&app, &admin, "Studio").await.status, 204);
    assert_error(&delete(&app, &admin, "studio").await, 409, "Conflict");
    // Built-in plans can be changed, and the change survives a restart.
    let changed = app.json_as(&admin, Method::PUT, "/plans/Basic", &json!({"original": true})).await.ok();
    assert_eq!(changed, plan("Basic", &json!({"built_in": true, "original": true})));
    let mut app = app;
    app.restart().await;
    assert_eq!(app.get_as(&admin, "/plans/Basic").await.ok(), changed);
}

#[tokio::test]
async fn a_changed_plan_applies_immediately_to_all_its_accounts() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({"plan": "Premium"})).await;
    let before = app.get_as(&ann, "/accounts/me").await.ok();
    assert_eq!((&before["features"], &before["usage"]["images_left"]), (&built_in()[2], &Value::Null));
    app.json_as(&admin, Method::PUT, "/plans/Premium", &json!({"max_images": 7})).await.ok();
    let after = app.get_as(&ann, "/accounts/me").await.ok();
    assert_eq!((&after["features"]["max_images"], &after["usage"]["images_left"]), (&json!(7), &json!(7)));
    assert_eq!(after["features"]["original"], false);
}

#[tokio::test]
async fn only_administrators_can_manage_plans() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let read = app.key(&admin, &json!({"scopes": ["read", "upload"]})).await;
    for (method, path) in [
        (Method::POST, "/plans"),
        (Method::PUT, "/plans/Basic"),
        (Method::DELETE, "/plans/Basic"),
        (Method::PUT, "/plans/a%20b"),
        (Method::DELETE, "/plans/Nonesuch"),
    ] {
        let body = json!({"original": "broken"});
        assert_error(&app.json_as(&ann, method.clone(), path, &body).await, 403, "Forbidden");
        assert_error(&app.send(app.request_by_key(&read, method.clone(), path).json(&body)).await, 403, "Forbidden");
        assert_error(&app.send(app.request(method.clone(), path).json(&body)).await, 401, "Unauthorized");
        assert_error(&app.by(&admin.user_id, method, path).await, 401, "Unauthorized");
    }
    assert_eq!(app.get_as(&ann, "/plans").await.ok(), json!({"plans": built_in()}));
}

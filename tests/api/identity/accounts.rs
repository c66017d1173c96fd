//! Accounts: created, listed and changed by administrators, shown to their owners.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, Login, PASSWORD, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

async fn create(app: &TestApp, by: &Login, body: &Value) -> Answer {
    app.json_as(by, Method::POST, "/accounts", body).await
}

/// Creates an account and returns it.
async fn create_account(app: &TestApp, by: &Login, body: &Value) -> Value {
    let answer = create(app, by, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

pub async fn patch(app: &TestApp, by: &Login, id: &str, change: &Value) -> Answer {
    app.json_as(by, Method::PATCH, &format!("/accounts/{id}"), change).await
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_new_account_has_the_requested_fields() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let admin = app.admin().await;
    let account = create_account(&app, &admin, &json!({"email": "Ann@Example.org", "password": PASSWORD})).await;
    let id = account["id"].as_str().expect("an id");
    let expected = json!({
        "id": id, "email": "ann@example.org", "user_id": id, "plan": "Basic", "admin": false, "disabled": false,
        "created_at": "2026-01-31T12:00:00.000Z", "updated_at": "2026-01-31T12:00:00.000Z",
    });
    assert_eq!(account, expected);
    for (fields, shown) in [
        (json!({"plan": null, "user_id": null}), json!({"plan": null})),
        (json!({"plan": "Premium", "admin": true}), json!({"plan": "Premium", "admin": true})),
        (json!({"user_id": "Shop.1:a@b_c-d", "admin": false}), json!({"user_id": "Shop.1:a@b_c-d", "plan": "Basic"})),
    ] {
        let mut body = json!({"email": format!("{}@example.org", fields.to_string().len()), "password": PASSWORD});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let account = create_account(&app, &admin, &body).await;
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(account[name], *value, "{fields}");
        }
        if shown["user_id"].is_null() {
            assert_eq!(account["user_id"], account["id"], "{fields}");
        }
        assert_eq!(
            app.get_as(&admin, &format!("/accounts/{}", account["id"].as_str().unwrap())).await.ok()["email"],
            body["email"]
        );
    }
}

#[tokio::test]
async fn every_invalid_field_of_a_new_account_is_reported() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let good = json!({"email": "ann@example.org", "password": PASSWORD});
    let long = format!("{}@example.org", "a".repeat(243));
    for (fields, broken) in [
        (
            json!({"email": 1, "password": 2, "user_id": 3, "plan": 4, "admin": 5, "id": 6}),
            &["admin", "email", "id", "password", "plan", "user_id"][..],
        ),
        (
            json!({"email": "ann", "password": "short", "user_id": "a b", "plan": "a b", "admin": "yes"}),
            &["admin", "email", "password", "plan", "user_id"],
        ),
        (json!({"email": null, "password": null, "admin": null}), &["admin", "email", "password"]),
        (json!({"email": ""}), &["email"]),
        (json!({"email": "a@b@c"}), &["email"]),
        (json!({"email": "a:b@c"}), &["email"]),
        (json!({"email": "a b@c"}), &["email"]),
        (json!({"email": "a\0@b"}), &["email"]),
        (json!({"email": long}), &["email"]),
        (json!({"user_id": ""}), &["user_id"]),
        (json!({"user_id": "ü"}), &["user_id"]),
        (json!({"user_id": "a".repeat(256)}), &["user_id"]),
        (json!({"plan": ""}), &["plan"]),
        (json!({"plan": "a".repeat(65)}), &["plan"]),
        (json!({"plan": "Nonesuch"}), &["plan"]),
        (json!({"plan": "basic"}), &["plan"]),
        (json!({"disabled": true}), &["disabled"]),
    ] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let details = assert_error(&create(&app, &admin, &body).await, 422, "ValidationError");
        assert_eq!(names(&details), broken, "{fields}");
    }
    let mut unplanned = good.clone();
    unplanned["plan"] = json!("Nonesuch");
    let answer = create(&app, &admin, &unplanned).await;
    assert_eq!(answer.json()["message"], "plan must be the name of an existing plan.");
    let details = assert_error(&create(&app, &admin, &json!({})).await, 422, "ValidationError");
    assert_eq!(names(&details), ["email", "password"]);
    assert_error(&create(&app, &admin, &json!([])).await, 422, "ValidationError");
    create_account(&app, &admin, &good).await;
}

#[tokio::test]
async fn an_email_address_or_a_user_id_has_only_one_account() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    create_account(&app, &admin, &json!({"email": "ann@example.org", "password": PASSWORD, "user_id": "ann"})).await;
    for taken in [
        json!({"email": "ann@example.org", "password": PASSWORD}),
        json!({"email": "ANN@Example.org", "password": PASSWORD, "user_id": "other"}),
        json!({"email": "other@example.org", "password": PASSWORD, "user_id": "ann"}),
        json!({"email": "other@example.org", "password": PASSWORD, "user_id": admin.id}),
    ] {
        assert_error(&create(&app, &admin, &taken).await, 409, "Conflict");
    }
    // User ids are case-sensitive.
    create_account(&app, &admin, &json!({"email": "other@example.org", "password": PASSWORD, "user_id": "Ann"})).await;
    let body = json!({"email": "bob@example.org", "password": PASSWORD});
    let mut statuses: Vec<u16> =
        join_all((0..4).map(|_| create(&app, &admin, &body))).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
}

#[tokio::test]
async fn an_account_owns_the_images_that_its_user_uploaded_before() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let mut bytes = 0;
    let mut ids = Vec::new();
    for (seed, visibility) in [(1, "public"), (2, "private"), (3, "public")] {
        let form = Form::upload("ann", &jpeg(60, 60, seed)).text("visibility", visibility);
        let image = app.send(app.upload(form).header("X-User-Id", "ann")).await.image();
        bytes += image["file_size"].as_u64().unwrap();
        ids.push(image["image_id"].as_str().unwrap().to_owned());
    }
    app.post(Form::upload("bob", &jpeg(60, 60, 4))).await.image_id();
    let plan = json!({"name": "Ten", "original": true, "max_images": 10, "max_bytes": 1_000_000});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let ann = app.account(&admin, "ann", &json!({"plan": "Ten"})).await;
    let usage = |images: u64, bytes: u64, trash_images: u64, trash_bytes: u64| {
        json!({
            "images": images, "bytes": bytes, "images_left": 10 - images, "bytes_left": 1_000_000 - bytes,
            "trash_images": trash_images, "trash_bytes": trash_bytes, "variant_bytes": 0,
        })
    };
    assert_eq!(app.get_as(&ann, "/accounts/me").await.ok()["usage"], usage(3, bytes, 0, 0));
    assert_eq!(app.get_as(&ann, &format!("/images/{}", ids[1])).await.ok()["visibility"], "private");
    assert_error(&app.get(&format!("/images/{}", ids[1])).await, 404, "NotFound");
    let deleted = app.send(app.request_as(&ann, Method::DELETE, &format!("/images/{}", ids[0]))).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let size = app.get_as(&ann, "/accounts/me").await.ok()["usage"]["bytes"].as_u64().unwrap();
    assert!(size < bytes);
    assert_eq!(app.get_as(&admin, &format!("/accounts/{}", ann.id)).await.ok()["usage"], usage(2, size, 1, bytes - size));
    assert_eq!(
        app.get_as(&admin, "/accounts/me").await.ok()["usage"],
        json!({"images": 0, "bytes": 0, "images_left": null, "bytes_left": null, "trash_images": 0, "trash_bytes": 0, "variant_bytes": 0})
    );
}

#[tokio::test]
async fn accounts_are_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let mut expected = vec![admin.id.clone()];
    for number in 0..4 {
        app.clock.advance(chrono::TimeDelta::seconds(1));
        let body = json!({"email": format!("{number}@example.org"), "password": PASSWORD});
        expected.insert(0, create_account(&app, &admin, &body).await["id"].as_str().unwrap().to_owned());
    }
    let whole = app.get_as(&admin, "/accounts").await.ok();
    assert_eq!(names(&whole), ["accounts", "has_more", "next_page_token"]);
    assert_eq!((&whole["has_more"], &whole["next_page_token"]), (&json!(false), &Value::Null));
    let ids = |page: &Value| -> Vec<String> {
        page["accounts"].as_array().unwrap().iter().map(|account| account["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&whole), expected);
    assert_eq!(whole["accounts"][0], app.get_as(&admin, "/accounts?limit=1").await.ok()["accounts"][0]);
    assert!(!whole.to_string().contains("argon2") && !whole.to_string().contains("password"));
    let (mut walked, mut path) = (Vec::new(), "/accounts?limit=2".to_owned());
    loop {
        let page = app.get_as(&admin, &path).await.ok();
        walked.extend(ids(&page));
        let Some(token) = page["next_page_token"].as_str() else { break };
        assert_eq!((page["has_more"].as_bool(), ids(&page).len()), (Some(true), 2));
        path = format!("/accounts?limit=2&page_token={token}");
    }
    assert_eq!(walked, expected);
    // A page token is valid only for its own list.
    let token = app.get_as(&admin, "/accounts?limit=1").await.ok()["next_page_token"].as_str().unwrap().to_owned();
    for path in
        [format!("/audit?page_token={token}"), format!("/accounts?page_token={token}x"), "/accounts?page_token=x".to_owned()]
    {
        assert_error(&app.get_as(&admin, &path).await, 400, "BadRequest");
    }
    for query in ["limit=0", "limit=101", "limit=x", "email=a"] {
        assert_error(&app.get_as(&admin, &format!("/accounts?{query}")).await, 422, "ValidationError");
    }
}

#[tokio::test]
async fn an_account_is_shown_to_its_owner_and_to_administrators() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ann, bob) =
        (app.account(&admin, "ann", &json!({"plan": "Premium"})).await, app.account(&admin, "bob", &json!({})).await);
    let path = format!("/accounts/{}", ann.id);
    let me = app.get_as(&ann, "/accounts/me").await.ok();
    let fields = ["admin", "created_at", "disabled", "email", "features", "id", "plan", "updated_at", "usage", "user_id"];
    assert_eq!(names(&me), fields);
    assert_eq!(app.get_as(&admin, &path).await.ok(), me);
    assert_eq!((&me["plan"], &me["email"], &me["user_id"]), (&json!("Premium"), &json!(ann.email), &json!(ann.user_id)));
    assert_eq!(me["features"], app.get_as(&ann, "/plans/Premium").await.ok());
    assert_eq!(app.get_as(&bob, "/accounts/me").await.ok()["features"], Value::Null);
    for by in [&ann, &bob] {
        for (method, path) in [
            (Method::GET, path.as_str()),
            (Method::GET, "/accounts"),
            (Method::GET, "/accounts/nonsense"),
            (Method::POST, "/accounts"),
            (Method::PATCH, &path),
            (Method::PATCH, "/accounts/nonsense"),
        ] {
            assert_error(&app.json_as(by, method.clone(), path, &json!({"admin": true})).await, 403, "Forbidden");
        }
    }
    // A gateway's `X-User-Id` neither makes a caller an administrator nor shows an account.
    for path in [path.as_str(), "/accounts", "/accounts/me", "/audit", "/api-keys"] {
        assert_error(&app.get(path).await, 401, "Unauthorized");
        assert_error(&app.get_with(path, "X-User-Id", &admin.user_id).await, 401, "Unauthorized");
    }
    for id in [UNKNOWN_ID, "nonsense", &ann.id.replace('-', ""), &ann.user_id] {
        assert_error(&app.get_as(&admin, &format!("/accounts/{id}")).await, 404, "NotFound");
        assert_error(&patch(&app, &admin, id, &json!({"disabled": true})).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn a_change_sets_only_the_named_fields() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let path = format!("/accounts/{}", ann.id);
    let mut expected = app.get_as(&admin, &path).await.ok();
    for (minute, change, shown) in [
        (1, json!({"plan": "Premium"}), json!({"plan": "Premium"})),
        (2, json!({"disabled": true}), json!({"disabled": true})),
        (3, json!({"plan": null, "disabled": false}), json!({"plan": null, "disabled": false})),
        (
            4,
            json!({"plan": "Enterprise", "disabled": true, "admin": true}),
            json!({"plan": "Enterprise", "disabled": true, "admin": true}),
        ),
        (5, json!({"admin": false, "disabled": false}), json!({"admin": false, "disabled": false})),
    ] {
        app.clock.stop_at(&format!("2026-01-31T12:0{minute}:00Z"));
        let changed = patch(&app, &admin, &ann.id, &change).await.ok();
        expected.as_object_mut().unwrap().extend(shown.as_object().unwrap().clone());
        expected["updated_at"] = json!(format!("2026-01-31T12:0{minute}:00.000Z"));
        expected["features"] = changed["features"].clone();
        assert_eq!(changed, expected, "{change}");
        assert_eq!(app.get_as(&admin, &path).await.ok(), expected, "{change}");
        assert_eq!(expected["features"]["name"], expected["plan"], "{change}");
        // A change without effect leaves `updated_at` unchanged.
        app.clock.stop_at(&format!("2026-01-31T12:0{minute}:30Z"));
        assert_eq!(patch(&app, &admin, &ann.id, &change).await.ok(), expected, "{change}");
        assert_eq!(patch(&app, &admin, &ann.id, &json!({})).await.ok(), expected);
    }
    for (change, broken) in [
        (json!({"plan": "Nonesuch"}), &["plan"][..]),
        (json!({"plan": 1, "disabled": "no", "admin": 0, "email": "b@c"}), &["admin", "disabled", "email", "plan"]),
        (json!({"disabled": null, "admin": null}), &["admin", "disabled"]),
        (json!({"user_id": "bob", "password": PASSWORD}), &["password", "user_id"]),
        (json!({"disabled": true, "plan": "Nonesuch"}), &["plan"]),
    ] {
        let details = assert_error(&patch(&app, &admin, &ann.id, &change).await, 422, "ValidationError");
        assert_eq!(names(&details), broken, "{change}");
    }
    assert_eq!(app.get_as(&admin, &path).await.ok(), expected, "a change is atomic");
}

#[tokio::test]
async fn administrators_cannot_disable_or_demote_themselves() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let second = app.account(&admin, "second", &json!({"admin": true})).await;
    for change in [json!({"disabled": true}), json!({"admin": false}), json!({"admin": false, "plan": "Basic"})] {
        assert_error(&patch(&app, &admin, &admin.id, &change).await, 409, "Conflict");
    }
    let me = app.get_as(&admin, "/accounts/me").await.ok();
    assert_eq!((&me["plan"], &me["admin"], &me["disabled"]), (&Value::Null, &json!(true), &json!(false)));
    let own = patch(&app, &admin, &admin.id, &json!({"plan": "Premium", "admin": true, "disabled": false})).await.ok();
    assert_eq!(own["plan"], "Premium");
    // Another administrator can, and the change takes effect immediately.
    assert_eq!(patch(&app, &second, &admin.id, &json!({"admin": false})).await.ok()["admin"], false);
    assert_error(&app.get_as(&admin, "/accounts").await, 403, "Forbidden");
    assert_error(&patch(&app, &admin, &admin.id, &json!({"admin": true})).await, 403, "Forbidden");
    assert_eq!(patch(&app, &second, &admin.id, &json!({"disabled": true})).await.ok()["disabled"], true);
    assert_error(&app.get_as(&admin, "/accounts/me").await, 401, "Unauthorized");
}

#[tokio::test]
async fn a_disabled_account_cannot_authenticate_or_upload() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    let image = app.post_as(&ann, Form::upload("ann", &jpeg(60, 60, 1))).await.image_id();
    let form = || Form::upload("ann", &jpeg(60, 60, 2));
    let before = app.post_with_key("key", form()).await;
    patch(&app, &admin, &ann.id, &json!({"disabled": true})).await.ok();
    let path = format!("/images/{image}");
    for path in ["/accounts/me", "/images", path.as_str(), "/plans"] {
        assert_error(&app.get_as(&ann, path).await, 401, "Unauthorized");
        assert_error(&app.send(app.request_by_key(&key, Method::GET, path)).await, 401, "Unauthorized");
        let basic = app.request(Method::GET, path).basic_auth(&ann.email, Some(PASSWORD));
        assert_error(&app.send(basic).await, 401, "Unauthorized");
        assert_error(&app.get_with(path, "X-User-Id", "ann").await, 403, "Forbidden");
    }
    assert_error(&app.delete("ann", &image).await, 403, "Forbidden");
    // Other callers cannot upload or import for it either.
    assert_error(&app.post(form()).await, 403, "Forbidden");
    for key in ["key", "another-key"] {
        assert_error(&app.post_with_key(key, form()).await, 403, "Forbidden");
    }
    let import = json!({"urls": ["http://example.org/a.jpg"], "user_id": "ann"});
    assert_error(&app.post_json("/imports", &import).await, 403, "Forbidden");
    // Public images stay visible.
    assert_eq!(app.get(&path).await.ok()["user_id"], "ann");
    patch(&app, &admin, &ann.id, &json!({"disabled": false})).await.ok();
    app.send(app.request_by_key(&key, Method::GET, "/accounts/me")).await.ok();
    app.post(form()).await.image_id();
    assert_eq!(app.post_with_key("key", form()).await.image_id(), before.image_id());
    assert_eq!(app.get_with("/images", "X-User-Id", "ann").await.ok()["total_count"], 3);
}

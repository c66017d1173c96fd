//! API keys: their format, who may manage them, and how long they are valid.

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::account::{AccountId, ApiKey, KeyId};
use image_service::store;
use image_service::store::database::db::Run;
use image_service::store::database::sql::Sql;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, Login, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

pub async fn create(app: &TestApp, by: &Login, fields: &Value) -> Value {
    let made = app.json_as(by, Method::POST, "/api-keys", fields).await;
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"), "{}", made.text());
    made.json()
}

pub async fn by_key(app: &TestApp, key: &str, method: Method, path: &str, body: &Value) -> Answer {
    app.send(app.request_by_key(key, method, path).json(body)).await
}

/// The status of a request with this key.
pub async fn status(app: &TestApp, key: &str) -> u16 {
    app.send(app.request_by_key(key, Method::GET, "/accounts/me")).await.status
}

pub fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().expect(name)
}

#[tokio::test]
async fn a_key_is_shown_once_and_stored_as_a_hash() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let admin = app.admin().await;
    let mut made = create(&app, &admin, &json!({"description": "the shop's", "scopes": ["upload", "read"]})).await;
    let key = made["key"].take().as_str().expect("a key").to_owned();
    let (id, secret) = key.strip_prefix("isk_").expect("a prefix").split_once('_').expect("two parts");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{key}");
    assert!(secret.len() == 43 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
    assert_eq!(text(&made, "id").replace('-', ""), id);
    let expected = json!({
        "id": made["id"], "description": "the shop's", "scopes": ["read", "upload"],
        "created_at": "2026-01-31T12:00:00.000Z", "last_used_at": null, "expires_at": null,
    });
    made.as_object_mut().unwrap().remove("key");
    assert_eq!(made, expected);
    let path = format!("/api-keys/{}", text(&made, "id"));
    assert_eq!(app.get_as(&admin, &path).await.ok(), expected);
    assert_eq!(app.get_as(&admin, "/api-keys").await.ok(), json!({"api_keys": [expected]}));
    assert_eq!(app.json_as(&admin, Method::PUT, &path, &json!({})).await.ok(), expected);
    for path in ["/audit", "/accounts/me"] {
        assert!(!app.get_as(&admin, path).await.text().contains(secret), "{path}");
    }
    let db = app.database().await;
    let rows = db.fetch::<(Vec<u8>, String, Option<String>)>(Sql::new("select hash, description, scopes from api_keys")).await;
    db.close().await;
    let rows = rows.unwrap();
    assert_eq!(rows, [(Sha256::digest(secret).to_vec(), "the shop's".to_owned(), Some("read,upload".to_owned()))]);
    assert_ne!(create(&app, &admin, &json!({})).await["key"], key);
}

#[tokio::test]
async fn a_key_is_accepted_as_a_bearer_token_as_a_basic_user_name_and_in_x_api_key() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    let wrong = format!("{}A", &key[..key.len() - 1]);
    let wrong = if wrong == key { format!("{}B", &key[..key.len() - 1]) } else { wrong };
    let me = || app.request(Method::GET, "/accounts/me");
    for (key, status) in [(&key, 200), (&wrong, 401)] {
        for request in [
            me().bearer_auth(key),
            me().basic_auth(key, Some("")),
            me().basic_auth(key, None::<&str>),
            me().basic_auth("", Some(key)),
            me().header("X-API-Key", key.as_str()),
            me().header("X-API-Key", format!(" {key} ")).header("X-User-Id", "bob"),
        ] {
            let answer = app.send(request).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(status == 401 || answer.json()["id"] == ann.id.as_str());
        }
    }
    // Invalid credentials are never treated as weaker or missing ones.
    for request in [
        me().header("X-API-Key", "isk_nonsense").header("X-User-Id", "ann"),
        me().header("X-API-Key", key.as_str()).header("X-API-Key", key.as_str()),
        me().header("X-API-Key", key.as_str()).bearer_auth("nonsense"),
        me().basic_auth(&key, Some("a password")),
    ] {
        assert_error(&app.send(request).await, 401, "Unauthorized");
    }
    // A gateway may send API keys of its own. The service ignores them and trusts the gateway's user.
    for foreign in ["", "abc123"] {
        let list = app.request(Method::GET, "/images").header("X-API-Key", foreign).header("X-User-Id", "ann");
        assert_eq!(app.send(list).await.status, 200);
    }
    // Scopes apply however the key is sent.
    let reader = app.key(&ann, &json!({"scopes": ["read"]})).await;
    let upload = app.upload(Form::new().file(&jpeg(60, 60, 1))).header("X-API-Key", &reader);
    assert_error(&app.send(upload).await, 403, "Forbidden");
}

#[tokio::test]
async fn a_key_is_accepted_as_a_basic_password_with_any_user_name() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    for user in ["", "any", "ann@example.org", &admin.email, "nobody@example.org", "ü"] {
        let me = app.send(app.request(Method::GET, "/accounts/me").basic_auth(user, Some(&key))).await.ok();
        assert_eq!(me["id"], ann.id.as_str(), "{user}");
    }
    let image = app.send(app.upload(Form::new().file(&jpeg(60, 60, 1))).basic_auth("", Some(&key))).await.image();
    assert_eq!(image["user_id"], "ann");
    let others = app.upload(Form::upload("bob", &jpeg(60, 60, 1))).basic_auth("bob", Some(&key));
    assert_error(&app.send(others).await, 403, "Forbidden");
    // A key is not the account's password, and it is not accepted in other places or schemes.
    assert_error(&app.post_json("/token", &json!({"email": ann.email, "password": key})).await, 401, "Unauthorized");
    assert_error(&app.get_with("/accounts/me", "Authorization", &key).await, 401, "Unauthorized");
    let in_query = app.get(&format!("/accounts/me?key={key}")).await;
    assert!([401, 422].contains(&in_query.status) && !in_query.text().contains(&key), "{}", in_query.text());
}

#[tokio::test]
async fn a_key_altered_at_any_position_is_rejected() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (key, other) = (app.key(&admin, &json!({})).await, app.key(&admin, &json!({})).await);
    for position in 0..key.len() {
        let mut altered = key.clone().into_bytes();
        altered[position] = if altered[position] == b'7' { b'8' } else { b'7' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(status(&app, &altered).await, 401, "{altered}");
    }
    for altered in [
        key[..key.len() - 1].to_owned(),
        format!("{key}A"),
        format!("{key} "),
        format!("{}{}", &key[..37], &other[37..]),
        format!("{}{}", &other[..37], &key[37..]),
        format!("{}{}", &key[..37], key[37..].to_uppercase()),
        "isk_".to_owned(),
        "isk__".to_owned(),
        key[..37].to_owned(),
        key[..36].to_owned(),
    ] {
        assert_eq!(status(&app, &altered).await, 401, "{altered}");
    }
    assert_eq!((status(&app, &key).await, status(&app, &other).await), (200, 200));
}

#[tokio::test]
async fn keys_belong_to_their_account() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ann, bob) = (app.account(&admin, "ann", &json!({})).await, app.account(&admin, "bob", &json!({})).await);
    let mut made = Vec::new();
    for description in ["first", "second", "third"] {
        app.clock.advance(TimeDelta::seconds(1));
        made.insert(0, create(&app, &ann, &json!({"description": description})).await);
    }
    let listed = app.get_as(&ann, "/api-keys").await.ok();
    let descriptions: Vec<&str> = listed["api_keys"].as_array().unwrap().iter().map(|key| text(key, "description")).collect();
    assert_eq!(descriptions, ["third", "second", "first"]);
    let path = format!("/api-keys/{}", text(&made[1], "id"));
    for other in [&bob, &admin] {
        assert_eq!(app.get_as(other, "/api-keys").await.ok(), json!({"api_keys": []}));
        assert_error(&app.get_as(other, &path).await, 404, "NotFound");
        assert_error(&app.json_as(other, Method::PUT, &path, &json!({"scopes": null})).await, 404, "NotFound");
        assert_error(&app.send(app.request_as(other, Method::DELETE, &path)).await, 404, "NotFound");
    }
    for id in [UNKNOWN_ID, "nonsense", text(&made[1], "key")] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = app.json_as(&ann, method, &format!("/api-keys/{id}"), &json!({})).await;
            assert_error(&answer, 404, "NotFound");
            assert!(!answer.text().contains("isk_"), "{}", answer.text());
        }
    }
    for (method, path) in
        [(Method::GET, path.as_str()), (Method::GET, "/api-keys"), (Method::POST, "/api-keys"), (Method::DELETE, &path)]
    {
        assert_error(&app.send(app.request(method.clone(), path).json(&json!({}))).await, 401, "Unauthorized");
        assert_error(&app.by("ann", method, path).await, 401, "Unauthorized");
    }
    // A key without scopes may create and delete other keys.
    let key = text(&made[0], "key");
    assert_eq!(by_key(&app, key, Method::POST, "/api-keys", &json!({})).await.status, 201);
    assert_eq!(by_key(&app, key, Method::PUT, &path, &json!({"description": "other"})).await.ok()["description"], "other");
    let deleted = app.send(app.request_by_key(key, Method::DELETE, &path)).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_error(&app.send(app.request_by_key(key, Method::DELETE, &path)).await, 404, "NotFound");
    assert_eq!(status(&app, text(&made[1], "key")).await, 401, "the key is revoked immediately");
    assert_eq!(status(&app, text(&made[2], "key")).await, 200);
    let own = format!("/api-keys/{}", text(&made[0], "id"));
    assert_eq!(app.send(app.request_by_key(key, Method::DELETE, &own)).await.status, 204);
    assert_eq!(status(&app, key).await, 401);
}

#[tokio::test]
async fn the_fields_of_a_key_are_validated() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = create(&app, &admin, &json!({"description": "🔑".repeat(200), "scopes": ["upload", "read", "upload"]})).await;
    assert_eq!((&made["description"], &made["scopes"]), (&json!("🔑".repeat(200)), &json!(["read", "upload"])));
    let plain = create(&app, &admin, &json!({})).await;
    assert_eq!((&plain["description"], &plain["scopes"]), (&json!(""), &Value::Null));
    let path = format!("/api-keys/{}", text(&made, "id"));
    for (change, shown) in [
        (json!({"description": "d"}), json!({"description": "d", "scopes": ["read", "upload"]})),
        (json!({"scopes": ["admin", "admin"]}), json!({"description": "d", "scopes": ["admin"]})),
        (json!({"scopes": []}), json!({"description": "d", "scopes": []})),
        (json!({"description": ""}), json!({"description": "", "scopes": []})),
        (json!({"scopes": null, "description": "e"}), json!({"description": "e", "scopes": null})),
        (json!({}), json!({"description": "e", "scopes": null})),
    ] {
        let changed = app.json_as(&admin, Method::PUT, &path, &change).await.ok();
        assert_eq!((&changed["description"], &changed["scopes"]), (&shown["description"], &shown["scopes"]), "{change}");
        assert_eq!(app.get_as(&admin, &path).await.ok(), changed);
    }
    for (fields, broken) in [
        (json!({"description": "🔑".repeat(201)}), &["description"][..]),
        (json!({"description": null}), &["description"]),
        (json!({"description": "a\0"}), &["description"]),
        (json!({"scopes": ["write"]}), &["scopes"]),
        (json!({"scopes": ["Read"]}), &["scopes"]),
        (json!({"scopes": "read"}), &["scopes"]),
        (json!({"scopes": [1]}), &["scopes"]),
        (json!({"scopes": {}}), &["scopes"]),
        (json!({"description": 1, "scopes": [null], "key": "isk_a", "id": UNKNOWN_ID}), &["description", "id", "key", "scopes"]),
    ] {
        for (method, path) in [(Method::POST, "/api-keys"), (Method::PUT, &path)] {
            let details = assert_error(&app.json_as(&admin, method, path, &fields).await, 422, "ValidationError");
            let names: Vec<&String> = details.as_object().unwrap().keys().collect();
            assert_eq!(names, broken, "{fields}");
        }
    }
    assert_eq!(app.get_as(&admin, "/api-keys").await.ok()["api_keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_recorded_once_a_minute() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let admin = app.admin().await;
    let made = create(&app, &admin, &json!({"scopes": ["upload"]})).await;
    let path = format!("/api-keys/{}", text(&made, "id"));
    for (time, noted) in [
        (None, json!(null)),
        (Some("2026-01-31T12:01:00Z"), json!("2026-01-31T12:01:00.000Z")),
        (Some("2026-01-31T12:01:59.999Z"), json!("2026-01-31T12:01:00.000Z")),
        (Some("2026-01-31T12:02:00Z"), json!("2026-01-31T12:02:00.000Z")),
        (Some("2026-01-31T12:09:00Z"), json!("2026-01-31T12:09:00.000Z")),
    ] {
        if let Some(time) = time {
            app.clock.stop_at(time);
            // A rejected request also counts as a use.
            assert_eq!(status(&app, text(&made, "key")).await, 403);
        }
        // Requests do not wait for the update.
        let mut seen = json!(0);
        for _ in 0..400 {
            seen = app.get_as(&admin, &path).await.ok()["last_used_at"].clone();
            if seen == noted {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        assert_eq!(seen, noted, "{time:?}");
    }
    // A wrong key does not count as a use.
    app.clock.stop_at("2026-01-31T12:12:00Z");
    let wrong = format!("{}AAAA", text(&made, "key"));
    assert_eq!(status(&app, &wrong).await, 401);
    assert_eq!(app.get_as(&admin, &path).await.ok()["last_used_at"], "2026-01-31T12:09:00.000Z");
}

#[tokio::test]
async fn an_account_has_at_most_100_keys() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let (db, account_id) = (app.database().await, AccountId::parse(&ann.id).unwrap());
    let mut tx = db.begin().await.unwrap();
    for _ in 0..98 {
        let id = KeyId::new(&*app.clock);
        let key = ApiKey { id, account_id, description: String::new(), scopes: None, last_used_at: None, expires_at: None };
        store::identity::api_keys::insert(&mut tx, &key, &[0; 32]).await.unwrap();
    }
    tx.commit().await.unwrap();
    db.close().await;
    // Of many concurrent requests, no more succeed than the limit allows.
    let fields = json!({});
    let answers = join_all((0..6).map(|_| app.json_as(&ann, Method::POST, "/api-keys", &fields))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    answers.iter().filter(|answer| answer.status != 201).for_each(|answer| drop(assert_error(answer, 409, "Conflict")));
    let keys = app.get_as(&ann, "/api-keys").await.ok();
    assert_eq!(keys["api_keys"].as_array().unwrap().len(), 100);
    let path = format!("/api-keys/{}", text(&keys["api_keys"][50], "id"));
    assert_eq!(app.send(app.request_as(&ann, Method::DELETE, &path)).await.status, 204);
    create(&app, &ann, &fields).await;
    create(&app, &admin, &fields).await;
}

#[tokio::test]
async fn a_key_outlives_the_session_that_created_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let key = app.key(&admin, &json!({})).await;
    for _ in 0..2 {
        app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await;
        app.clock.advance(TimeDelta::seconds(60));
    }
    assert_error(&app.get_as(&admin, "/accounts/me").await, 401, "Unauthorized");
    assert_eq!(status(&app, &key).await, 200);
    app.clock.advance(TimeDelta::days(1000));
    assert_eq!(status(&app, &key).await, 200);
}

#[tokio::test]
async fn an_expired_key_is_rejected_and_accepted_again_after_its_expiry_is_extended() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let made = app.json_as(&admin, Method::POST, "/api-keys", &json!({"expires_in": 600})).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let status = async || app.send(app.request_by_key(key, Method::GET, "/accounts/me")).await.status;
    app.clock.advance(TimeDelta::seconds(599));
    assert_eq!(status().await, 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(status().await, 401);
    let path = format!("/api-keys/{id}");
    // A change that does not name the expiry leaves it unchanged.
    app.json_as(&admin, Method::PUT, &path, &json!({"description": "old"})).await.ok();
    assert_eq!(status().await, 401);
    app.json_as(&admin, Method::PUT, &path, &json!({"expires_in": 60})).await.ok();
    assert_eq!(status().await, 200);
    let forever = app.json_as(&admin, Method::PUT, &path, &json!({"expires_in": null})).await.ok();
    assert_eq!(forever["expires_at"], Value::Null);
    app.clock.advance(TimeDelta::days(4000));
    assert_eq!(status().await, 200);
    for bad in [json!(59), json!(315_360_001_u64), json!("600"), json!(60.5), json!(-1)] {
        let answer = app.send(app.request_by_key(key, Method::PUT, &path).json(&json!({"expires_in": bad}))).await;
        assert_error(&answer, 422, "ValidationError");
        assert_eq!(answer.json()["details"]["expires_in"], "must be a whole number from 60 to 315360000", "{bad}");
    }
}

//! Shares as their owners see them: created, listed, changed and deleted, and when they stop working.

use chrono::TimeDelta;
use image_service::store::database::db::{Run, Sql};
use reqwest::Method;
use serde_json::{Value, json};

use super::collections::{add_image, create_collection, post_collection, upload};
use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, Login, TestApp, assert_error};

pub async fn post_share(app: &TestApp, user: &str, fields: &Value) -> Answer {
    app.send(app.request(Method::POST, "/shares").header("X-User-Id", user).json(fields)).await
}

/// Creates a share of alice. Returns the response body.
pub async fn create_share(app: &TestApp, fields: &Value) -> Value {
    let created = post_share(app, "alice", fields).await;
    assert_eq!(created.status, 201, "{}", created.text());
    created.json()
}

/// Returns the path of a share's link: `/s/{token}`.
pub fn path(share: &Value) -> String {
    let url = share["url"].as_str().expect("a link");
    let (base, token) = url.split_once("/s/").expect("an address of this service");
    assert!(base.starts_with("http") && token.len() == 22, "{url}");
    format!("/s/{token}")
}

pub async fn patch_share(app: &TestApp, user: &str, share: &Value, change: &Value) -> Answer {
    let request = app.request(Method::PATCH, &own_path(share)).header("X-User-Id", user);
    app.send(request.json(change)).await
}

pub fn own_path(share: &Value) -> String {
    format!("/shares/{}", share["id"].as_str().expect("an id"))
}

pub async fn upload_private(app: &TestApp, file: &[u8]) -> String {
    app.post(Form::upload("alice", file).text("visibility", "private")).await.image_id()
}

/// The shares of alice on a page.
async fn list(app: &TestApp, query: &str) -> Vec<Value> {
    app.by("alice", Method::GET, &format!("/shares{query}")).await.ok()["shares"].as_array().unwrap().clone()
}

#[track_caller]
pub fn assert_expired(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    assert_eq!(answer.json()["message"], "Sorry, the link is expired.");
}

/// Returns the number of rows in the table.
async fn stored_shares(app: &TestApp) -> i64 {
    let db = app.database().await;
    let (count,) = db.fetch_optional::<(i64,)>(Sql::new("select count(*) from shares")).await.unwrap().unwrap();
    db.close().await;
    count
}

#[tokio::test]
async fn a_share_is_created_shown_changed_and_deleted() {
    let app = TestApp::with(&["--public-url=https://images.example.org/"]).await;
    app.clock.stop_at("2026-01-31T12:00:00.123Z");
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let share = create_share(&app, &json!({"image_id": id})).await;
    let expected = json!({
        "id": share["id"], "url": share["url"], "image_id": id, "collection": null,
        "created_at": "2026-01-31T12:00:00.123Z", "expires_at": null, "expired": false,
        "has_password": false, "max_guest_images": null, "guest_images": 0,
    });
    assert_eq!(share, expected);
    assert!(share["url"].as_str().unwrap().starts_with("https://images.example.org/s/"), "{share}");
    assert_eq!(app.by("alice", Method::GET, &own_path(&share)).await.ok(), expected);
    assert_eq!(
        app.by("alice", Method::GET, "/shares").await.ok(),
        json!({"shares": [expected], "next_page_token": null, "has_more": false})
    );

    create_collection(&app, "alice", "c").await;
    let fields = json!({"collection": "c", "expires_in": 3600, "password": "between us", "max_guest_images": 5});
    let of_collection = create_share(&app, &fields).await;
    let mut expected = json!({
        "id": of_collection["id"], "url": of_collection["url"], "image_id": null, "collection": "c",
        "created_at": "2026-01-31T12:00:00.123Z", "expires_at": "2026-01-31T13:00:00.123Z", "expired": false,
        "has_password": true, "max_guest_images": 5, "guest_images": 0,
    });
    assert_eq!(of_collection, expected);
    assert_eq!(patch_share(&app, "alice", &of_collection, &json!({})).await.ok(), expected);
    // A lifetime counts from the change, and what is absent stays.
    app.clock.advance(TimeDelta::minutes(30));
    expected["expires_at"] = json!("2026-01-31T12:31:00.123Z");
    assert_eq!(patch_share(&app, "alice", &of_collection, &json!({"expires_in": 60})).await.ok(), expected);
    let change = json!({"expires_in": null, "password": null, "max_guest_images": null});
    let changed = patch_share(&app, "alice", &of_collection, &change).await.ok();
    for (field, value) in [("expires_at", json!(null)), ("has_password", json!(false)), ("max_guest_images", json!(null))] {
        expected[field] = value;
    }
    assert_eq!(changed, expected);
    assert_eq!(app.by("alice", Method::GET, &own_path(&of_collection)).await.ok(), expected);

    assert_eq!(app.get(&path(&share)).await.status, 200);
    assert_eq!(app.by("alice", Method::DELETE, &own_path(&share)).await.status, 204);
    assert_error(&app.get(&path(&share)).await, 404, "NotFound");
    assert_error(&app.by("alice", Method::DELETE, &own_path(&share)).await, 404, "NotFound");
    assert_error(&app.by("alice", Method::GET, &own_path(&share)).await, 404, "NotFound");
    assert_error(&patch_share(&app, "alice", &share, &json!({})).await, 404, "NotFound");
    assert_eq!(list(&app, "").await, [expected]);
    app.assert_sound().await;
}

#[tokio::test]
async fn shares_are_listed_newest_first_by_page_image_and_collection() {
    let app = TestApp::start().await;
    let (one, two) = (upload(&app, "alice", 1, "public").await, upload(&app, "alice", 2, "private").await);
    create_collection(&app, "alice", "c").await;
    let mut shares = Vec::new();
    for target in [
        json!({"image_id": one}),
        json!({"collection": "c"}),
        json!({"image_id": two}),
        json!({"image_id": one, "expires_in": 60}),
    ] {
        shares.insert(0, create_share(&app, &target).await);
    }
    let pick = |numbers: &[usize]| numbers.iter().map(|number| shares[*number].clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("".to_owned(), pick(&[0, 1, 2, 3])),
        (format!("?image_id={one}"), pick(&[0, 3])),
        (format!("?image_id={two}"), pick(&[1])),
        ("?collection=c".to_owned(), pick(&[2])),
        ("?image_id=01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a".to_owned(), vec![]),
    ] {
        assert_eq!(list(&app, &query).await, expected, "{query}");
        let (mut walked, mut token) = (Vec::new(), String::new());
        loop {
            let separator = if query.is_empty() { "?" } else { "&" };
            let page = app.by("alice", Method::GET, &format!("/shares{query}{separator}limit=1{token}")).await;
            let page = page.ok();
            walked.extend(page["shares"].as_array().unwrap().iter().cloned());
            assert_eq!(page["has_more"], page["next_page_token"].is_string());
            let Some(next) = page["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
            // The token is valid for this list of this user only.
            assert_error(&app.by("bob", Method::GET, &format!("/shares?limit=1{token}")).await, 400, "BadRequest");
            assert_error(&app.by("alice", Method::GET, &format!("/shares?collection=c&limit=1{token}")).await, 400, "BadRequest");
        }
        assert_eq!(walked, expected, "{query}");
    }
    for (query, field) in [
        (format!("?image_id={one}&collection=c"), "collection"),
        ("?image_id=x".to_owned(), "image_id"),
        ("?collection=a%20b".to_owned(), "collection"),
        ("?limit=0".to_owned(), "limit"),
        ("?user_id=alice".to_owned(), "user_id"),
    ] {
        let details = assert_error(&app.by("alice", Method::GET, &format!("/shares{query}")).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{query}");
    }
    assert_error(&app.by("alice", Method::GET, "/shares?collection=nope").await, 404, "NotFound");
    assert_error(&app.by("bob", Method::GET, "/shares?collection=c").await, 403, "Forbidden");
    assert_error(&app.get("/shares").await, 401, "Unauthorized");
}

#[tokio::test]
async fn other_users_see_no_share_and_share_nothing_of_others() {
    let app = TestApp::start().await;
    let (public, private) = (upload(&app, "alice", 1, "public").await, upload(&app, "alice", 2, "private").await);
    for (name, visibility) in [("c", "public"), ("hidden", "private")] {
        assert_eq!(post_collection(&app, "alice", &json!({"name": name, "visibility": visibility})).await.status, 201);
    }
    let share = create_share(&app, &json!({"image_id": public})).await;
    assert_error(&app.by("bob", Method::GET, &own_path(&share)).await, 404, "NotFound");
    assert_error(&app.by("bob", Method::DELETE, &own_path(&share)).await, 404, "NotFound");
    assert_error(&patch_share(&app, "bob", &share, &json!({"password": "not yours"})).await, 404, "NotFound");
    assert_eq!(app.by("bob", Method::GET, &format!("/shares?image_id={public}")).await.ok()["shares"], json!([]));
    for (target, status) in [
        (json!({"image_id": public}), 403),
        (json!({"image_id": private}), 404),
        (json!({"collection": "c"}), 403),
        (json!({"collection": "hidden"}), 404),
        (json!({"collection": "nope"}), 404),
    ] {
        let answer = post_share(&app, "bob", &target).await;
        assert_error(&answer, status, if status == 403 { "Forbidden" } else { "NotFound" });
    }
    assert_error(&app.post_json("/shares", &json!({"image_id": public})).await, 401, "Unauthorized");
    assert_error(&app.by("alice", Method::GET, "/shares/x").await, 404, "NotFound");
    assert_eq!(list(&app, "").await, [share], "nothing was changed or created");
}

#[tokio::test]
async fn the_fields_of_a_share_are_validated() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    create_collection(&app, "alice", "c").await;
    let (long, longest) = ("p".repeat(129), "p".repeat(128));
    let fields = |answer: &Answer| {
        let details = assert_error(answer, 422, "ValidationError");
        details.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let terms = [
        (json!({"expires_in": 59}), vec!["expires_in"]),
        (json!({"expires_in": 315_360_001}), vec!["expires_in"]),
        (json!({"expires_in": "60"}), vec!["expires_in"]),
        (json!({"password": "12345"}), vec!["password"]),
        (json!({"password": long}), vec!["password"]),
        (json!({"password": "tab\there"}), vec!["password"]),
        (json!({"password": 123_456}), vec!["password"]),
        (json!({"max_guest_images": 0}), vec!["max_guest_images"]),
        (json!({"max_guest_images": 1001}), vec!["max_guest_images"]),
        (json!({"max_guest_images": -1, "expires_in": 1.5, "password": ""}), vec!["expires_in", "max_guest_images", "password"]),
        (json!({"title": "x"}), vec!["title"]),
    ];
    let share = create_share(&app, &json!({"collection": "c"})).await;
    for (change, broken) in terms {
        let mut body = change.clone();
        body["collection"] = json!("c");
        assert_eq!(fields(&post_share(&app, "alice", &body).await), broken, "{body}");
        assert_eq!(fields(&patch_share(&app, "alice", &share, &change).await), broken, "{change}");
    }
    for (body, broken) in [
        (json!({}), "image_id"),
        (json!({"image_id": id, "collection": "c"}), "collection"),
        (json!({"image_id": "x"}), "image_id"),
        (json!({"image_id": null}), "image_id"),
        (json!({"collection": "a b"}), "collection"),
        (json!({"image_id": id, "max_guest_images": 1}), "max_guest_images"),
    ] {
        assert_eq!(fields(&post_share(&app, "alice", &body).await), [broken], "{body}");
    }
    // A share cannot be moved to another target.
    assert_eq!(fields(&patch_share(&app, "alice", &share, &json!({"image_id": id})).await), ["image_id"]);
    let of_image = create_share(&app, &json!({"image_id": id, "expires_in": null, "max_guest_images": null})).await;
    assert_eq!(fields(&patch_share(&app, "alice", &of_image, &json!({"max_guest_images": 1})).await), ["max_guest_images"]);
    for body in [
        json!({"collection": "c", "expires_in": 60, "password": "123456", "max_guest_images": 1}),
        json!({"collection": "c", "expires_in": 315_360_000, "password": longest, "max_guest_images": 1000}),
    ] {
        create_share(&app, &body).await;
    }
    assert_error(&post_share(&app, "alice", &json!([])).await, 422, "ValidationError");
}

#[tokio::test]
async fn an_image_and_a_collection_have_at_most_100_shares_each() {
    let app = TestApp::start().await;
    let (id, other) = (upload_private(&app, &jpeg(64, 64, 1)).await, upload_private(&app, &jpeg(64, 64, 2)).await);
    create_collection(&app, "alice", "c").await;
    for target in [json!({"image_id": id}), json!({"collection": "c"})] {
        let mut last = Value::Null;
        for _ in 0..100 {
            last = create_share(&app, &target).await;
        }
        let refused = post_share(&app, "alice", &target).await;
        assert_error(&refused, 409, "Conflict");
        assert!(refused.text().contains("100 shares"), "{}", refused.text());
        assert_eq!(app.by("alice", Method::DELETE, &own_path(&last)).await.status, 204);
        create_share(&app, &target).await;
    }
    create_share(&app, &json!({"image_id": other})).await;
}

async fn share_as(app: &TestApp, login: &Login, fields: &Value) -> Answer {
    app.json_as(login, Method::POST, "/shares", fields).await
}

#[tokio::test]
async fn shares_work_only_while_the_plan_of_their_owner_includes_share_links() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({"plan": "Enterprise"})).await;
    let id = app.post_as(&ann, Form::new().file(&jpeg(64, 64, 1))).await.image_id();
    let share = share_as(&app, &ann, &json!({"image_id": id})).await.json();
    assert_eq!(app.get(&path(&share)).await.status, 200);
    let set = async |change: Value| {
        app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", ann.id), &change).await.ok();
    };
    set(json!({"plan": "Premium"})).await;
    let refused = share_as(&app, &ann, &json!({"image_id": id})).await;
    assert_error(&refused, 403, "Forbidden");
    assert!(refused.text().contains("share links"), "{}", refused.text());
    for suffix in ["".to_owned(), format!("/images/{id}"), format!("/images/{id}/thumbnails/small")] {
        assert_error(&app.get(&format!("{}{suffix}", path(&share))).await, 403, "Forbidden");
    }
    // It can still be listed and deleted, and works again with another plan.
    assert_eq!(app.get_as(&ann, "/shares").await.ok()["shares"], json!([share]));
    set(json!({"plan": null})).await;
    assert_eq!(app.get(&path(&share)).await.status, 200);
    set(json!({"disabled": true})).await;
    for suffix in ["".to_owned(), format!("/images/{id}"), format!("/images/{id}/thumbnails/small")] {
        assert_expired(&app.get(&format!("{}{suffix}", path(&share))).await);
    }
    set(json!({"disabled": false})).await;
    assert_eq!(app.get(&path(&share)).await.status, 200);
}

#[tokio::test]
async fn deleting_an_account_deletes_its_shares() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let id = app.post_as(&ann, Form::new().file(&jpeg(64, 64, 1))).await.image_id();
    let share = share_as(&app, &ann, &json!({"image_id": id})).await.json();
    assert_eq!(app.json_as(&ann, Method::POST, "/collections", &json!({"name": "c"})).await.status, 201);
    assert_eq!(share_as(&app, &ann, &json!({"collection": "c", "password": "between us"})).await.status, 201);
    let account = format!("/accounts/{}", ann.id);
    app.json_as(&admin, Method::PATCH, &account, &json!({"disabled": true})).await.ok();
    assert_eq!(app.send(app.request_as(&admin, Method::DELETE, &format!("{account}?keep_images=true"))).await.status, 204);
    assert_eq!(stored_shares(&app).await, 0);
    // The next account of the same user owns the image, but the old link stays dead.
    let again = app.account(&admin, "ann", &json!({})).await;
    assert_error(&app.get(&path(&share)).await, 404, "NotFound");
    assert_eq!(app.get_as(&again, "/shares").await.ok()["shares"], json!([]));
    app.assert_sound().await;
}

#[tokio::test]
async fn a_share_of_an_image_ends_when_the_image_is_purged() {
    let app = TestApp::start().await;
    let id = upload_private(&app, &jpeg(64, 64, 1)).await;
    let share = create_share(&app, &json!({"image_id": id})).await;
    let suffixes = ["".to_owned(), format!("/images/{id}"), format!("/images/{id}/thumbnails/small")];
    let statuses = async || {
        let mut statuses = Vec::new();
        for suffix in &suffixes {
            statuses.push(app.get(&format!("{}{suffix}", path(&share))).await.status);
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 3]);
    app.delete("alice", &id).await.ok();
    assert_eq!(statuses().await, [404; 3]);
    assert_error(&post_share(&app, "alice", &json!({"image_id": id})).await, 404, "NotFound");
    assert_eq!(list(&app, "").await, [share.clone()], "it works again if the image is restored");
    app.restore("alice", &id).await.ok();
    assert_eq!(statuses().await, [200; 3]);
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    assert_eq!(statuses().await, [404; 3]);
    assert_eq!((list(&app, "").await.len(), stored_shares(&app).await), (0, 0));
    app.assert_sound().await;
}

#[tokio::test]
async fn a_share_of_a_deleted_collection_does_not_pass_to_the_next_one_of_that_name() {
    let app = TestApp::start().await;
    let id = upload(&app, "alice", 1, "private").await;
    create_collection(&app, "alice", "c").await;
    add_image(&app, "alice", "c", &id).await.ok();
    let share = create_share(&app, &json!({"collection": "c", "max_guest_images": 5})).await;
    assert_eq!(app.by("alice", Method::DELETE, "/collections/c").await.status, 204);
    create_collection(&app, "alice", "c").await;
    add_image(&app, "alice", "c", &id).await.ok();
    for swept in [false, true] {
        for suffix in ["".to_owned(), format!("/images/{id}"), format!("/images/{id}/thumbnails/small")] {
            assert_error(&app.get(&format!("{}{suffix}", path(&share))).await, 404, "NotFound");
        }
        assert_error(&app.by("alice", Method::GET, &own_path(&share)).await, 404, "NotFound");
        assert_error(&patch_share(&app, "alice", &share, &json!({"expires_in": null})).await, 404, "NotFound");
        assert!(list(&app, "").await.is_empty() && list(&app, "?collection=c").await.is_empty(), "{swept}");
        app.sweep_all().await;
    }
    assert_eq!(stored_shares(&app).await, 0);
    app.assert_sound().await;
}

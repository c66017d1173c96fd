//! Images that visitors add to a shared collection: whose they are, how many there can be, and what is refused.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::collections::{add_image, create_collection, list_image_ids, post_collection, public_image_ids, upload};
use super::shares::{create_share, own_path, patch_share, path};
use crate::harness::client::Client;
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::Process;
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::{Answer, Form, TestApp, assert_error};

fn request(app: &TestApp, share: &Value, form: Form) -> RequestBuilder {
    let request = app.request(Method::POST, &format!("{}/images", path(share)));
    request.header("Content-Type", Form::content_type()).body(form.finish())
}

async fn post(app: &TestApp, share: &Value, form: Form) -> Answer {
    app.send(request(app, share, form)).await
}

/// Adds a small image with this seed.
async fn add(app: &TestApp, share: &Value, seed: u64) -> Answer {
    post(app, share, Form::new().file(&jpeg(64, 64, seed))).await
}

async fn add_with_key(app: &TestApp, share: &Value, key: &str, seed: u64) -> Answer {
    app.send(request(app, share, Form::new().file(&jpeg(64, 64, seed))).header("Idempotency-Key", key)).await
}

#[track_caller]
fn added(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["image_id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn assert_full(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    assert!(answer.text().contains("Visitors of this share can"), "{}", answer.text());
}

async fn guest_images(app: &TestApp, share: &Value) -> Value {
    app.by("alice", Method::GET, &own_path(share)).await.ok()["guest_images"].clone()
}

/// Starts a service with a share of alice's collection `c`, to which visitors can add this many images.
async fn start(max: u32) -> (TestApp, Value) {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let share = create_share(&app, &json!({"collection": "c", "max_guest_images": max})).await;
    (app, share)
}

#[tokio::test]
async fn an_image_of_a_visitor_belongs_to_the_owner_and_is_last_in_the_collection() {
    let app = TestApp::start().await;
    for visibility in ["public", "private"] {
        assert_eq!(post_collection(&app, "alice", &json!({"name": visibility, "visibility": visibility})).await.status, 201);
        let share = create_share(&app, &json!({"collection": visibility, "max_guest_images": 5})).await;
        let first = upload(&app, "alice", 1, "private").await;
        add_image(&app, "alice", visibility, &first).await.ok();
        let file = jpeg(900, 600, 2);
        // The visitor's own user does not matter.
        let form = Form::new().file_named("dusk.jpg", "image/jpeg", &file);
        let answer = app.send(request(&app, &share, form).header("X-User-Id", "bob")).await;
        let id = added(&answer);
        let url = format!("{}/images/{id}", share["url"].as_str().unwrap());
        let view = answer.json();
        assert_eq!((&view["title"], &view["file_name"], &view["url"]), (&Value::Null, &json!("dusk.jpg"), &json!(url)));
        assert_eq!(app.get(&path(&share)).await.ok()["images"][1], view);
        assert_eq!(app.get(&path(&share)).await.ok()["guest_images_left"], 4);
        assert_eq!(list_image_ids(&app, "alice", visibility).await, [first, id.clone()]);
        let image = app.by("alice", Method::GET, &format!("/images/{id}")).await.ok();
        assert_eq!((&image["user_id"], &image["visibility"]), (&json!("alice"), &json!(visibility)));
        assert!(app.get(&format!("{}/images/{id}", path(&share))).await.body == file);
        let anonymous = app.get(&format!("/images/{id}")).await.status;
        assert_eq!(anonymous, if visibility == "public" { 200 } else { 404 });
        assert_eq!(guest_images(&app, &share).await, 1);
        // It stays when the share is deleted. Only the owner can delete it.
        assert_error(&app.delete("bob", &id).await, if visibility == "public" { 403 } else { 404 }, {
            if visibility == "public" { "Forbidden" } else { "NotFound" }
        });
        assert_eq!(app.by("alice", Method::DELETE, &own_path(&share)).await.status, 204);
        assert_error(&add(&app, &share, 3).await, 404, "NotFound");
        app.by("alice", Method::GET, &format!("/images/{id}")).await.ok();
    }
    assert_eq!(app.metric("uploads_total{method=\"share\",result=\"stored\"}").await, 2.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_order_is_that_of_adding_and_new_images_follow_the_visibility_of_the_collection() {
    let (app, share) = start(10).await;
    app.clock.stop();
    let mut ids = vec![added(&add(&app, &share, 1).await)];
    let own = upload(&app, "alice", 2, "public").await;
    add_image(&app, "alice", "c", &own).await.ok();
    ids.extend([own, added(&add(&app, &share, 3).await)]);
    // A clock that was set back does not change the order.
    app.clock.advance(TimeDelta::minutes(-5));
    ids.push(added(&add(&app, &share, 4).await));
    assert_eq!(list_image_ids(&app, "alice", "c").await, ids);
    assert_eq!(public_image_ids(&app, "c").await, ids);
    let request = app.request(Method::PATCH, "/collections/c").header("X-User-Id", "alice");
    app.send(request.json(&json!({"visibility": "private"}))).await.ok();
    ids.push(added(&add(&app, &share, 5).await));
    let last = app.by("alice", Method::GET, &format!("/images/{}", ids[4])).await.ok();
    assert_eq!(last["visibility"], "private");
    assert_eq!(list_image_ids(&app, "alice", "c").await, ids);
    app.assert_sound().await;
}

#[tokio::test]
async fn visitors_send_a_file_and_nothing_else() {
    let (app, share) = start(5).await;
    for (field, value) in [
        ("tags", "sea"),
        ("tags[]", "sea"),
        ("title", "mine"),
        ("description", "mine"),
        ("user_id", "bob"),
        ("user_id", "alice"),
        ("visibility", "public"),
        ("keep_location", "true"),
        ("collection", "d"),
    ] {
        let answer = post(&app, &share, Form::new().text(field, value).file(&jpeg(64, 64, 1))).await;
        let details = assert_error(&answer, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), [field.trim_end_matches("[]")]);
    }
    let details = assert_error(&post(&app, &share, Form::new()).await, 422, "ValidationError");
    assert_eq!(details, json!({"file": "is required"}));
    let twice = post(&app, &share, Form::new().file(&jpeg(64, 64, 1)).file(&jpeg(64, 64, 2))).await;
    assert_error(&twice, 422, "ValidationError");
    let query = app.request(Method::POST, &format!("{}/images?title=x", path(&share)));
    let form = Form::new().file(&jpeg(64, 64, 1)).finish();
    let query = query.header("Content-Type", Form::content_type()).body(form);
    assert_error(&app.send(query).await, 422, "ValidationError");
    let json = app.request(Method::POST, &format!("{}/images", path(&share))).json(&json!({"file": "x"}));
    assert_error(&app.send(json).await, 415, "UnsupportedMediaType");
    // Files that are no images, too small, too large or broken are refused as from everyone, and do not count.
    let broken = jpeg(300, 200, 1);
    let huge = padded(jpeg(64, 64, 1), usize::try_from(app.service().limits().max_file_bytes).unwrap() + 1);
    for (file, status) in [(b"no image at all".repeat(100), 415), (Vec::new(), 400), (jpeg(20, 20, 1), 400), (huge, 413)] {
        let answer = post(&app, &share, Form::new().file(&file)).await;
        let own = app.post(Form::upload("alice", &file)).await;
        assert_eq!((answer.status, answer.text()), (own.status, own.text()), "{status}");
        assert!(answer.status >= 400, "{status}");
    }
    let cut = post(&app, &share, Form::new().file(&broken[..broken.len() / 2])).await;
    assert_error(&cut, 400, "InvalidFile");
    assert_eq!(guest_images(&app, &share).await, 0);
    assert_eq!(list_image_ids(&app, "alice", "c").await, [""; 0]);
    app.sweep_all().await;
    app.assert_sound().await;
}

#[tokio::test]
async fn only_a_share_of_a_collection_that_permits_it_accepts_images() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let id = upload(&app, "alice", 1, "public").await;
    for target in [json!({"collection": "c"}), json!({"image_id": id})] {
        let share = create_share(&app, &target).await;
        let refused = add(&app, &share, 2).await;
        assert_error(&refused, 403, "Forbidden");
        assert_eq!(refused.json()["message"], "Visitors of this share cannot add images.");
        assert_eq!(app.get(&path(&share)).await.ok()["guest_images_left"], 0);
    }
    assert_eq!(list_image_ids(&app, "alice", "c").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_exact_under_concurrent_uploads() {
    let (app, share) = start(3).await;
    let answers = join_all((0..20).map(|seed| add(&app, &share, seed))).await;
    let mut ids: Vec<String> = answers.iter().filter(|answer| answer.status == 201).map(added).collect();
    assert_eq!(ids.len(), 3);
    answers.iter().filter(|answer| answer.status != 201).for_each(assert_full);
    assert_eq!(guest_images(&app, &share).await, 3);
    let mut listed = list_image_ids(&app, "alice", "c").await;
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    assert_eq!(app.by("alice", Method::GET, "/users/alice/images").await.ok()["total_count"], 3);
    // Objects of the refused images are removed.
    app.clock.advance(TimeDelta::days(1));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), 9);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_owner_can_raise_lower_and_remove_the_limit() {
    let (app, share) = start(1).await;
    let id = added(&add(&app, &share, 1).await);
    assert_full(&add(&app, &share, 2).await);
    // A deleted image does not make room: the limit is on what visitors send.
    app.delete("alice", &id).await.ok();
    assert_full(&add(&app, &share, 2).await);
    patch_share(&app, "alice", &share, &json!({"max_guest_images": 3})).await.ok();
    assert_eq!(app.get(&path(&share)).await.ok()["guest_images_left"], 2);
    added(&add(&app, &share, 2).await);
    patch_share(&app, "alice", &share, &json!({"max_guest_images": 1})).await.ok();
    assert_eq!(app.get(&path(&share)).await.ok()["guest_images_left"], 0);
    assert_full(&add(&app, &share, 3).await);
    patch_share(&app, "alice", &share, &json!({"max_guest_images": null})).await.ok();
    let refused = add(&app, &share, 3).await;
    assert_eq!(refused.json()["message"], "Visitors of this share cannot add images.");
    let changed = patch_share(&app, "alice", &share, &json!({"max_guest_images": 3})).await.ok();
    assert_eq!((&changed["guest_images"], &changed["max_guest_images"]), (&json!(2), &json!(3)));
    added(&add(&app, &share, 3).await);
    app.assert_sound().await;
}

#[tokio::test]
async fn images_of_visitors_count_towards_the_quota_of_the_owner() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let plan = json!({"name": "two", "original": true, "expiring_links": true, "max_images": 2});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let ann = app.account(&admin, "ann", &json!({"plan": "two"})).await;
    assert_eq!(app.json_as(&ann, Method::POST, "/collections", &json!({"name": "c"})).await.status, 201);
    let fields = json!({"collection": "c", "max_guest_images": 10});
    let share = app.json_as(&ann, Method::POST, "/shares", &fields).await.json();
    added(&add(&app, &share, 1).await);
    app.post_as(&ann, Form::new().file(&jpeg(64, 64, 2))).await.ok();
    let refused = add(&app, &share, 3).await;
    // Visitors do not learn how much the owner stores.
    assert_eq!(assert_error(&refused, 403, "Forbidden"), json!({}));
    assert_eq!(refused.json()["message"], "The owner of this share has no space left for more images.");
    let mine = app.get_as(&ann, &own_path(&share)).await.ok();
    assert_eq!(mine["guest_images"], 1, "what is refused does not count");
    assert_eq!(app.get_as(&ann, "/accounts/me").await.ok()["usage"]["images"], 2);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_repeated_request_adds_one_image_and_counts_once() {
    let (app, share) = start(2).await;
    let first = add_with_key(&app, &share, "key-1", 1).await;
    let id = added(&first);
    for _ in 0..3 {
        let again = add_with_key(&app, &share, "key-1", 1).await;
        assert_eq!((added(&again), again.json()), (id.clone(), first.json()));
    }
    assert_eq!(guest_images(&app, &share).await, 1);
    let other = add_with_key(&app, &share, "key-1", 2).await;
    assert_eq!(assert_error(&other, 422, "ValidationError").as_object().unwrap().keys().collect::<Vec<_>>(), ["Idempotency-Key"]);
    let details = assert_error(&add_with_key(&app, &share, "a key", 2).await, 422, "ValidationError");
    assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["Idempotency-Key"]);
    // A client that has lost the response to the last image gets it, although the share is full now.
    let last = added(&add_with_key(&app, &share, "key-2", 2).await);
    assert_eq!(added(&add_with_key(&app, &share, "key-2", 2).await), last);
    assert_full(&add_with_key(&app, &share, "key-3", 3).await);
    assert_full(&add(&app, &share, 3).await);
    // So does one that repeats its request after the collection has become private.
    let request = app.request(Method::PATCH, "/collections/c").header("X-User-Id", "alice");
    app.send(request.json(&json!({"visibility": "private"}))).await.ok();
    assert_eq!(added(&add_with_key(&app, &share, "key-1", 1).await), id);
    assert_eq!(guest_images(&app, &share).await, 2);
    assert_eq!(list_image_ids(&app, "alice", "c").await, [id, last]);
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_repetitions_add_one_image() {
    let (app, share) = start(5).await;
    let answers = join_all((0..10).map(|_| add_with_key(&app, &share, "key-1", 1))).await;
    let mut ids: Vec<String> = answers.iter().filter(|answer| answer.status == 201).map(added).collect();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_error(refused, 409, "Conflict");
    }
    ids.dedup();
    assert_eq!((ids.len(), guest_images(&app, &share).await), (1, json!(1)));
}

#[tokio::test]
async fn keys_of_the_owner_and_of_other_shares_are_different_keys() {
    let (app, share) = start(5).await;
    let other = create_share(&app, &json!({"collection": "c", "max_guest_images": 5})).await;
    let own = app.post_with_key("key-1", Form::upload("alice", &jpeg(64, 64, 1)).text("title", "secret")).await;
    let (one, two) = (add_with_key(&app, &share, "key-1", 1).await, add_with_key(&app, &other, "key-1", 2).await);
    let mut ids = vec![own.image_id(), added(&one), added(&two)];
    assert!(!one.text().contains("secret") && !two.text().contains("secret"));
    assert_eq!(
        app.post_with_key("key-1", Form::upload("alice", &jpeg(64, 64, 1)).text("title", "secret")).await.image_id(),
        ids[0]
    );
    assert_eq!(added(&add_with_key(&app, &share, "key-1", 1).await), ids[1]);
    assert_eq!(added(&add_with_key(&app, &other, "key-1", 2).await), ids[2]);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    // The longest key.
    let key = "k".repeat(255);
    let long = added(&add_with_key(&app, &share, &key, 3).await);
    assert_eq!(added(&add_with_key(&app, &share, &key, 3).await), long);
}

/// An image that a visitor adds has the visibility of the collection. Until it is stored, the owner may change that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_processed_while_its_collection_becomes_private_is_not_added() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("S3_TIMEOUT", "600")]).await;
    let client = Client::new(process.address);
    let request = |method, path: &str| client.request(method, path).header("X-User-Id", "alice");
    let send = async |request: RequestBuilder| Answer::read(request.send().await.unwrap()).await;
    assert_eq!(send(request(Method::POST, "/collections").json(&json!({"name": "c"}))).await.status, 201);
    let fields = json!({"collection": "c", "max_guest_images": 5});
    let share = send(request(Method::POST, "/shares").json(&fields)).await.json();
    let adding = || {
        let form = Form::new().file(&jpeg(64, 64, 1)).finish();
        request(Method::POST, &format!("{}/images", path(&share))).header("Content-Type", Form::content_type()).body(form)
    };

    proxied.storage.set(Fault::Hang);
    let held = tokio::spawn(adding().send());
    let started = Instant::now();
    while !client.get("/metrics").await.text().contains("intents{state=\"uploading\"} 1\n") {
        assert!(started.elapsed() < Duration::from_secs(60), "the upload never reaches the storage");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send(request(Method::PATCH, "/collections/c").json(&json!({"visibility": "private"}))).await.ok();
    proxied.storage.set(Fault::None);
    let refused = Answer::read(held.await.unwrap().unwrap()).await;
    assert_error(&refused, 409, "Conflict");
    assert_eq!(refused.json()["message"], "The collection was changed at the same time. Try again.");
    let shown = client.get(&path(&share)).await.ok();
    assert_eq!((&shown["total_count"], &shown["guest_images_left"]), (&json!(0), &json!(5)));
    // Tried again, it is private.
    let image = format!("/images/{}", added(&send(adding()).await));
    assert_error(&client.get(&image).await, 404, "NotFound");
    send(request(Method::GET, &image)).await.ok();
    process.stop().await;
}

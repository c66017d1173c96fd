//! Collections: named lists of images, for their owners and the public. How their order is changed is in `collection_order.rs`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::ids_of;
use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

pub async fn post_collection(app: &TestApp, user: &str, fields: &Value) -> Answer {
    app.send(app.request(Method::POST, "/collections").header("X-User-Id", user).json(fields)).await
}

pub async fn create_collection(app: &TestApp, user: &str, name: &str) {
    let made = post_collection(app, user, &json!({"name": name})).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

pub async fn add_image(app: &TestApp, user: &str, name: &str, id: &str) -> Answer {
    app.by(user, Method::PUT, &format!("/collections/{name}/images/{id}")).await
}

pub async fn list_image_ids(app: &TestApp, user: &str, name: &str) -> Vec<String> {
    let page = app.by(user, Method::GET, &format!("/collections/{name}/images?limit=100")).await.ok();
    assert_eq!(page["total_count"], ids_of(&page).len());
    ids_of(&page)
}

/// The ids on a collection's public page.
pub async fn public_image_ids(app: &TestApp, name: &str) -> Vec<String> {
    let page = app.get(&format!("/c/{name}?limit=100")).await.ok();
    let id = |image: &Value| image["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    page["images"].as_array().unwrap().iter().map(id).collect()
}

pub async fn upload(app: &TestApp, user: &str, seed: u64, visibility: &str) -> String {
    app.post(Form::upload(user, &jpeg(64, 64, seed)).text("tags", "sea").text("visibility", visibility)).await.image_id()
}

#[tokio::test]
async fn a_collection_is_created_listed_and_deleted_without_its_images() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00.123Z");
    let made = post_collection(&app, "alice", &json!({"name": "summer_2026-a"})).await;
    let expected = json!({
        "name": "summer_2026-a", "user_id": "alice", "visibility": "public", "image_count": 0,
        "created_at": "2026-01-31T12:00:00.123Z", "updated_at": "2026-01-31T12:00:00.123Z",
    });
    assert_eq!((made.status, made.json()), (201, expected.clone()));
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(post_collection(&app, "alice", &json!({"name": "b", "visibility": "private"})).await.status, 201);
    let id = upload(&app, "alice", 1, "public").await;
    add_image(&app, "alice", "b", &id).await.ok();
    let list = app.by("alice", Method::GET, "/collections").await.ok();
    let names: Vec<_> = list["collections"].as_array().unwrap().iter().map(|one| (&one["name"], &one["image_count"])).collect();
    assert_eq!(names, [(&json!("b"), &json!(1)), (&json!("summer_2026-a"), &json!(0))]);
    assert_eq!(app.by("bob", Method::GET, "/collections").await.ok()["collections"], json!([]));
    let first = app.by("alice", Method::GET, "/collections?limit=1").await.ok();
    let next = format!("/collections?limit=1&page_token={}", first["next_page_token"].as_str().unwrap());
    assert_eq!(app.by("alice", Method::GET, &next).await.ok()["collections"][0]["name"], "summer_2026-a");
    assert_error(&app.by("bob", Method::GET, &next).await, 400, "BadRequest");
    assert_eq!(app.by("alice", Method::DELETE, "/collections/b").await.status, 204);
    assert_error(&app.by("alice", Method::GET, "/collections/b").await, 404, "NotFound");
    app.get(&format!("/images/{id}")).await.ok();
    // The name can be reused, and the new collection is empty.
    create_collection(&app, "bob", "b").await;
    assert_eq!(list_image_ids(&app, "bob", "b").await, [""; 0]);
    app.assert_sound().await;
}

#[tokio::test]
async fn names_are_unique_across_users_and_contain_only_plain_characters() {
    let app = TestApp::start().await;
    let long = "a".repeat(64);
    for good in ["a", "A", "0", "-_-", &long] {
        create_collection(&app, "alice", good).await;
        let taken = post_collection(&app, "bob", &json!({"name": good, "visibility": "private"})).await;
        assert_error(&taken, 409, "Conflict");
        assert_eq!(taken.json()["message"], format!("There is already a collection named \"{good}\"."));
    }
    for bad in [json!(""), json!("a b"), json!("ü"), json!("a/b"), json!("a.json"), json!("a".repeat(65)), json!(1), Value::Null]
    {
        let details = assert_error(&post_collection(&app, "alice", &json!({"name": bad})).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["name"], "{bad}");
    }
    let details =
        assert_error(&post_collection(&app, "alice", &json!({"visibility": "open", "title": 1})).await, 422, "ValidationError");
    assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "title", "visibility"]);
    assert_error(&app.post_json("/collections", &json!({"name": "nobodys"})).await, 401, "Unauthorized");
    for path in ["/c/a%20b", "/c/%ff", "/c/nope", "/collections/a%20b", "/collections/nope/images"] {
        assert_error(&app.by("alice", Method::GET, path).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn images_are_listed_in_the_order_of_adding_without_duplicates() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let mut added = Vec::new();
    for seed in 0..7 {
        added.push(upload(&app, "alice", seed, "public").await);
    }
    // The order differs from the order of uploading.
    added.reverse();
    added.swap(2, 5);
    for id in added.iter().chain(&added[..3]) {
        assert_eq!(add_image(&app, "alice", "c", id).await.ok()["image_id"], id.as_str());
    }
    assert_eq!(list_image_ids(&app, "alice", "c").await, added);
    assert_eq!(public_image_ids(&app, "c").await, added);
    create_collection(&app, "alice", "other").await;
    for path in ["/collections/c", "/collections/c/images", "/c/c"] {
        let (mut seen, mut token) = (0, String::new());
        loop {
            let page = app.by("alice", Method::GET, &format!("{path}?limit=3{token}")).await.ok();
            seen += page["images"].as_array().unwrap().len();
            assert_eq!(page["has_more"], seen < 7);
            let Some(next) = page["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
            let other = path.replace("/c/c", "/c/other").replace("collections/c", "collections/other");
            assert_error(&app.by("alice", Method::GET, &format!("{other}?limit=3{token}")).await, 400, "BadRequest");
        }
        assert_eq!(seen, 7, "{path}");
    }
    let of_collection = |id: &str| format!("/collections/c/images/{id}");
    assert_eq!(app.by("alice", Method::GET, &of_collection(&added[3])).await.ok()["image_id"], added[3].as_str());
    let out = added.remove(3);
    let before = app.by("alice", Method::GET, "/collections/c").await.ok()["updated_at"].clone();
    assert_eq!(app.by("alice", Method::DELETE, &of_collection(&out)).await.status, 204);
    assert_ne!(app.by("alice", Method::GET, "/collections/c").await.ok()["updated_at"], before);
    let absent = app.by("alice", Method::DELETE, &of_collection(&out)).await;
    assert_error(&absent, 404, "NotFound");
    assert_eq!(absent.json()["message"], "This image is not in the collection.");
    assert_error(&app.by("alice", Method::GET, &of_collection(&out)).await, 404, "NotFound");
    assert_eq!(list_image_ids(&app, "alice", "c").await, added);
    // An image that is added again moves to the end.
    add_image(&app, "alice", "c", &out).await.ok();
    added.push(out);
    assert_eq!(list_image_ids(&app, "alice", "c").await, added);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_public_page_has_links_that_do_not_expire() {
    let app = TestApp::with(&["--public-url=https://images.example.org/"]).await;
    let file = jpeg(900, 600, 1);
    let form = Form::upload("alice", &file).text("title", "Dusk").text("description", "Over the sea");
    let image = app.post(form).await.image();
    let id = image["image_id"].as_str().unwrap();
    create_collection(&app, "alice", "c").await;
    add_image(&app, "alice", "c", id).await.ok();
    let base = "https://images.example.org";
    let thumb = |name: &str, width: u32, height: u32| json!({"size": {"width": width, "height": height}, "url": format!("{base}/images/{id}/thumbnails/{name}")});
    let expected = json!({
        "type": "image", "url": format!("{base}/i/{id}"), "s3_key": format!("{}/{id}/original", &id[34..]),
        "title": "Dusk", "description": "Over the sea", "size": {"width": 900, "height": 600}, "colors": image["colors"],
        "thumbs": [thumb("small", 128, 85), thumb("200", 300, 200), thumb("medium", 512, 341), thumb("400", 600, 400)],
    });
    let page = app.get("/c/c").await.ok();
    assert_eq!(
        page,
        json!({"type": "collection", "name": "c", "images": [expected], "next_page_token": null, "has_more": false})
    );
    assert_eq!(app.get(&format!("/i/{id}.json")).await.ok(), expected);
    assert!(app.storage().keys().await.contains(&expected["s3_key"].as_str().unwrap().to_owned()));
    for thumb in expected["thumbs"].as_array().unwrap() {
        let path = thumb["url"].as_str().unwrap().strip_prefix(base).unwrap();
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    assert_error(&app.get("/i/x.json").await, 404, "NotFound");
    // The file name in a public link has no meaning.
    assert_eq!(app.get(&format!("/i/{id}/a.json")).await.header("content-type"), "image/jpeg");
    assert_error(&app.get(&format!("/i/{id}.json/a.jpg")).await, 404, "NotFound");
}

/// The thumbnails in `/i/{id}.json` and `/c/c`, all of which must be downloadable.
async fn thumbs(app: &TestApp, id: &str) -> Vec<(String, u64)> {
    let image = app.get(&format!("/i/{id}.json")).await.ok();
    assert_eq!(app.get("/c/c").await.ok()["images"][0], image);
    let mut thumbs = Vec::new();
    for thumb in image["thumbs"].as_array().unwrap() {
        let (_, path) = thumb["url"].as_str().unwrap().split_once("/images/").unwrap();
        let picture = app.get(&format!("/images/{path}")).await;
        assert_eq!(picture.status, 200, "{path}: {}", picture.text());
        thumbs.push((path.rsplit('/').next().unwrap().to_owned(), thumb["size"]["height"].as_u64().unwrap()));
    }
    thumbs
}

#[tokio::test]
async fn a_public_page_lists_the_thumbnails_of_the_current_settings() {
    let mut app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let id = app.post(Form::upload("alice", &jpeg(900, 600, 1))).await.image_id();
    add_image(&app, "alice", "c", &id).await.ok();
    let named = |found: &[(&str, u64)]| found.iter().map(|(name, height)| ((*name).to_owned(), *height)).collect::<Vec<_>>();
    assert_eq!(thumbs(&app, &id).await, named(&[("small", 85), ("200", 200), ("medium", 341), ("400", 400)]));
    app.set("--thumbnail-heights=300");
    app.restart().await;
    assert_eq!(thumbs(&app, &id).await, named(&[("small", 85), ("300", 300), ("medium", 341)]));
    // Small images are not enlarged, but every thumbnail exists.
    let tiny = upload(&app, "alice", 2, "public").await;
    app.delete("alice", &id).await.ok();
    add_image(&app, "alice", "c", &tiny).await.ok();
    assert_eq!(thumbs(&app, &tiny).await, named(&[("small", 64), ("medium", 64), ("300", 64)]));
}

#[tokio::test]
async fn a_public_page_shows_what_the_plan_of_the_image_owner_allows() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({"plan": "Basic"})).await;
    let id = app.post_as(&ann, Form::new().file(&jpeg(900, 600, 1))).await.image_id();
    create_collection(&app, "alice", "c").await;
    add_image(&app, "alice", "c", &id).await.ok();
    let image = app.get(&format!("/i/{id}.json")).await.ok();
    assert_eq!(image["url"], Value::Null);
    assert_error(&app.get(&format!("/i/{id}")).await, 403, "Forbidden");
    let named = |found: &[(&str, u64)]| found.iter().map(|(name, height)| ((*name).to_owned(), *height)).collect::<Vec<_>>();
    assert_eq!(thumbs(&app, &id).await, named(&[("small", 85), ("200", 200)]));
    assert_error(&app.get(&format!("/images/{id}/thumbnails/medium")).await, 403, "Forbidden");
    let premium = app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", ann.id), &json!({"plan": "Premium"})).await;
    assert_eq!(premium.status, 200);
    assert_eq!(app.get("/c/c").await.ok()["images"][0]["url"].as_str().unwrap().rsplit('/').next(), Some(id.as_str()));
    assert_eq!(thumbs(&app, &id).await, named(&[("small", 85), ("200", 200), ("medium", 341), ("400", 400)]));
}

/// The position that is encoded in a page token.
fn position(page: &Value) -> Vec<u8> {
    let token = URL_SAFE_NO_PAD.decode(page["next_page_token"].as_str().unwrap()).unwrap();
    token[1..17].to_vec()
}

#[tokio::test]
async fn a_page_token_does_not_reveal_hidden_images() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    for name in ["c", "d"] {
        create_collection(&app, "alice", name).await;
    }
    let (first, last) = (upload(&app, "alice", 1, "public").await, upload(&app, "alice", 2, "public").await);
    let hidden = [upload(&app, "alice", 3, "private").await, upload(&app, "alice", 4, "public").await];
    for id in &hidden {
        add_image(&app, "alice", "c", id).await.ok();
    }
    for id in [&first, &last] {
        app.clock.advance(TimeDelta::seconds(1));
        for name in ["c", "d"] {
            add_image(&app, "alice", name, id).await.ok();
        }
    }
    app.delete("alice", &hidden[1]).await.ok();
    let (with, without) = (app.get("/c/c?limit=1").await.ok(), app.get("/c/d?limit=1").await.ok());
    assert_eq!(with["images"], without["images"]);
    assert_eq!(position(&with), position(&without));
    // A clock that was set back does not change the order either.
    app.clock.advance(TimeDelta::hours(-1));
    let late = upload(&app, "alice", 5, "public").await;
    add_image(&app, "alice", "c", &late).await.ok();
    assert_eq!(public_image_ids(&app, "c").await, [first, last, late]);
}

#[tokio::test]
async fn a_collection_follows_the_state_of_its_images() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let (a, b, c) = (
        upload(&app, "alice", 1, "public").await,
        upload(&app, "alice", 2, "private").await,
        upload(&app, "bob", 3, "public").await,
    );
    for id in [&a, &b, &c] {
        add_image(&app, "alice", "c", id).await.ok();
    }
    let both = async |own: &[&String], public: &[&String]| {
        assert_eq!(list_image_ids(&app, "alice", "c").await.iter().collect::<Vec<_>>(), own);
        assert_eq!(public_image_ids(&app, "c").await.iter().collect::<Vec<_>>(), public);
        app.assert_sound().await;
    };
    both(&[&a, &b, &c], &[&a, &c]).await;
    // A deleted image disappears immediately, and returns to its position when restored.
    app.delete("alice", &a).await.ok();
    both(&[&b, &c], &[&c]).await;
    assert_error(&app.by("alice", Method::GET, &format!("/collections/c/images/{a}")).await, 404, "NotFound");
    app.restore("alice", &a).await.ok();
    both(&[&a, &b, &c], &[&a, &c]).await;
    // A foreign image that becomes private is hidden from the collection's owner too.
    app.patch("bob", &c, &json!({"visibility": "private"})).await.ok();
    both(&[&a, &b], &[&a]).await;
    app.patch("bob", &c, &json!({"visibility": "public"})).await.ok();
    app.patch("alice", &b, &json!({"visibility": "public", "tags": []})).await.ok();
    both(&[&a, &b, &c], &[&a, &b, &c]).await;
    // Made private, then deleted.
    app.patch("alice", &b, &json!({"visibility": "private"})).await.ok();
    app.delete("alice", &b).await.ok();
    app.delete("bob", &c).await.ok();
    both(&[&a], &[&a]).await;
    app.restore("alice", &b).await.ok();
    both(&[&a, &b], &[&a]).await;
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    both(&[&a, &b], &[&a]).await;
    assert_error(&app.restore("bob", &c).await, 404, "NotFound");
}

#[tokio::test]
async fn a_private_collection_is_visible_only_to_its_owner() {
    let app = TestApp::start().await;
    assert_eq!(post_collection(&app, "alice", &json!({"name": "c", "visibility": "private"})).await.status, 201);
    let id = upload(&app, "alice", 1, "public").await;
    add_image(&app, "alice", "c", &id).await.ok();
    let paths = ["/c/c", "/images?collection=c", "/collections/c"];
    for (visibility, to_others) in [("private", [404, 404, 404]), ("public", [200, 200, 403])] {
        let request = app.request(Method::PATCH, "/collections/c").header("X-User-Id", "alice");
        let changed = app.send(request.json(&json!({"visibility": visibility}))).await.ok();
        assert_eq!((&changed["visibility"], &changed["image_count"]), (&json!(visibility), &json!(1)));
        for (path, status) in paths.into_iter().zip(to_others) {
            assert_eq!(app.by("bob", Method::GET, path).await.status, status, "{path}");
            assert_eq!(app.by("alice", Method::GET, path).await.status, 200, "{path}");
        }
        assert_eq!(app.get("/c/c").await.status, to_others[0]);
    }
}

#[tokio::test]
async fn users_add_only_visible_images_to_their_own_collections() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let (hidden, public) = (upload(&app, "bob", 1, "private").await, upload(&app, "bob", 2, "public").await);
    assert_error(&add_image(&app, "alice", "c", &hidden).await, 404, "NotFound");
    add_image(&app, "alice", "c", &public).await.ok();
    app.delete("bob", &public).await.ok();
    assert_error(&add_image(&app, "alice", "c", &public).await, 404, "NotFound");
    for (method, id) in [(Method::PUT, &hidden), (Method::DELETE, &public), (Method::GET, &public)] {
        assert_error(&app.by("bob", method, &format!("/collections/c/images/{id}")).await, 403, "Forbidden");
    }
    for method in [Method::DELETE, Method::GET] {
        assert_error(&app.by("bob", method, "/collections/c").await, 403, "Forbidden");
    }
    assert_eq!(list_image_ids(&app, "alice", "c").await, [""; 0]);
}

#[tokio::test]
async fn images_can_be_filtered_by_collection() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let mut uploaded = Vec::new();
    for (user, visibility) in [("alice", "public"), ("alice", "private"), ("bob", "public"), ("alice", "public")] {
        uploaded.push(upload(&app, user, uploaded.len() as u64, visibility).await);
    }
    app.patch("alice", &uploaded[3], &json!({"tags": ["sea", "sun"]})).await.ok();
    for id in [3, 0, 2, 1].map(|number: usize| &uploaded[number]) {
        add_image(&app, "alice", "c", id).await.ok();
    }
    let other = upload(&app, "alice", 9, "public").await;
    let pick = |numbers: &[usize]| numbers.iter().map(|number| uploaded[*number].clone()).collect::<Vec<_>>();
    for (query, to_owner, to_others) in [
        ("collection=c", pick(&[3, 2, 1, 0]), pick(&[3, 2, 0])),
        ("collection=c&user_id=alice", pick(&[3, 1, 0]), pick(&[3, 0])),
        ("collection=c&user_id=bob", pick(&[2]), pick(&[2])),
        ("collection=c&tags=sea", pick(&[3, 2, 1, 0]), pick(&[3, 2, 0])),
        ("collection=c&tags=sea,sun", pick(&[3]), pick(&[3])),
        ("collection=c&tags=sea&user_id=alice&start_date=2020-01-01", pick(&[3, 1, 0]), pick(&[3, 0])),
        ("collection=c&start_date=2020-01-01", pick(&[3, 2, 1, 0]), pick(&[3, 2, 0])),
        ("collection=c&end_date=2020-01-01", vec![], vec![]),
    ] {
        // Twice, because the second time some counts are cached.
        for _ in 0..2 {
            let (own, others) = (
                app.by("alice", Method::GET, &format!("/images?{query}")).await.ok(),
                app.get(&format!("/images?{query}")).await.ok(),
            );
            assert_eq!((ids_of(&own), &own["total_count"]), (to_owner.clone(), &json!(to_owner.len())), "{query}");
            assert_eq!((ids_of(&others), &others["total_count"]), (to_others.clone(), &json!(to_others.len())), "{query}");
        }
    }
    // A cached count is not used after the collection has changed.
    add_image(&app, "alice", "c", &other).await.ok();
    assert_eq!(app.get("/images?collection=c&user_id=alice&tags=sea").await.ok()["total_count"], 3);
    let first = app.get("/images?collection=c&limit=1").await.ok();
    let next = first["next_page_token"].as_str().unwrap();
    assert_error(&app.get(&format!("/images?limit=1&page_token={next}")).await, 400, "BadRequest");
    assert_eq!(ids_of(&app.get(&format!("/images?collection=c&limit=1&page_token={next}")).await.ok()), pick(&[3]));
    assert_error(&app.get("/images?collection=nope").await, 404, "NotFound");
    assert_error(&app.get("/images?collection=a%20b").await, 422, "ValidationError");
}

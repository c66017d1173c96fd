//! Private images: for other callers they do not exist, in any response.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::ids_of;
use crate::harness::pictures::jpeg;
use crate::harness::world::picture;
use crate::harness::{Answer, Form, TestApp, World, assert_error};

fn private(user: &str, seed: u64) -> Form {
    Form::upload(user, &jpeg(64, 64, seed)).text("tags", "sea").text("visibility", "private")
}

async fn as_user(app: &TestApp, user: Option<&str>, path: &str) -> Answer {
    match user {
        Some(user) => app.by(user, Method::GET, path).await,
        None => app.get(path).await,
    }
}

/// Returns every path that serves the image.
fn paths_of(id: &str) -> Vec<String> {
    let below = ["", "/download", "/thumbnails/small", "/thumbnails/400", "/thumbnail?width=40"];
    let mut all: Vec<String> = below.iter().map(|rest| format!("/images/{id}{rest}")).collect();
    all.extend([format!("/i/{id}"), format!("/i/{id}/name.jpg")]);
    all
}

#[tokio::test]
async fn a_private_image_is_visible_only_to_its_owner() {
    let app = TestApp::start().await;
    let id = app.post(private("alice", 1)).await.image_id();
    for path in paths_of(&id) {
        assert_eq!(as_user(&app, Some("alice"), &path).await.status, 200, "{path}");
        for other in [None, Some("bob")] {
            let answer = as_user(&app, other, &path).await;
            assert_error(&answer, 404, "NotFound");
            // The response is the same as for an image that never existed.
            let none = as_user(&app, other, &path.replace(&id, "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")).await;
            assert_eq!(answer.json(), none.json(), "{path}");
        }
    }
    for answer in [
        app.patch("bob", &id, &json!({"title": "mine"})).await,
        app.delete("bob", &id).await,
        app.restore("bob", &id).await,
        app.by("bob", Method::GET, &format!("/images/{id}/links")).await,
    ] {
        assert_error(&answer, 404, "NotFound");
    }
    let image = as_user(&app, Some("alice"), &format!("/images/{id}")).await.ok();
    assert_eq!(image["visibility"], "private");
    assert_eq!(app.fetch(image["download_url"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_private_image_is_listed_and_counted_only_for_its_owner() {
    let app = TestApp::start().await;
    let public = app.post(Form::upload("alice", &jpeg(64, 64, 1)).text("tags", "sea,sun")).await.image_id();
    let hidden = app.post(private("alice", 2)).await.image_id();
    let both = vec![hidden.clone(), public.clone()];
    for path in [
        "/images",
        "/images?user_id=alice",
        "/images?tags=sea",
        "/images?user_id=alice&tags=sea",
        "/images?start_date=2020-01-01",
        "/images?user_id=alice&start_date=2020-01-01&tags=sea",
        "/users/alice/images",
        "/tags/sea/images",
    ] {
        for (viewer, expected) in [(Some("alice"), &both), (Some("bob"), &vec![public.clone()]), (None, &vec![public.clone()])] {
            let page = as_user(&app, viewer, path).await.ok();
            assert_eq!(&ids_of(&page), expected, "{path} by {viewer:?}");
            assert_eq!(page["total_count"], expected.len(), "{path} by {viewer:?}");
        }
    }
    // Only the public image has both tags, for every caller.
    assert_eq!(ids_of(&as_user(&app, Some("alice"), "/images?tags=sea,sun").await.ok()), [public]);
    assert_eq!(as_user(&app, Some("bob"), "/images?user_id=carol").await.ok()["total_count"], 0);
    app.assert_sound().await;
}

#[tokio::test]
async fn an_owner_pages_through_public_and_private_images_in_one_order() {
    let app = TestApp::start().await;
    let mut uploaded = Vec::new();
    for number in 0..12 {
        let form = Form::upload("alice", &jpeg(50, 50, number)).text("tags", "sea");
        let form = if number % 3 == 0 { form.text("visibility", "private") } else { form };
        uploaded.push(app.post(form).await.image_id());
    }
    uploaded.sort();
    uploaded.reverse();
    for path in ["/images", "/users/alice/images", "/tags/sea/images"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = app.by("alice", Method::GET, &format!("{path}?limit=5{token}")).await.ok();
            seen.extend(ids_of(&page));
            let Some(next) = page["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
        }
        assert_eq!(seen, uploaded, "{path}");
    }
}

#[tokio::test]
async fn a_changed_visibility_applies_immediately() {
    let app = TestApp::start().await;
    let id = app.post(private("alice", 1)).await.image_id();
    let visible_everywhere = async || {
        let mut seen: Vec<bool> = Vec::new();
        for path in paths_of(&id) {
            seen.push(app.get(&path).await.status == 200);
        }
        for path in ["/images", "/tags/sea/images", "/users/alice/images"] {
            let page = app.get(path).await.ok();
            assert_eq!(page["total_count"], ids_of(&page).len());
            seen.push(ids_of(&page) == [id.clone()]);
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        seen[0]
    };
    assert!(!visible_everywhere().await);
    for (visibility, seen) in [(json!("public"), true), (json!("public"), true), (json!("private"), false)] {
        let changed = app.patch("alice", &id, &json!({"visibility": visibility})).await.ok();
        assert_eq!(changed["visibility"], if seen { "public" } else { "private" });
        assert_eq!(visible_everywhere().await, seen, "{visibility}");
        app.assert_sound().await;
    }
    // Together with tags and title in one request, and across deletion and restoration.
    app.patch("alice", &id, &json!({"visibility": "public", "tags": ["sea", "sun"], "title": "both"})).await.ok();
    assert!(visible_everywhere().await);
    app.patch("alice", &id, &json!({"visibility": "private", "tags": ["sea"]})).await.ok();
    app.delete("alice", &id).await.ok();
    assert!(!visible_everywhere().await);
    app.restore("alice", &id).await.ok();
    assert!(!visible_everywhere().await);
    assert_eq!(ids_of(&app.by("alice", Method::GET, "/images?tags=sea").await.ok()), [id]);
    app.assert_sound().await;
}

#[tokio::test]
async fn private_images_are_not_cached_by_proxies() {
    let app = TestApp::start().await;
    let id = app.post(private("alice", 1)).await.image_id();
    for path in [format!("/i/{id}"), format!("/images/{id}/thumbnails/small"), format!("/images/{id}/thumbnail?width=40")] {
        let answer = app.by("alice", Method::GET, &path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "private, no-cache"), "{path}");
        let etag = answer.header("etag").to_owned();
        let known = app.request(Method::GET, &path).header("X-User-Id", "alice").header("If-None-Match", &etag);
        assert_eq!(app.send(known).await.status, 304);
        // A caller who knows the ETag learns nothing from it.
        assert_error(&app.get_with(&path, "If-None-Match", &etag).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn statistics_count_private_uploads_only_for_administrators() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.post(Form::upload("alice", &jpeg(64, 64, 1))).await.ok();
    app.post(private("alice", 2)).await.ok();
    for (stats, stored) in
        [(app.get("/stats").await, 1), (app.by("alice", Method::GET, "/stats").await, 1), (app.get_as(&admin, "/stats").await, 2)]
    {
        let stats = stats.ok();
        assert_eq!((&stats["success"], &stats["formats"]["jpeg"]["success"]), (&json!(stored), &json!(stored)));
    }
}

#[tokio::test]
async fn private_imported_images_are_not_in_the_list_of_links() {
    let world = World::new();
    world.site("pictures.test", |path, _| picture(&jpeg(64, 64, path.len() as u64))).await;
    let app = TestApp::within(world, &["--import-concurrency=0"]).await;
    for (url, visibility) in [("http://pictures.test/a.jpg", "private"), ("http://pictures.test/bb.jpg", "public")] {
        let order = json!({"urls": [url], "user_id": "alice", "visibility": visibility});
        assert_eq!(app.post_json("/imports", &order).await.status, 202);
    }
    app.import_all().await;
    assert_eq!(app.get("/links").await.ok()["uploaded"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    let own = app.by("alice", Method::GET, "/images").await.ok();
    let found: Vec<&str> = own["images"].as_array().unwrap().iter().map(|image| image["visibility"].as_str().unwrap()).collect();
    assert_eq!(found, ["public", "private"]);
    let wrong = json!({"urls": ["http://pictures.test/a.jpg"], "user_id": "alice", "visibility": "hidden"});
    let details = assert_error(&app.post_json("/imports", &wrong).await, 422, "ValidationError");
    assert_eq!(details, json!({"visibility": "must be public or private"}));
}

#[tokio::test]
async fn an_invalid_visibility_is_422() {
    let app = TestApp::start().await;
    let upload = |text: &str| Form::upload("alice", &jpeg(64, 64, 1)).text("visibility", text);
    for bad in ["Publik", "secret", "private "] {
        let details = assert_error(&app.post(upload(bad)).await, 422, "ValidationError");
        assert_eq!(details, json!({"visibility": "must be public or private"}), "{bad:?}");
    }
    let id = app.post(upload("Public")).await.image_id();
    for bad in [json!(""), json!(true), json!(1), json!(["private"]), json!({}), Value::Null] {
        assert_error(&app.patch("alice", &id, &json!({"visibility": bad})).await, 422, "ValidationError");
    }
}

#[tokio::test]
async fn a_repeated_upload_returns_the_original_visibility() {
    let app = TestApp::start().await;
    let first = app.post_with_key("k", private("alice", 1)).await.image();
    app.patch("alice", first["image_id"].as_str().unwrap(), &json!({"visibility": "public"})).await.ok();
    let again = app.post_with_key("k", private("alice", 1)).await.image();
    assert_eq!((&again["image_id"], &again["visibility"]), (&first["image_id"], &json!("private")));
    // With another visibility it is a different request.
    let public = Form::upload("alice", &jpeg(64, 64, 1)).text("tags", "sea");
    assert_error(&app.post_with_key("k", public).await, 422, "ValidationError");
}

#[tokio::test]
async fn concurrent_visibility_changes_keep_lists_and_counts_exact() {
    let app = TestApp::start().await;
    let id = app.post(private("alice", 1)).await.image_id();
    let change = |number: usize| {
        let (visibility, tags) = (["public", "private"][number % 2], [["sea"], ["sun"]][number / 2 % 2]);
        json!({"visibility": visibility, "tags": tags})
    };
    let changes: Vec<Value> = (0..24).map(change).collect();
    let answers = join_all(changes.iter().map(|change| app.patch("alice", &id, change))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    app.assert_sound().await;
    let image = app.by("alice", Method::GET, &format!("/images/{id}")).await.ok();
    assert_eq!(app.get("/images").await.ok()["total_count"], u8::from(image["visibility"] == "public"));
}

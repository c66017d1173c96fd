//! The tiles of the gallery: who sees which, and their signed URLs.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, transparent_png};
use crate::harness::pixels::Pixels;
use crate::harness::{Answer, Form, TestApp, assert_error};

/// Returns the tiles that a user sees; an empty name means an anonymous visitor.
async fn tiles(app: &TestApp, user: &str, query: &str) -> Vec<Value> {
    let path = format!("/app/tiles{query}");
    let answer = if user.is_empty() { app.get(&path).await } else { app.by(user, Method::GET, &path).await };
    answer.ok()["tiles"].as_array().unwrap().clone()
}

fn titles(tiles: &[Value]) -> Vec<&str> {
    tiles.iter().map(|tile| tile["title"].as_str().unwrap()).collect()
}

/// Returns the paths of all sizes of a tile, with their widths and heights.
fn urls(tile: &Value) -> Vec<(String, u64, u64)> {
    let url = |size: &Value| {
        let path = format!("/{}", size["url"].as_str().unwrap());
        assert!(path.starts_with(&format!("/images/{}/thumbnail?", tile["id"].as_str().unwrap())), "{path}");
        (path, size["width"].as_u64().unwrap(), size["height"].as_u64().unwrap())
    };
    [&tile["sizes"], &tile["large"]].into_iter().flat_map(|sizes| sizes.as_array().unwrap()).map(url).collect()
}

async fn upload(app: &TestApp, user: &str, title: &str, visibility: &str) -> Answer {
    let form = Form::upload(user, &jpeg(900, 600, 1)).text("title", title).text("visibility", visibility);
    app.post(form.text("tags", "sea")).await
}

#[tokio::test]
async fn tiles_are_those_of_the_images_that_the_user_sees() {
    let app = TestApp::start().await;
    for (user, title, visibility) in
        [("ann", "one", "public"), ("ann", "two", "private"), ("bob", "three", "private"), ("bob", "four", "public")]
    {
        upload(&app, user, title, visibility).await.ok();
    }
    assert_eq!(titles(&tiles(&app, "", "").await), ["four", "one"]);
    assert_eq!(titles(&tiles(&app, "ann", "").await), ["four", "two", "one"]);
    assert_eq!(titles(&tiles(&app, "bob", "?user_id=ann").await), ["one"]);
    assert_eq!(titles(&tiles(&app, "ann", "?user_id=ann&tags=sea").await), ["two", "one"]);
    assert_eq!(titles(&tiles(&app, "ann", "?tags=sun").await), Vec::<&str>::new());
    let first = app.by("ann", Method::GET, "/app/tiles?limit=2").await.ok();
    assert_eq!((titles(first["tiles"].as_array().unwrap()), &first["total"]), (vec!["four", "two"], &json!(3)));
    let next = format!("?limit=2&page_token={}", first["next"].as_str().unwrap());
    assert_eq!(titles(&tiles(&app, "ann", &next).await), ["one"]);
    for query in ["?limit=0", "?tag=sea", "?start_date=x", "?page_token=x"] {
        assert!(matches!(app.get(&format!("/app/tiles{query}")).await.status, 400 | 422), "{query}");
    }
}

#[tokio::test]
async fn the_signed_urls_of_a_tile_work_without_credentials_and_use_the_stored_thumbnails() {
    let app = TestApp::start().await;
    upload(&app, "ann", "one", "private").await.ok();
    app.post(Form::upload("ann", &transparent_png(700, 300, 2)).text("title", "two")).await.ok();
    for tile in tiles(&app, "ann", "").await {
        let urls = urls(&tile);
        let widths: Vec<u64> = urls.iter().map(|(_, width, _)| *width).collect();
        assert!(widths.len() > 3 && widths.is_sorted_by(|one, other| one < other), "{widths:?}");
        assert!(widths.iter().max() <= tile["width"].as_u64().as_ref(), "never enlarged: {widths:?}");
        for (path, width, height) in urls {
            let answer = app.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let size = Pixels::of(&answer).size();
            assert_eq!((u64::from(size.0), u64::from(size.1)), (width, height), "{path}");
        }
    }
    // A gallery shows only what is stored.
    let shown = &tiles(&app, "ann", "").await[1];
    assert_eq!(shown["sizes"].as_array().unwrap().len(), 4);
    assert_eq!(shown["large"][0]["width"], 900);
    // Only the first image is larger than its largest thumbnail, so it got one further version.
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 1.0);
}

#[tokio::test]
async fn the_urls_of_a_tile_stay_the_same_for_hours_and_end_with_the_image() {
    let app = TestApp::start().await;
    let id = upload(&app, "ann", "one", "private").await.image_id();
    app.clock.stop_at("2026-01-01T00:30:00Z");
    let before = tiles(&app, "ann", "").await;
    app.clock.advance(TimeDelta::hours(5));
    assert_eq!(before, tiles(&app, "ann", "").await);
    let (path, ..) = urls(&before[0])[0].clone();
    assert_eq!(app.get(&path).await.status, 200);
    app.clock.advance(TimeDelta::hours(1));
    let after = tiles(&app, "ann", "").await;
    assert_ne!(before, after);
    assert_eq!(app.get(&path).await.status, 200, "for at least six hours");
    app.clock.advance(TimeDelta::hours(6));
    assert_error(&app.get(&path).await, 403, "Forbidden");
    let (path, ..) = urls(&after[0])[0].clone();
    app.delete("ann", &id).await;
    assert!(matches!(app.get(&path).await.status, 403 | 404));
}

#[tokio::test]
async fn a_tile_is_found_by_id_by_those_who_see_its_image() {
    let app = TestApp::start().await;
    let id = upload(&app, "ann", "one", "private").await.image_id();
    let path = format!("/app/tiles/{id}");
    assert_eq!(app.by("ann", Method::GET, &path).await.ok(), tiles(&app, "ann", "").await[0]);
    for user in ["bob", ""] {
        let answer = if user.is_empty() { app.get(&path).await } else { app.by(user, Method::GET, &path).await };
        assert_error(&answer, 404, "NotFound");
    }
    app.patch("ann", &id, &json!({"visibility": "public"})).await.ok();
    let public = app.get(&path).await.ok();
    let (url, ..) = urls(&public)[0].clone();
    assert_eq!(app.get(&url).await.status, 200);
    app.patch("ann", &id, &json!({"visibility": "private"})).await.ok();
    assert_error(&app.get(&url).await, 404, "NotFound");
    assert_error(&app.get("/app/tiles/x").await, 404, "NotFound");
}

#[tokio::test]
async fn a_plan_without_other_sizes_shows_its_thumbnails_and_one_without_thumbnails_none() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (plan, thumbnails, widths) in [("small", json!(["small"]), vec![128]), ("none", json!([]), vec![])] {
        let features = json!({"name": plan, "thumbnails": thumbnails, "original": false, "custom_sizes": false});
        let created = app.json_as(&admin, Method::POST, "/plans", &features).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let login = app.account(&admin, plan, &json!({"plan": plan})).await;
        let form = Form::new().file(&jpeg(900, 600, 1));
        app.post_as(&login, form).await.ok();
        let page = app.get_as(&login, &format!("/app/tiles?user_id={}", login.user_id)).await.ok();
        let urls = urls(&page["tiles"][0]);
        assert_eq!(urls.iter().map(|(_, width, _)| *width).collect::<Vec<_>>(), widths, "{plan}");
        for (path, ..) in urls {
            assert_eq!(app.get(&path).await.status, 200);
        }
    }
}

#[tokio::test]
async fn the_tiles_of_the_trash_show_thumbnails_to_their_owner_until_the_image_is_restored() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for visibility in ["public", "private"] {
        let id = upload(&app, "ann", "one", visibility).await.image_id();
        let live = urls(&tiles(&app, "ann", "").await[0]);
        app.delete("ann", &id).await.ok();
        let page = app.by("ann", Method::GET, "/app/trash/tiles").await.ok();
        assert_eq!((&page["total"], &page["next"], &page["tiles"][0]["id"]), (&json!(1), &Value::Null, &json!(id)));
        assert!(page["tiles"][0]["deleted_at"].is_string() && page["tiles"][0]["purged_after"].is_string());
        let deleted = urls(&page["tiles"][0]);
        assert_eq!(deleted.iter().map(|(_, width, _)| *width).collect::<Vec<_>>(), [128, 300, 512, 600], "no large versions");
        for (path, ..) in &deleted {
            let answer = app.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(answer.header("cache-control").starts_with("private"), "{}", answer.header("cache-control"));
        }
        for (path, ..) in &live {
            assert_error(&app.get(path).await, 404, "NotFound");
        }
        let bob = app.by("bob", Method::GET, "/app/trash/tiles").await.ok();
        assert_eq!(bob["total"], 0);
        assert_error(&app.get("/app/trash/tiles").await, 401, "Unauthorized");
        app.restore("ann", &id).await.ok();
        assert_error(&app.get(&deleted[0].0).await, 404, "NotFound");
        // What an administrator has deleted is not shown to anyone.
        app.delete("ann", &id).await.ok();
        assert_eq!(app.get(&deleted[0].0).await.status, 200);
        assert_eq!(app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{id}"))).await.status, 200);
        assert_error(&app.get(&deleted[0].0).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn the_trash_names_what_administrators_have_taken_down() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let trash = async |user: &str| app.by(user, Method::GET, "/app/trash/tiles").await.ok();
    let take_down = async |id: &str| app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{id}"))).await.ok();
    app.clock.stop();
    let live = upload(&app, "ann", "live", "private").await.image_id();
    let deleted = app.post(Form::upload("ann", &jpeg(900, 600, 2))).await.image_id();
    assert_eq!(trash("ann").await["taken_down"], json!({"names": [], "has_more": false}));
    app.delete("ann", &deleted).await.ok();
    app.clock.advance(TimeDelta::seconds(1));
    for id in [&live, &deleted] {
        take_down(id).await;
    }
    let page = trash("ann").await;
    assert_eq!(page["taken_down"]["names"][0], "live");
    assert_eq!(page["taken_down"]["names"].as_array().unwrap().len(), 2);
    assert_eq!((&page["total"], &page["tiles"]), (&json!(0), &json!([])));
    assert!(!page.to_string().contains(&live), "nothing leads to the image: {page}");
    assert_eq!(trash("bob").await["taken_down"]["names"], json!([]));
    let refused = app.restore("ann", &live).await;
    assert_error(&refused, 403, "Forbidden");
    assert!(refused.text().contains("Only administrators can restore it."), "{}", refused.text());
    for id in [&live, &deleted] {
        app.send(app.request_as(&admin, Method::POST, &format!("/images/{id}/restore"))).await;
    }
    let page = trash("ann").await;
    assert_eq!((&page["taken_down"]["names"], &page["total"]), (&json!([]), &json!(1)));
    for number in 0..11 {
        app.clock.advance(TimeDelta::seconds(1));
        let form = Form::upload("ann", &jpeg(60, 60, 1)).text("title", &number.to_string());
        take_down(&app.post(form).await.image_id()).await;
    }
    let names = json!(["10", "9", "8", "7", "6", "5", "4", "3", "2", "1"]);
    assert_eq!(trash("ann").await["taken_down"], json!({"names": names, "has_more": true}));
}

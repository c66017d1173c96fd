//! The list of deleted images: `GET /trash`.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp, user: &str, title: &str) -> String {
    app.post(Form::upload(user, &jpeg(120, 90, 1)).text("title", title)).await.image_id()
}

async fn trash(app: &TestApp, user: &str, query: &str) -> Value {
    app.by(user, Method::GET, &format!("/trash{query}")).await.ok()
}

fn titles(page: &Value) -> Vec<&str> {
    page["images"].as_array().unwrap().iter().map(|entry| entry["image"]["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_trash_lists_what_its_user_has_deleted_the_last_deleted_first() {
    let app = TestApp::with(&["--retention-days=10"]).await;
    let mut ids = Vec::new();
    for title in ["one", "two", "three"] {
        ids.push(upload(&app, "ann", title).await);
    }
    let other = upload(&app, "bob", "four").await;
    app.clock.stop_at("2026-05-01T00:00:00Z");
    for id in [&ids[1], &ids[0]] {
        app.delete("ann", id).await.ok();
        app.clock.advance(TimeDelta::hours(1));
    }
    app.delete("bob", &other).await.ok();
    let page = trash(&app, "ann", "").await;
    assert_eq!((titles(&page), &page["total_count"], &page["has_more"]), (vec!["one", "two"], &json!(2), &json!(false)));
    let first = &page["images"][0];
    assert_eq!(first["deleted_at"], "2026-05-01T01:00:00.000Z");
    assert_eq!(first["purged_after"], "2026-05-11T01:00:00.000Z");
    assert_eq!((&first["image"]["download_url"], &first["image"]["thumbnail_url"]), (&Value::Null, &Value::Null));
    app.restore("ann", &ids[0]).await.ok();
    app.by("ann", Method::DELETE, &format!("/images/{}?purge=true", ids[1])).await.ok();
    let page = trash(&app, "ann", "").await;
    assert_eq!((titles(&page), &page["total_count"]), (vec![], &json!(0)));
    assert_error(&app.get("/trash").await, 401, "Unauthorized");
}

#[tokio::test]
async fn paging_neither_skips_nor_repeats_deleted_images_even_if_they_are_restored_meanwhile() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(upload(&app, "ann", &number.to_string()).await);
    }
    // All at the same moment, and then later ones.
    app.clock.stop();
    for id in &ids[..4] {
        app.delete("ann", id).await.ok();
    }
    app.clock.advance(TimeDelta::microseconds(1));
    for id in &ids[4..] {
        app.delete("ann", id).await.ok();
    }
    let first = trash(&app, "ann", "?limit=3").await;
    assert_eq!(titles(&first), ["6", "5", "4"]);
    // The last image of the page is no longer in the trash.
    app.restore("ann", &ids[4]).await.ok();
    let token = first["next_page_token"].as_str().unwrap();
    let second = trash(&app, "ann", &format!("?limit=3&page_token={token}")).await;
    assert_eq!(titles(&second), ["3", "2", "1"]);
    let token = second["next_page_token"].as_str().unwrap();
    let third = trash(&app, "ann", &format!("?limit=3&page_token={token}")).await;
    assert_eq!((titles(&third), &third["next_page_token"], &third["has_more"]), (vec!["0"], &Value::Null, &json!(false)));
    for (user, token) in [("bob", token), ("ann", "x"), ("ann", &token[1..])] {
        assert_error(&app.by(user, Method::GET, &format!("/trash?page_token={token}")).await, 400, "BadRequest");
    }
    let images = app.by("ann", Method::GET, "/images?limit=1").await.ok();
    let foreign = images["next_page_token"].as_str().unwrap_or("AQ");
    assert_error(&app.by("ann", Method::GET, &format!("/trash?page_token={foreign}")).await, 400, "BadRequest");
}

#[tokio::test]
async fn images_that_an_administrator_has_deleted_are_not_listed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (live, deleted) = (upload(&app, "ann", "live").await, upload(&app, "ann", "deleted").await);
    app.delete("ann", &deleted).await.ok();
    for id in [&live, &deleted] {
        let request = app.request_as(&admin, Method::DELETE, &format!("/images/{id}"));
        assert_eq!(app.send(request).await.status, 200);
    }
    let page = trash(&app, "ann", "").await;
    assert_eq!((titles(&page), &page["total_count"]), (vec![], &json!(0)));
}

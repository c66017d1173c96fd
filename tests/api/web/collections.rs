//! The collections of the pages: cards with covers, and tiles in the order of a collection.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

async fn send(app: &TestApp, user: &str, method: Method, path: &str, body: &Value) -> Answer {
    app.send(app.request(method, path).header("X-User-Id", user).json(body)).await
}

async fn create(app: &TestApp, user: &str, name: &str, visibility: &str) {
    let made = send(app, user, Method::POST, "/collections", &json!({"name": name, "visibility": visibility})).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

async fn upload(app: &TestApp, user: &str, title: &str, visibility: &str) -> String {
    let form = Form::upload(user, &jpeg(900, 600, 1)).text("title", title).text("visibility", visibility);
    app.post(form).await.image_id()
}

async fn add(app: &TestApp, user: &str, name: &str, id: &str) {
    app.by(user, Method::PUT, &format!("/collections/{name}/images/{id}")).await.ok();
}

fn titles(page: &Value) -> Vec<&str> {
    page["tiles"].as_array().unwrap().iter().map(|tile| tile["title"].as_str().unwrap()).collect()
}

/// Names, counts and the titles of the covers.
fn cards(page: &Value) -> Vec<(&str, u64, Option<&str>)> {
    let all = page["cards"].as_array().unwrap().iter();
    all.map(|card| (card["name"].as_str().unwrap(), card["count"].as_u64().unwrap(), card["cover"]["title"].as_str())).collect()
}

#[tokio::test]
async fn a_card_has_the_first_picture_that_the_owner_sees_as_its_cover() {
    let app = TestApp::start().await;
    for (name, visibility) in [("a", "public"), ("b", "private"), ("c", "public")] {
        create(&app, "ann", name, visibility).await;
    }
    create(&app, "bob", "bobs", "public").await;
    let (own, foreign) = (upload(&app, "ann", "own", "private").await, upload(&app, "bob", "foreign", "public").await);
    for (name, id) in [("a", &foreign), ("a", &own), ("c", &own), ("c", &foreign)] {
        add(&app, "ann", name, id).await;
    }
    let page = app.by("ann", Method::GET, "/app/collection-cards").await.ok();
    assert_eq!(cards(&page), [("c", 2, Some("own")), ("b", 0, None), ("a", 2, Some("foreign"))]);
    let visibilities: Vec<_> = page["cards"].as_array().unwrap().iter().map(|card| &card["visibility"]).collect();
    assert_eq!((json!(visibilities), &page["next"]), (json!(["public", "private", "public"]), &Value::Null));
    // The signed URLs of a private cover work without credentials.
    let cover = &page["cards"][0]["cover"];
    let path = format!("/{}", cover["sizes"][0]["url"].as_str().unwrap());
    assert!(path.starts_with(&format!("/images/{own}/thumbnail?")), "{path}");
    assert_eq!(app.get(&path).await.status, 200);
    // A cover that the owner of the collection does not see any more is replaced.
    app.patch("bob", &foreign, &json!({"visibility": "private"})).await.ok();
    let moved = send(&app, "ann", Method::PATCH, &format!("/collections/c/images/{own}"), &json!({"after": null})).await;
    assert_eq!(moved.status, 200);
    let page = app.by("ann", Method::GET, "/app/collection-cards?limit=2").await.ok();
    assert_eq!(cards(&page), [("c", 1, Some("own")), ("b", 0, None)]);
    let next = format!("/app/collection-cards?limit=2&page_token={}", page["next"].as_str().unwrap());
    assert_eq!(cards(&app.by("ann", Method::GET, &next).await.ok()), [("a", 1, Some("own"))]);
    assert_eq!(app.by("bob", Method::GET, &next).await.status, 400);
    assert_error(&app.get("/app/collection-cards").await, 401, "Unauthorized");
}

#[tokio::test]
async fn the_tiles_of_a_collection_are_in_its_order_and_for_its_owner_only() {
    let app = TestApp::start().await;
    create(&app, "ann", "c", "public").await;
    let mut ids = Vec::new();
    for (title, visibility) in [("one", "public"), ("two", "private"), ("three", "public")] {
        ids.push(upload(&app, "ann", title, visibility).await);
        add(&app, "ann", "c", &ids[ids.len() - 1]).await;
    }
    send(&app, "ann", Method::PATCH, &format!("/collections/c/images/{}", ids[2]), &json!({"after": ids[0]})).await.ok();
    let page = app.by("ann", Method::GET, "/app/collections/c/tiles?limit=2").await.ok();
    assert_eq!((titles(&page), &page["total"], &page["visibility"]), (vec!["one", "three"], &json!(3), &json!("public")));
    // The last image is named on every page, so that others can be moved behind it.
    assert_eq!(page["last"], ids[1]);
    let next = format!("/app/collections/c/tiles?limit=2&page_token={}", page["next"].as_str().unwrap());
    let page = app.by("ann", Method::GET, &next).await.ok();
    assert_eq!((titles(&page), &page["next"], &page["last"]), (vec!["two"], &Value::Null, &json!(ids[1])));
    assert!(page["tiles"][0]["sizes"][0]["url"].is_string());
    app.delete("ann", &ids[1]).await.ok();
    assert_eq!(app.by("ann", Method::GET, "/app/collections/c/tiles").await.ok()["last"], ids[2]);
    assert_error(&app.by("bob", Method::GET, "/app/collections/c/tiles").await, 403, "Forbidden");
    assert_error(&app.get("/app/collections/c/tiles").await, 401, "Unauthorized");
    send(&app, "ann", Method::PATCH, "/collections/c", &json!({"visibility": "private"})).await.ok();
    assert_error(&app.by("bob", Method::GET, "/app/collections/c/tiles").await, 404, "NotFound");
    assert_error(&app.by("ann", Method::GET, "/app/collections/nope/tiles").await, 404, "NotFound");
    create(&app, "ann", "empty", "private").await;
    let empty = app.by("ann", Method::GET, "/app/collections/empty/tiles").await.ok();
    assert_eq!(empty, json!({"tiles": [], "total": 0, "next": null, "visibility": "private", "last": null}));
}

#[tokio::test]
async fn the_pages_of_collections_reveal_nothing_about_them() {
    let app = TestApp::start().await;
    create(&app, "ann", "tiles", "private").await;
    let image = "01a22671-fe30-7a1d-858e-79bad2aa491c";
    for (path, missing) in [
        ("/app/collections/tiles".to_owned(), "/app/collections/nope".to_owned()),
        (format!("/app/collections/tiles/images/{image}"), format!("/app/collections/nope/images/{image}")),
    ] {
        let (existing, missing) = (app.get(&path).await, app.get(&missing).await);
        assert_eq!((existing.status, existing.text()), (200, missing.text()), "{path}");
    }
    for path in ["/app/collections/a%20b", "/app/collections/tiles/images/x", "/app/collections/"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
}

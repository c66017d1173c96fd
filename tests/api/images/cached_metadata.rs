//! Metadata in memory: every response has what the database has, even if another instance has just changed it.

use futures::future::join_all;
use http::Method;
use image_service::store::database::db::Sql;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp};

/// The image and the only entry of each list, which must be equal.
async fn shown(app: &TestApp, id: &str) -> Value {
    let image = app.get(&format!("/images/{id}")).await.ok();
    for list in ["/images?limit=1", "/users/alice/images", "/images"] {
        let page = app.get(list).await.ok();
        assert_eq!((&page["images"], &page["total_count"]), (&json!([image]), &json!(1)), "{list}");
    }
    image
}

async fn assert_hidden(app: &TestApp, id: &str) {
    assert_eq!(app.get(&format!("/images/{id}")).await.status, 404);
    for list in ["/images?limit=1", "/users/alice/images", "/tags/sea/images"] {
        let page = app.get(list).await.ok();
        assert_eq!((&page["images"], &page["total_count"]), (&json!([]), &json!(0)), "{list}");
    }
}

#[tokio::test]
async fn changes_apply_immediately_to_metadata_in_memory() {
    let app = TestApp::start().await;
    app.clock.stop();
    let id = app.post(Form::upload("alice", &jpeg(96, 64, 1))).await.image_id();
    for round in 0..3 {
        let title = format!("title {round}");
        shown(&app, &id).await;
        app.patch("alice", &id, &json!({"title": title, "tags": ["sea"]})).await.ok();
        let image = shown(&app, &id).await;
        assert_eq!((&image["title"], &image["tags"]), (&json!(title), &json!(["sea"])));
        assert_eq!(app.get("/tags/sea/images").await.ok()["images"], json!([image]));
        app.patch("alice", &id, &json!({"visibility": "private"})).await.ok();
        assert_hidden(&app, &id).await;
        let own = app.by("alice", Method::GET, "/images?limit=1").await.ok();
        assert_eq!((&own["images"][0]["image_id"], &own["images"][0]["visibility"]), (&json!(id), &json!("private")));
        app.patch("alice", &id, &json!({"visibility": "public"})).await.ok();
        assert_eq!(shown(&app, &id).await, image);
        app.delete("alice", &id).await.ok();
        assert_hidden(&app, &id).await;
        app.restore("alice", &id).await.ok();
        shown(&app, &id).await;
    }
}

#[tokio::test]
async fn plans_apply_immediately_to_metadata_in_memory() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.post(Form::upload("alice", &jpeg(96, 64, 1))).await.image_id();
    let has_links = async |original: bool, small: bool| {
        let image = shown(&app, &id).await;
        assert_eq!((image["download_url"].is_string(), image["thumbnail_url"].is_string()), (original, small));
    };
    has_links(true, true).await;
    let ann = app.account(&admin, "alice", &json!({"plan": "Basic"})).await;
    has_links(false, true).await;
    let path = format!("/accounts/{}", ann.id);
    assert_eq!(app.json_as(&admin, Method::PATCH, &path, &json!({"plan": "Premium"})).await.status, 200);
    has_links(true, true).await;
    assert_eq!(app.json_as(&admin, Method::PUT, "/plans/Premium", &json!({"original": true})).await.status, 200);
    has_links(true, false).await;
    assert_eq!(app.json_as(&admin, Method::PATCH, &path, &json!({"plan": null})).await.status, 200);
    has_links(true, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_get_the_images_that_they_ask_for() {
    let app = TestApp::start().await;
    let mut ids = join_all((0..7).map(async |seed| app.post(Form::upload("alice", &jpeg(96, 64, seed))).await.image_id())).await;
    ids.push("019b76db-7280-7c81-8e72-8d9d4c2f636f".to_owned());
    for _ in 0..3 {
        let requests = (0..120).map(|number| &ids[number * 5 % ids.len()]).map(async |id| {
            let answer = app.get(&format!("/images/{id}?include_url=false")).await;
            if *id == ids[7] {
                assert_eq!(answer.status, 404);
            } else {
                assert_eq!(answer.ok()["image_id"], **id);
            }
        });
        join_all(requests).await;
    }
}

/// Only with PostgreSQL, which several instances can share.
#[tokio::test]
async fn a_change_by_another_instance_applies_immediately() {
    let app = TestApp::start().await;
    let db = app.database().await;
    if !db.has_row_versions() {
        return;
    }
    let id = app.post(Form::upload("alice", &jpeg(96, 64, 1))).await.image_id();
    let uuid: uuid::Uuid = id.parse().unwrap();
    let update = async |sql: Sql| {
        let mut tx = db.begin().await.unwrap();
        assert_eq!(tx.execute(sql).await.unwrap(), 1);
        tx.commit().await.unwrap();
    };
    for round in 0..5 {
        let title = format!("title {round}");
        update(Sql::new("update images set title = $2 where id = $1").bind(uuid).bind(title.as_str())).await;
        assert_eq!(shown(&app, &id).await["title"], json!(title));
        update(Sql::new("update images set visibility = 'private' where id = $1").bind(uuid)).await;
        for path in [format!("/images/{id}"), format!("/images/{id}/thumbnails/small"), format!("/i/{id}")] {
            assert_eq!(app.get(&path).await.status, 404, "{path}");
        }
        assert_eq!(app.get("/images").await.ok()["images"], json!([]));
        update(Sql::new("update images set visibility = 'public' where id = $1").bind(uuid)).await;
        assert_eq!(app.get(&format!("/images/{id}/thumbnails/small")).await.status, 200);
    }
    db.close().await;
}

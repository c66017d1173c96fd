//! Deletions revoke URLs: URLs that were signed before stop working, and a restored image gets new ones.

use std::sync::Arc;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::objects::layout;
use image_service::store;
use image_service::store::database::db::Db;
use reqwest::Method;
use serde_json::Value;

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

/// The number of objects of one image of this size.
const OBJECTS: usize = 5;

async fn upload(app: &TestApp) -> Value {
    app.post(Form::upload("alice", &jpeg(900, 700, 1))).await.image()
}

fn id_of(image: &Value) -> &str {
    image["image_id"].as_str().unwrap()
}

/// Returns every presigned URL of an image.
async fn urls(app: &TestApp, image: &Value) -> Vec<String> {
    let download = app.get(&format!("/images/{}/download?expires_in=86400", id_of(image))).await.ok();
    let url = |value: &Value| value.as_str().unwrap().to_owned();
    let thumbnails = ["small", "medium"].map(|size| url(&image["thumbnails"][size]["url"]));
    [url(&image["download_url"]), url(&download["download_url"])].into_iter().chain(thumbnails).collect()
}

/// Returns true if all URLs serve their file, and false if none does.
async fn work(app: &TestApp, urls: &[String]) -> bool {
    let statuses: Vec<u16> = join_all(urls.iter().map(|url| app.fetch(url))).await.iter().map(|answer| answer.status).collect();
    match statuses.iter().filter(|status| **status == 200).count() {
        0 => {
            assert!(statuses.iter().all(|status| [403, 404].contains(status)), "{statuses:?}");
            false
        }
        working => {
            assert_eq!(working, urls.len(), "{statuses:?}");
            true
        }
    }
}

/// Returns the image as clients see it, without its URLs.
async fn public_view(app: &TestApp, id: &str) -> Value {
    let mut image = app.get(&format!("/images/{id}?include_url=false")).await.ok();
    image.as_object_mut().unwrap().remove("updated_at");
    image
}

#[tokio::test]
async fn a_deletion_revokes_every_url_and_a_restored_image_has_new_ones() {
    let app = TestApp::start().await;
    let image = upload(&app).await;
    let id = id_of(&image);
    let (before, original) = (urls(&app, &image).await, app.fetch(image["download_url"].as_str().unwrap()).await.body);
    let seen = public_view(&app, id).await;
    assert!(work(&app, &before).await);
    app.delete("alice", id).await.ok();
    assert!(!work(&app, &before).await);
    assert_eq!(app.storage().keys().await.len(), OBJECTS, "moved, not copied");
    app.assert_sound().await;
    let restored = app.restore("alice", id).await.ok();
    let after = urls(&app, &restored).await;
    assert!(work(&app, &after).await);
    assert!(!work(&app, &before).await, "a revoked URL stays revoked");
    assert_eq!(public_view(&app, id).await, seen);
    assert_eq!(app.get(&format!("/i/{id}")).await.body, original);
    for way in ["thumbnails/200", "thumbnails/small", "thumbnail?width=320"] {
        assert_eq!(app.get(&format!("/images/{id}/{way}")).await.status, 200, "{way}");
    }
    // Deletes and restores it again.
    app.delete("alice", id).await.ok();
    assert!(!work(&app, &after).await);
    app.restore("alice", id).await.ok();
    assert_eq!(app.get(&format!("/i/{id}")).await.body, original);
    app.sweep_all().await;
    app.assert_sound().await;
}

#[tokio::test]
async fn urls_can_outlive_a_deletion_but_not_a_takedown() {
    let app = TestApp::with(&["--delete-revokes-urls=false"]).await;
    let admin = app.admin().await;
    let image = upload(&app).await;
    let before = urls(&app, &image).await;
    app.delete("alice", id_of(&image)).await.ok();
    assert!(work(&app, &before).await);
    // An administrator takes down an image that its owner has deleted.
    app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{}", id_of(&image)))).await.ok();
    assert!(!work(&app, &before).await);
    let live = upload(&app).await;
    let before = urls(&app, &live).await;
    app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{}", id_of(&live)))).await.ok();
    assert!(!work(&app, &before).await);
    let restored = app.send(app.request_as(&admin, Method::POST, &format!("/images/{}/restore", id_of(&live)))).await.ok();
    assert!(work(&app, &urls(&app, &restored).await).await);
    app.assert_sound().await;
}

/// Deletes an image like a process that crashes before it has moved the objects.
async fn delete_and_crash(app: &TestApp, db: &Db, id: &str, prefix: &str) {
    let image = ImageId::parse(id).unwrap();
    app.delete("alice", id).await.ok();
    let mut tx = db.begin().await.unwrap();
    store::images::object_moves::announce(&mut tx, image, prefix, app.clock.now() + TimeDelta::seconds(60)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_sweeper_finishes_the_move_of_a_crashed_process() {
    let app = TestApp::with(&["--delete-revokes-urls=false"]).await;
    app.clock.stop();
    let db = app.database().await;
    let image = upload(&app).await;
    let before = urls(&app, &image).await;
    delete_and_crash(&app, &db, id_of(&image), "0123456789").await;
    app.sweep_all().await;
    assert!(work(&app, &before).await, "the process may still be running");
    app.clock.advance(TimeDelta::seconds(60));
    app.assert_sound().await;
    app.sweep_all().await;
    assert!(!work(&app, &before).await);
    assert_eq!(app.storage().keys().await.len(), OBJECTS);
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn a_move_is_claimed_by_one_sweeper_until_its_lease_expires() {
    let app = TestApp::with(&["--delete-revokes-urls=false"]).await;
    app.clock.stop();
    let db = app.database().await;
    let image = upload(&app).await;
    let (id, before) = (ImageId::parse(id_of(&image)).unwrap(), urls(&app, &image).await);
    delete_and_crash(&app, &db, id_of(&image), "0123456789").await;
    let claim = async || {
        let (now, mut tx) = (app.clock.now(), db.begin().await.unwrap());
        let claimed = store::images::object_moves::claim(&mut tx, id, now, now + TimeDelta::seconds(60)).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    };
    assert!(!claim().await, "the process that deleted the image has claimed it");
    app.clock.advance(TimeDelta::seconds(60));
    assert_eq!((claim().await, claim().await), (true, false));
    app.sweep_all().await;
    assert!(work(&app, &before).await, "the other sweeper has claimed it");
    app.clock.advance(TimeDelta::seconds(60));
    app.sweep_all().await;
    assert!(!claim().await, "the move is finished");
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn an_image_restored_before_its_objects_are_moved_keeps_them() {
    let app = TestApp::with(&["--delete-revokes-urls=false", "--intent-grace=3600"]).await;
    app.clock.stop();
    let db = app.database().await;
    let image = upload(&app).await;
    let before = urls(&app, &image).await;
    delete_and_crash(&app, &db, id_of(&image), "0123456789").await;
    let copy = layout::key(ImageId::parse(id_of(&image)).unwrap(), "0123456789/original");
    app.storage().put(&copy, b"a partial copy").await;
    app.restore("alice", id_of(&image)).await.ok();
    app.clock.advance(TimeDelta::seconds(3599));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), OBJECTS + 1, "copies may still be running");
    app.clock.advance(TimeDelta::seconds(1));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), OBJECTS);
    assert_eq!(app.get(&format!("/i/{}", id_of(&image))).await.status, 200);
    let _ = before;
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn an_image_purged_before_its_objects_are_moved_leaves_no_objects() {
    let app = TestApp::with(&["--delete-revokes-urls=false", "--intent-grace=3600"]).await;
    app.clock.stop();
    let db = app.database().await;
    let image = upload(&app).await;
    delete_and_crash(&app, &db, id_of(&image), "0123456789").await;
    let copy = layout::key(ImageId::parse(id_of(&image)).unwrap(), "0123456789/small");
    app.storage().put(&copy, b"a partial copy").await;
    app.by("alice", Method::DELETE, &format!("/images/{}?purge=true", id_of(&image))).await.ok();
    assert_eq!(app.storage().keys().await, [copy]);
    app.clock.advance(TimeDelta::seconds(3600));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn a_moved_image_is_purged_at_its_new_location() {
    let app = TestApp::with(&["--retention-days=7"]).await;
    app.clock.stop();
    let (one, two) = (upload(&app).await, upload(&app).await);
    app.delete("alice", id_of(&one)).await.ok();
    app.delete("alice", id_of(&two)).await.ok();
    app.by("alice", Method::DELETE, &format!("/images/{}?purge=true", id_of(&two))).await.ok();
    assert_eq!(app.storage().keys().await.len(), OBJECTS);
    app.clock.advance(TimeDelta::days(7));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_deletions_and_restorations_lose_no_objects() {
    let app = Arc::new(TestApp::start().await);
    let image = upload(&app).await;
    let id = id_of(&image);
    for _ in 0..3 {
        let turns = (0..8).map(|number| {
            let app = Arc::clone(&app);
            async move { if number % 2 == 0 { app.delete("alice", id).await } else { app.restore("alice", id).await }.status }
        });
        let statuses = join_all(turns).await;
        assert!(statuses.iter().all(|status| [200, 404, 409, 410].contains(status)), "{statuses:?}");
    }
    app.restore("alice", id).await;
    assert_eq!(app.get(&format!("/i/{id}")).await.status, 200);
    assert!(work(&app, &urls(&app, &app.get(&format!("/images/{id}")).await.ok()).await).await);
    assert_eq!(app.storage().keys().await.len(), OBJECTS, "no copies of cancelled moves are left");
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    assert_eq!(app.get(&format!("/i/{id}")).await.status, 200);
    assert_eq!(app.storage().keys().await.len(), OBJECTS);
    assert_error(&app.restore("alice", id).await, 409, "Conflict");
    app.assert_sound().await;
}

//! The sweeper: purging deleted images, and removing the objects of unfinished uploads and expired idempotency keys.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::caller::UserId;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::objects::layout;
use image_service::service::maintenance::step::Outcome;
use image_service::store::database::db::{Run, Sql};
use image_service::store::images::idempotency::Lease;
use image_service::store::{self, Db};
use image_service::worker::sweeper;

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

pub async fn upload(app: &TestApp) -> String {
    app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea,sun")).await.image_id()
}

/// The objects of an image this small: its configured heights have the same pixels as others and share their objects.
const NAMES: [&str; 3] = [layout::ORIGINAL, "small", "medium"];

/// Returns the keys of the objects of an image.
pub fn objects_of(id: &str) -> Vec<String> {
    let id = ImageId::parse(id).expect("an id");
    let mut keys: Vec<String> = NAMES.iter().map(|name| layout::key(id, name)).collect();
    keys.sort();
    keys
}

pub async fn sorted_keys(app: &TestApp) -> Vec<String> {
    let mut keys = app.storage().keys().await;
    keys.sort();
    keys
}

/// Leaves what an upload of a crashed process would leave: an intent, and as many of its objects as were stored.
pub async fn abandoned_upload(app: &TestApp, db: &Db, objects: usize) -> String {
    let id = ImageId::new(&*app.clock);
    store::images::intents::announce(db, id, &NAMES.map(Cow::Borrowed), app.clock.now()).await.unwrap();
    for name in NAMES.into_iter().take(objects) {
        app.storage().put(&layout::key(id, name), b"some bytes").await;
    }
    id.to_string()
}

async fn rows(db: &Db, table: &'static str) -> i64 {
    let sql = match table {
        "images" => "select count(*) from images",
        "intents" => "select count(*) from intents",
        "image_tags" => "select count(*) from image_tags",
        "idempotency_keys" => "select count(*) from idempotency_keys",
        other => panic!("{other}"),
    };
    db.fetch_optional::<(i64,)>(Sql::new(sql)).await.unwrap().expect("a row").0
}

pub async fn update_rows(db: &Db, sql: &'static str) {
    let mut tx = db.begin().await.unwrap();
    assert!(tx.execute(Sql::new(sql)).await.unwrap() > 0, "{sql}");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_deleted_image_is_purged_exactly_after_the_retention() {
    let app = TestApp::with(&["--retention-days=7"]).await;
    app.clock.stop();
    let (purged, kept) = (upload(&app).await, upload(&app).await);
    app.delete("alice", &purged).await.ok();
    let db = app.database().await;
    app.clock.advance(TimeDelta::days(7) - TimeDelta::milliseconds(1));
    assert_eq!(app.sweep().await, Outcome::NothingToDo);
    assert_eq!((rows(&db, "images").await, app.storage().keys().await.len()), (2, 6));
    app.clock.advance(TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!((rows(&db, "images").await, rows(&db, "intents").await), (1, 0));
    assert_eq!(sorted_keys(&app).await, objects_of(&kept), "the row and its objects are gone, and nothing else");
    assert_error(&app.restore("alice", &purged).await, 404, "NotFound");
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn the_retention_starts_at_the_last_deletion() {
    let app = TestApp::with(&["--retention-days=7", "--delete-revokes-urls=false"]).await;
    app.clock.stop();
    let id = upload(&app).await;
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(6));
    app.restore("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(6));
    app.sweep_all().await;
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(6));
    app.sweep_all().await;
    app.restore("alice", &id).await.ok();
    assert_eq!(sorted_keys(&app).await, objects_of(&id));
    app.assert_sound().await;
}

#[tokio::test]
async fn an_image_that_was_never_deleted_is_never_purged() {
    let app = TestApp::start().await;
    let id = upload(&app).await;
    app.clock.advance(TimeDelta::days(100_000));
    app.sweep_all().await;
    app.get(&format!("/images/{id}")).await.ok();
    assert_eq!(sorted_keys(&app).await, objects_of(&id));
}

#[tokio::test]
async fn the_objects_of_an_unfinished_upload_are_removed_after_the_grace_period() {
    let app = TestApp::with(&["--intent-grace=3600"]).await;
    app.clock.stop();
    let kept = upload(&app).await;
    let db = app.database().await;
    // Uploads with all of their objects, some, and none.
    for objects in [3, 1, 0] {
        abandoned_upload(&app, &db, objects).await;
    }
    app.clock.advance(TimeDelta::hours(1) - TimeDelta::milliseconds(1));
    assert_eq!(app.sweep().await, Outcome::NothingToDo);
    assert_eq!((rows(&db, "intents").await, app.storage().keys().await.len()), (3, 7));
    app.clock.advance(TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!(rows(&db, "intents").await, 0);
    assert_eq!(sorted_keys(&app).await, objects_of(&kept));
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn an_intent_of_an_existing_image_does_not_harm_the_image() {
    let app = TestApp::start().await;
    app.clock.stop();
    let id = upload(&app).await;
    let db = app.database().await;
    let image = ImageId::parse(&id).unwrap();
    store::images::intents::announce(&db, image, &NAMES.map(Cow::Borrowed), app.clock.now()).await.unwrap();
    let abandoned = abandoned_upload(&app, &db, 3).await;
    app.clock.advance(TimeDelta::days(2));
    app.sweep_all().await;
    assert_eq!(sorted_keys(&app).await, objects_of(&id), "{abandoned} is removed and the image is whole");
    app.get(&format!("/images/{id}")).await.ok();
    db.close().await;
}

#[tokio::test]
async fn intents_of_existing_images_do_not_block_others() {
    let app = TestApp::start().await;
    app.clock.stop();
    let db = app.database().await;
    // The oldest intents belong to existing images.
    for _ in 0..3 {
        let id = ImageId::parse(&upload(&app).await).unwrap();
        let yesterday = app.clock.now() - TimeDelta::days(1);
        store::images::intents::announce(&db, id, &NAMES.map(Cow::Borrowed), yesterday).await.unwrap();
    }
    abandoned_upload(&app, &db, 3).await;
    assert_eq!(app.storage().keys().await.len(), 12);
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), 9, "the abandoned upload after them is removed");
    db.close().await;
}

#[tokio::test]
async fn an_abandoned_upload_can_no_longer_be_stored() {
    let app = TestApp::start().await;
    app.clock.stop();
    let db = app.database().await;
    let id = ImageId::parse(&abandoned_upload(&app, &db, 3).await).unwrap();
    app.clock.advance(TimeDelta::hours(1));
    app.sweep().await;
    let mut tx = db.begin().await.unwrap();
    assert!(!store::images::intents::fulfil(&mut tx, id).await.unwrap(), "its transaction finds no intent to fulfil");
    tx.commit().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn failing_removals_do_not_block_others() {
    let app = TestApp::with(&["--retention-days=1"]).await;
    let db = app.database().await;
    // More removals than one sweep handles, all older than the others. Their keys make a URL longer than any storage
    // accepts.
    let impossible = "x".repeat(1 << 15);
    let mut tx = db.begin().await.unwrap();
    for _ in 0..100 {
        let (id, long_ago) = (ImageId::new(&*app.clock), app.clock.now() - TimeDelta::days(30));
        store::images::intents::announce_removal(&mut tx, id, &[impossible.as_str()], long_ago).await.unwrap();
    }
    tx.commit().await.unwrap();
    abandoned_upload(&app, &db, 3).await;
    let id = upload(&app).await;
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(2));
    for _ in 0..2 {
        assert!(sweeper::sweep(app.service()).await.is_err());
    }
    assert_eq!((app.storage().keys().await.len(), rows(&db, "intents").await), (0, 100));
    db.close().await;
}

#[tokio::test]
async fn an_image_with_an_invalid_row_is_purged_like_the_others() {
    let app = TestApp::with(&["--retention-days=1"]).await;
    let unreadable = upload(&app).await;
    app.delete("alice", &unreadable).await.ok();
    let db = app.database().await;
    update_rows(&db, "update images set format = 'bmp'").await;
    let other = upload(&app).await;
    app.delete("alice", &other).await.ok();
    app.clock.advance(TimeDelta::days(2));
    app.sweep_all().await;
    assert_eq!((rows(&db, "images").await, app.storage().keys().await.len()), (0, 0));
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_sweepers_do_no_harm() {
    let app = Arc::new(TestApp::with(&["--retention-days=1"]).await);
    app.clock.stop();
    let kept = upload(&app).await;
    let db = app.database().await;
    for _ in 0..5 {
        let id = upload(&app).await;
        app.delete("alice", &id).await.ok();
        abandoned_upload(&app, &db, 2).await;
    }
    app.clock.advance(TimeDelta::days(2));
    let sweepers = (0..4).map(|_| {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.sweep_all().await })
    });
    for sweeper in join_all(sweepers).await {
        sweeper.expect("no sweeper fails");
    }
    app.sweep_all().await;
    assert_eq!((rows(&db, "images").await, rows(&db, "intents").await), (1, 0));
    assert_eq!(sorted_keys(&app).await, objects_of(&kept));
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn the_rows_of_expired_idempotency_keys_are_deleted() {
    let app = TestApp::start().await;
    app.clock.stop();
    let form = || Form::upload("alice", &jpeg(60, 60, 1));
    for key in ["a", "b"] {
        app.post_with_key(key, form()).await.ok();
    }
    let db = app.database().await;
    app.clock.advance(TimeDelta::hours(24) - TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!(rows(&db, "idempotency_keys").await, 2);
    app.clock.advance(TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!(rows(&db, "idempotency_keys").await, 0);
    db.close().await;
}

#[tokio::test]
async fn expired_keys_are_deleted_in_batches_of_a_thousand() {
    let app = TestApp::start().await;
    let db = app.database().await;
    let (user, id, now) = (UserId::parse("alice").unwrap(), ImageId::new(&*app.clock).uuid(), app.clock.now());
    let mut tx = db.begin().await.unwrap();
    for number in 0..1001 {
        assert!(
            store::images::idempotency::claim(&mut tx, &user, &format!("key-{number}"), b"same", id, Lease { now, until: now })
                .await
                .unwrap()
        );
    }
    tx.commit().await.unwrap();
    // The keys count as expired only for the `now` passed here, so that the service's own sweeper, which runs at every
    // start, leaves them.
    for (deleted, left) in [(1000, 1), (1, 0), (0, 0)] {
        let mut tx = db.begin().await.unwrap();
        assert_eq!(store::images::idempotency::delete_expired(&mut tx, now, 1000).await.unwrap(), deleted);
        tx.commit().await.unwrap();
        assert_eq!(rows(&db, "idempotency_keys").await, left);
    }
    db.close().await;
}

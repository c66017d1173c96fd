//! Background cleanup: purging deleted images and removing the objects of unfinished uploads. Also the doctor, which
//! finds inconsistencies.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::caller::UserId;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::objects::layout;
use image_service::service::maintenance::doctor::{Fix, Report};
use image_service::service::maintenance::step::Outcome;
use image_service::store::database::db::{Run, Sql};
use image_service::store::images::idempotency::Lease;
use image_service::store::{self, Db};
use image_service::worker::sweeper;
use serde_json::json;

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp) -> String {
    app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea,sun")).await.image_id()
}

/// The objects of an image this small: its configured heights have the same pixels as others and share their objects.
const NAMES: [&str; 3] = [layout::ORIGINAL, "small", "medium"];

/// Returns the keys of the objects of an image.
fn objects_of(id: &str) -> Vec<String> {
    let id = ImageId::parse(id).expect("an id");
    let mut keys: Vec<String> = NAMES.iter().map(|name| layout::key(id, name)).collect();
    keys.sort();
    keys
}

async fn sorted_keys(app: &TestApp) -> Vec<String> {
    let mut keys = app.storage().keys().await;
    keys.sort();
    keys
}

/// Leaves what an upload of a crashed process would leave: an intent, and as many of its objects as were stored.
async fn abandoned_upload(app: &TestApp, db: &Db, objects: usize) -> String {
    let id = ImageId::new(&*app.clock);
    let mut tx = db.begin().await.unwrap();
    store::images::intents::announce(&mut tx, id, &NAMES.map(Cow::Borrowed), app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
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

async fn update_rows(db: &Db, sql: &'static str) {
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
    let mut tx = db.begin().await.unwrap();
    let image = ImageId::parse(&id).unwrap();
    store::images::intents::announce(&mut tx, image, &NAMES.map(Cow::Borrowed), app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
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
        let mut tx = db.begin().await.unwrap();
        store::images::intents::announce(&mut tx, id, &NAMES.map(Cow::Borrowed), app.clock.now() - TimeDelta::days(1))
            .await
            .unwrap();
        tx.commit().await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_concurrent_deletions_exactly_one_counts() {
    let app = Arc::new(TestApp::start().await);
    for _ in 0..5 {
        let id = upload(&app).await;
        let requests = (0..6).map(|_| {
            let (app, id) = (Arc::clone(&app), id.clone());
            tokio::spawn(async move { app.delete("alice", &id).await })
        });
        let answers: Vec<_> = join_all(requests).await.into_iter().map(|answer| answer.expect("a response")).collect();
        let (deleted, rejected): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(deleted.len(), 1);
        rejected.iter().for_each(|answer| drop(assert_error(answer, 410, "Gone")));
        assert_eq!(app.get("/tags/sea/images").await.ok()["total_count"], 0);
    }
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deletions_restorations_and_changes_keep_every_counter_exact() {
    let app = Arc::new(TestApp::start().await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(upload(&app).await);
    }
    let tasks = (0..6).map(|task| {
        let (app, ids) = (Arc::clone(&app), ids.clone());
        tokio::spawn(async move {
            for round in 0..15 {
                let id = &ids[(task + round) % ids.len()];
                let answer = match task % 3 {
                    0 => app.delete("alice", id).await,
                    1 => app.restore("alice", id).await,
                    _ => app.patch("alice", id, &json!({"tags": [format!("tag {}", round % 4), "sea"]})).await,
                };
                assert!([200, 404, 409, 410].contains(&answer.status), "{}", answer.text());
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("every response has an expected status");
    }
    app.assert_sound().await;
    let live = app.walk("/images", 100).await.len();
    for list in ["/images", "/users/alice/images", "/images?start_date=2020-01-01"] {
        assert_eq!(app.get(list).await.ok()["total_count"], live, "{list}");
    }
    for id in &ids {
        app.restore("alice", id).await;
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 3);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_doctor_finds_nothing_in_a_healthy_service() {
    let app = TestApp::start().await;
    let deleted = upload(&app).await;
    upload(&app).await;
    app.delete("alice", &deleted).await.ok();
    app.clock.advance(TimeDelta::days(3));
    let report = app.examine().await;
    assert_eq!(report, Report { images: 2, objects: 6, ..Report::default() });
    assert!(report.is_healthy());
}

#[tokio::test]
async fn the_doctor_finds_missing_objects_and_originals_of_the_wrong_size() {
    let app = TestApp::start().await;
    let (whole, robbed, changed) = (upload(&app).await, upload(&app).await, upload(&app).await);
    let objects = objects_of(&robbed);
    for key in &objects {
        app.storage().delete(key).await;
    }
    let thumbnail = objects_of(&whole).into_iter().find(|key| key.ends_with("/small")).unwrap();
    app.storage().delete(&thumbnail).await;
    let original = objects_of(&changed).into_iter().find(|key| key.ends_with("/original")).unwrap();
    app.storage().put(&original, b"something else").await;
    for fix in [false, true] {
        let mut report = app.service().examine(Fix { rest: fix, originals: false }).await.unwrap();
        report.missing.sort();
        let mut missing = objects.clone();
        missing.push(thumbnail.clone());
        missing.sort();
        assert_eq!((&report.missing, &report.wrong_size), (&missing, &vec![original.clone()]), "this cannot be repaired");
        assert!(!report.is_healthy() && report.orphans.is_empty());
        assert!(report.to_string().contains(&format!("missing object: {thumbnail}")), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_doctor_finds_nothing_missing_during_uploads_and_purges() {
    let app = Arc::new(TestApp::with(&["--retention-days=0"]).await);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..3).map(|_| {
        let (app, stop) = (Arc::clone(&app), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let id = upload(&app).await;
                app.delete("alice", &id).await.ok();
                app.sweep_all().await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..60 {
        let report = app.examine().await;
        assert!(report.missing.is_empty() && report.wrong_size.is_empty(), "{report}");
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("a writer");
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn the_doctor_finds_orphans_older_than_a_day_and_removes_them_only_with_fix() {
    let app = TestApp::start().await;
    let kept = upload(&app).await;
    let orphan = ImageId::new(&*app.clock).to_string();
    let thumbnails: Vec<String> = objects_of(&orphan).into_iter().filter(|key| !key.ends_with("/original")).collect();
    for key in &thumbnails {
        app.storage().put(key, b"bytes").await;
    }
    app.storage().put("notes/readme.txt", b"someone else's").await;
    let found = async |fix| {
        let mut report = app.service().examine(Fix { rest: fix, originals: false }).await.unwrap();
        report.orphans.sort();
        assert_eq!((report.foreign.count, &*report.foreign.examples), (1, &["notes/readme.txt".to_owned()][..]));
        report.orphans
    };
    assert!(found(true).await.is_empty(), "an upload may be about to claim them");
    app.clock.advance(TimeDelta::hours(23));
    assert!(found(true).await.is_empty());
    app.clock.advance(TimeDelta::hours(2));
    assert_eq!(found(false).await, thumbnails);
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), 6, "the doctor changes nothing without --fix");
    assert_eq!(found(true).await, thumbnails);
    assert_eq!(app.storage().keys().await.len(), 6, "the doctor announces removals, and the sweeper makes them");
    assert!(found(true).await.is_empty(), "announced objects are not orphans");
    app.sweep_all().await;
    let mut left = objects_of(&kept);
    left.push("notes/readme.txt".to_owned());
    left.sort();
    assert_eq!(sorted_keys(&app).await, left, "objects outside the service's layout are never touched");
    app.get(&format!("/images/{kept}")).await.ok();
}

/// The repairs of `doctor --fix`.
const REST: Fix = Fix { rest: true, originals: false };

#[tokio::test]
async fn the_doctor_removes_unknown_originals_only_with_the_option_for_it() {
    let app = TestApp::start().await;
    let older = ImageId::new(&*app.clock).to_string();
    app.clock.advance(TimeDelta::hours(1));
    let kept = upload(&app).await;
    app.clock.advance(TimeDelta::hours(1));
    let newer = ImageId::new(&*app.clock).to_string();
    let mut objects = [objects_of(&older), objects_of(&newer)].concat();
    objects.sort();
    for key in &objects {
        app.storage().put(key, b"bytes").await;
    }
    let found = async |fix| {
        let mut report = app.service().examine(fix).await.unwrap();
        report.unclaimed.sort();
        report.unclaimed_recent.sort();
        assert_eq!(report.orphans, Vec::<String>::new());
        report
    };
    let all = Fix { rest: true, originals: true };
    let report = found(all).await;
    assert_eq!((&report.unclaimed_recent, report.newer_originals), (&objects, 1), "they are reported immediately");
    let text = report.to_string();
    assert!(!report.is_healthy() && text.contains("left alone") && !text.contains("announced for removal"), "{text}");
    assert!(text.contains("originals newer than the newest image in the database: 1."), "{text}");
    app.sweep_all().await;
    app.clock.advance(TimeDelta::days(2));
    let report = found(REST).await;
    assert!(!report.is_healthy() && report.unclaimed == objects);
    app.sweep_all().await;
    let report = found(all).await;
    assert!(report.is_healthy() && report.unclaimed == objects, "the originals were removed without the option for it");
    app.sweep_all().await;
    assert_eq!(sorted_keys(&app).await, objects_of(&kept));
    app.assert_sound().await;
}

#[tokio::test]
async fn the_doctor_finds_an_image_that_moved_after_the_database_backup() {
    let app = TestApp::start().await;
    let db = app.database().await;
    let id = upload(&app).await;
    let original = app.get(&format!("/i/{id}")).await.body;
    app.delete("alice", &id).await.ok();
    app.restore("alice", &id).await.ok();
    app.sweep_all().await;
    // As if the database had been restored from a backup made before the move.
    update_rows(&db, "update images set object_prefix = ''").await;
    app.clock.advance(TimeDelta::days(2));
    let report = app.service().examine(Fix::default()).await.unwrap();
    assert!(!report.is_healthy() && report.moved.len() == 1 && report.orphans.is_empty(), "{report}");
    assert_eq!(report.missing.len(), objects_of(&id).len(), "nothing has changed");
    for originals in [true, false] {
        let report = app.service().examine(Fix { rest: true, originals }).await.unwrap();
        assert!(report.is_healthy() && report.orphans.is_empty(), "{report}");
        app.sweep_all().await;
        assert_eq!(app.get(&format!("/i/{id}")).await.body, original);
    }
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn a_lost_object_is_reported_as_lost() {
    let app = TestApp::start().await;
    let id = upload(&app).await;
    for key in objects_of(&id) {
        app.storage().delete(&key).await;
    }
    for _ in 0..2 {
        for path in [format!("/i/{id}"), format!("/images/{id}/thumbnails/small"), format!("/images/{id}/thumbnail?width=99")] {
            let answer = app.get(&path).await;
            assert_error(&answer, 500, "FileMissing");
            assert_eq!(answer.header("retry-after"), "", "waiting does not help");
        }
    }
    assert!(app.metric("lost_objects_total").await >= 2.0, "the original and a thumbnail");
    assert!(app.metric("lost_objects_total").await <= 3.0, "each is counted once");
    app.delete("alice", &id).await;
    assert_error(&app.get(&format!("/i/{id}")).await, 404, "NotFound");
}

#[tokio::test]
async fn the_doctor_ignores_objects_of_an_announced_upload() {
    let app = TestApp::with(&["--intent-grace=604800"]).await;
    let db = app.database().await;
    abandoned_upload(&app, &db, 3).await;
    app.clock.advance(TimeDelta::days(3));
    assert!(app.service().examine(REST).await.unwrap().orphans.is_empty());
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await.len(), 3);
    db.close().await;
}

#[tokio::test]
async fn the_doctor_repairs_counters_only_with_fix() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        upload(&app).await;
    }
    let lists =
        ["/images", "/users/alice/images", "/tags/sea/images", "/images?tags=sea&user_id=alice", "/images?start_date=2020-01-01"];
    let counts = async || {
        let mut counts = Vec::new();
        for list in lists {
            counts.push(app.get(list).await.ok()["total_count"].as_u64().unwrap());
        }
        counts
    };
    assert_eq!(counts().await, [3; 5]);
    let db = app.database().await;
    for damage in [
        "update counters set n = n + 5 where kind <> 'stored' and kind <> 'processing_us'",
        "delete from counters where kind <> 'stored' and kind <> 'processing_us'",
        "insert into counters (kind, key, slot, n) values ('user', 'nobody', 9, 4), ('day', '2001-01-01', 9, 2)",
    ] {
        update_rows(&db, damage).await;
        let report = app.examine().await;
        assert!(!report.counters.is_empty() && !report.is_healthy(), "{damage}");
        assert_eq!(app.examine().await.counters, report.counters, "the doctor changes nothing without --fix");
        let fixed = app.service().examine(REST).await.unwrap();
        assert!(fixed.is_healthy() && fixed.counters == report.counters, "{damage}: {fixed}");
        app.assert_sound().await;
        assert_eq!(counts().await, [3; 5], "{damage}");
    }
    assert_eq!(app.get("/users/nobody/images").await.ok()["total_count"], 0);
    db.close().await;
}

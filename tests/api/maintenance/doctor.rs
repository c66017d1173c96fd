//! The doctor: the inconsistencies that it finds, and those that it repairs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use image_service::model::id::ImageId;
use image_service::service::maintenance::doctor::{Fix, Report};

use super::sweeper::{abandoned_upload, objects_of, sorted_keys, update_rows, upload};
use crate::harness::{TestApp, assert_error};

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

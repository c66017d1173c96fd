//! Resized images are created once, kept while they are requested, and removed with their image, even if processes
//! crash meanwhile.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::objects::layout;
use image_service::service::maintenance::doctor::Fix;
use image_service::store::database::db::{Run, Sql};
use image_service::store::{self, Db};
use image_service::worker::sweeper;

use crate::harness::client::{Client, Upload};
use crate::harness::pictures::{Random, jpeg};
use crate::harness::pixels::Pixels;
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp) -> String {
    app.post(Form::upload("alice", &jpeg(700, 500, 1))).await.image_id()
}

fn path(id: &str, width: u32) -> String {
    format!("/images/{id}/thumbnail?width={width}")
}

async fn made(app: &TestApp) -> f64 {
    app.metric("variants_total{result=\"made\"}").await
}

/// Returns the names of the objects of an image's resized images.
async fn variants(app: &TestApp) -> Vec<String> {
    let keys = app.storage().keys().await;
    keys.into_iter().filter_map(|key| key.split_once("/t/").map(|(_, name)| name.to_owned())).collect()
}

async fn rows(db: &Db) -> i64 {
    db.fetch_optional::<(i64,)>(Sql::new("select count(*) from variants")).await.unwrap().expect("a row").0
}

/// Leaves what a crashed process leaves that was creating a resized image: a row and, optionally, the object.
async fn abandoned_variant(app: &TestApp, db: &Db, id: &str, rendering: &str, with_object: bool) -> String {
    let id = ImageId::parse(id).unwrap();
    let object = layout::variant(rendering, "0123456789");
    let now = app.clock.now();
    let mut tx = db.begin().await.unwrap();
    assert!(store::images::variants::claim(&mut tx, id, rendering, &object, now + TimeDelta::seconds(60), now).await.unwrap());
    tx.commit().await.unwrap();
    if with_object {
        app.storage().put(&layout::key(id, &object), b"some bytes").await;
    }
    object
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_for_a_new_size_create_it_once() {
    let app = TestApp::start().await;
    let id = upload(&app).await;
    let path = path(&id, 330);
    let answers = join_all((0..50).map(|_| app.get(&path))).await;
    let decoded = Pixels::of(&answers[0]);
    assert_eq!(decoded.size(), (330, 236));
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(made(&app).await, 1.0);
    let (hit, waited) =
        (app.metric("variants_total{result=\"hit\"}").await, app.metric("variants_total{result=\"waited\"}").await);
    assert_eq!(hit + waited, 49.0);
    assert_eq!(app.metric("variant_making_duration_seconds_count").await, 1.0);
    assert_eq!(variants(&app).await.len(), 1);
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_create_a_new_size_once() {
    let home = Home::new().await;
    if home.database_address().is_none() || home.has_embedded_storage() {
        return;
    }
    let (one, two) = tokio::join!(Process::start(&home, &[]), Process::start(&home, &[]));
    let clients = [Client::new(one.address), Client::new(two.address)];
    let id = clients[0].upload(&Upload::small("shared", 1)).await.image_id();
    for width in [16, 20, 24, 30, 32] {
        let path = path(&id, width);
        let answers = join_all((0..20).map(|number| clients[number % 2].get(&path))).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    }
    let mut made = 0;
    for client in &clients {
        let metrics = client.get("/metrics").await;
        let line = metrics.text().lines().find_map(|line| line.strip_prefix("image_service_variants_total{result=\"made\"} "));
        made += line.map_or(0, |number| number.parse::<u32>().unwrap());
    }
    assert_eq!(made, 5);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_size_that_another_instance_creates_is_awaited_for_a_limited_time() {
    let app = TestApp::with(&["--admission-timeout=1"]).await;
    app.clock.stop();
    let id = upload(&app).await;
    let db = app.database().await;
    abandoned_variant(&app, &db, &id, "300x214-q80.jpeg", false).await;
    assert_error(&app.get(&path(&id, 300)).await, 503, "ServiceUnavailable");
    assert_eq!(made(&app).await, 0.0);
    // After its lease the claim is taken over, with a new object.
    app.clock.advance(TimeDelta::seconds(60));
    Pixels::of(&app.get(&path(&id, 300)).await);
    assert_eq!((made(&app).await, rows(&db).await), (1.0, 2));
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    assert_eq!(rows(&db).await, 1);
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn abandoned_resized_images_are_removed_after_the_grace_period() {
    let app = TestApp::with(&["--intent-grace=3600"]).await;
    app.clock.stop();
    let (id, db) = (upload(&app).await, app.database().await);
    // One process crashed after storing the object, one before, and one had its claim taken over.
    abandoned_variant(&app, &db, &id, "300x214-q80.jpeg", true).await;
    abandoned_variant(&app, &db, &id, "310x221-q80.jpeg", false).await;
    abandoned_variant(&app, &db, &id, "320x229-q80.jpeg", true).await;
    app.clock.advance(TimeDelta::seconds(60));
    Pixels::of(&app.get(&path(&id, 320)).await);
    assert_eq!((variants(&app).await.len(), rows(&db).await), (3, 4));
    app.clock.advance(TimeDelta::hours(1) - TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!((variants(&app).await.len(), rows(&db).await), (3, 4), "an upload of the object may still be running");
    app.clock.advance(TimeDelta::milliseconds(1));
    app.sweep_all().await;
    assert_eq!((variants(&app).await.len(), rows(&db).await), (1, 1));
    assert_eq!(Pixels::of(&app.get(&path(&id, 320)).await).width, 320, "the recreated one is untouched");
    assert_eq!(made(&app).await, 1.0);
    app.clock.advance(TimeDelta::days(2));
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn a_process_that_lost_its_claim_cannot_finish() {
    let app = TestApp::with(&["--retention-days=0"]).await;
    app.clock.stop();
    let (id, db) = (upload(&app).await, app.database().await);
    let object = abandoned_variant(&app, &db, &id, "300x214-q80.jpeg", true).await;
    app.delete("alice", &id).await.ok();
    app.sweep_all().await;
    let mut tx = db.begin().await.unwrap();
    let image = ImageId::parse(&id).unwrap();
    assert!(!store::images::variants::finish(&mut tx, image, &object, app.clock.now()).await.unwrap(), "its image is purged");
    tx.commit().await.unwrap();
    assert_eq!(app.storage().keys().await.len(), 1, "the upload of the object may still be running");
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    assert_eq!((app.storage().keys().await.len(), rows(&db).await), (0, 0));
    db.close().await;
}

#[tokio::test]
async fn resized_images_are_removed_with_their_image() {
    let app = TestApp::with(&["--retention-days=7"]).await;
    app.clock.stop();
    let (id, kept, db) = (upload(&app).await, upload(&app).await, app.database().await);
    for width in [100, 300] {
        Pixels::of(&app.get(&path(&id, width)).await);
        Pixels::of(&app.get(&path(&kept, width)).await);
    }
    app.delete("alice", &id).await.ok();
    assert_error(&app.get(&path(&id, 100)).await, 404, "NotFound");
    app.clock.advance(TimeDelta::days(6));
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 4, "it can be restored");
    app.clock.advance(TimeDelta::days(1));
    app.sweep_all().await;
    assert_eq!((variants(&app).await.len(), rows(&db).await), (2, 2));
    assert!(app.storage().keys().await.iter().all(|key| key.contains(&kept)));
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_purged_during_resizing_leaves_no_objects() {
    let app = Arc::new(TestApp::with(&["--retention-days=0"]).await);
    let mut chance = Random::new(11);
    for round in 0..12 {
        let id = upload(&app).await;
        let requests = (0..4).map(|number| {
            let (app, path) = (Arc::clone(&app), path(&id, 100 + round * 4 + number));
            tokio::spawn(async move { app.get(&path).await })
        });
        let requests: Vec<_> = requests.collect();
        tokio::time::sleep(Duration::from_micros(chance.below(60_000) as u64)).await;
        app.delete("alice", &id).await.ok();
        app.sweep_all().await;
        for answer in join_all(requests).await {
            let answer = answer.expect("a response");
            // A request that had started to read when the objects were removed may get a 503.
            assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
        }
    }
    app.clock.advance(TimeDelta::days(2));
    app.sweep_all().await;
    let db = app.database().await;
    assert_eq!((app.storage().keys().await, rows(&db).await), (Vec::new(), 0));
    app.assert_sound().await;
    db.close().await;
}

#[tokio::test]
async fn unused_resized_images_are_removed_and_created_again_on_request() {
    let app = TestApp::with(&["--variant-retention-days=10"]).await;
    app.clock.stop();
    let id = upload(&app).await;
    let (asked_for, forgotten) = (path(&id, 300), path(&id, 310));
    let first = app.get(&forgotten).await;
    let asked = app.get(&asked_for).await;
    for _ in 0..3 {
        app.clock.advance(TimeDelta::days(5));
        app.sweep_all().await;
        assert_eq!(app.get(&asked_for).await.header("etag"), asked.header("etag"));
    }
    assert_eq!((variants(&app).await.len(), made(&app).await), (1, 2.0));
    let again = app.get(&forgotten).await;
    assert_eq!((again.body.clone(), made(&app).await), (first.body.clone(), 3.0));
    app.clock.advance(TimeDelta::days(10));
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 2, "requested within ten days");
    app.clock.advance(TimeDelta::days(1));
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 0);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_retention_of_0_keeps_resized_images_without_limit() {
    let app = TestApp::with(&["--variant-retention-days=0"]).await;
    app.clock.stop();
    let id = upload(&app).await;
    Pixels::of(&app.get(&path(&id, 300)).await);
    app.clock.advance(TimeDelta::days(10_000));
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 1);
}

#[tokio::test]
async fn over_the_maximum_number_the_least_recently_requested_is_removed() {
    let mut app = TestApp::with(&["--max-variants-per-image=3"]).await;
    app.clock.stop();
    let (id, other) = (upload(&app).await, upload(&app).await);
    Pixels::of(&app.get(&path(&other, 300)).await);
    for width in [310, 320, 330] {
        Pixels::of(&app.get(&path(&id, width)).await);
        app.clock.advance(TimeDelta::days(1));
    }
    Pixels::of(&app.get(&path(&id, 310)).await);
    Pixels::of(&app.get(&path(&id, 340)).await);
    app.sweep_all().await;
    let mut kept: Vec<String> = variants(&app).await.iter().map(|name| name[..3].to_owned()).collect();
    kept.sort();
    assert_eq!(kept, ["300", "310", "330", "340"], "320 is removed; the other image has resized images of its own");
    assert_eq!(made(&app).await, 5.0);
    for width in (350..550).step_by(10) {
        Pixels::of(&app.get(&path(&id, width)).await);
    }
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 4);
    // A lower limit applies from the next resized image.
    app.set("--max-variants-per-image=1");
    app.restart().await;
    Pixels::of(&app.get(&path(&id, 350)).await);
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 2);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_resized_image_whose_object_was_lost_is_created_again() {
    // Too little memory for any file, but enough for the rows.
    let app = TestApp::with(&["--cache-memory=16KiB"]).await;
    app.clock.stop();
    let (id, db) = (upload(&app).await, app.database().await);
    let first = app.get(&path(&id, 300)).await;
    assert_eq!(app.get(&path(&id, 300)).await.header("etag"), first.header("etag"));
    let is_variant = |key: &String| key.contains("/t/");
    let key = app.storage().keys().await.into_iter().find(is_variant).unwrap();
    app.storage().delete(&key).await;
    let again = app.get(&path(&id, 300)).await;
    assert_eq!(again.body, first.body);
    assert_ne!(again.header("etag"), first.header("etag"));
    app.sweep_all().await;
    assert_eq!((variants(&app).await.len(), rows(&db).await), (1, 1));
    db.close().await;
}

#[tokio::test]
async fn the_doctor_accepts_resized_images_and_finds_objects_without_a_row() {
    let app = TestApp::start().await;
    let (id, db) = (upload(&app).await, app.database().await);
    for width in [100, 300] {
        Pixels::of(&app.get(&path(&id, width)).await);
    }
    app.assert_sound().await;
    let image = ImageId::parse(&id).unwrap();
    let unknown = layout::key(image, &layout::variant("300x214-q80.jpeg", "ffff"));
    app.storage().put(&unknown, b"some bytes").await;
    let lost = app.storage().keys().await.into_iter().find(|key| key.contains("/t/100x")).unwrap();
    app.storage().delete(&lost).await;
    assert!(app.examine().await.orphans.is_empty(), "it is younger than a day");
    app.clock.advance(TimeDelta::days(2));
    let report = app.examine().await;
    assert_eq!((&report.orphans, &report.lost_variants), (&vec![unknown.clone()], &vec![lost]));
    assert!(!report.is_healthy() && report.to_string().contains("missing variant: "), "{report}");
    assert!(app.service().examine(Fix { rest: true, originals: false }).await.unwrap().is_healthy());
    app.sweep_all().await;
    app.assert_sound().await;
    assert_eq!((variants(&app).await.len(), rows(&db).await), (1, 1));
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_failure_during_resizing_is_reported_and_recovered_from() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("S3_TIMEOUT", "2"), ("DATABASE_TIMEOUT", "5")]).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("before", 1)).await.image_id();
    let path = |width| path(&id, width);
    assert_eq!(client.get(&path(30)).await.status, 200);
    for (fault, width) in
        [(Fault::Refused, 32), (Fault::Hang, 40), (Fault::Cut(3000), 48), (Fault::Slow(Duration::from_secs(5)), 50)]
    {
        proxied.storage.set(fault);
        for answer in join_all([client.get(&path(width)), client.get(&path(width))]).await {
            // A response that arrived before the connection was cut is acceptable.
            assert!(answer.status == 503 || fault == Fault::Cut(3000), "{fault:?}: {}", answer.status);
        }
        // It is in memory.
        assert_eq!(client.get(&path(30)).await.status, 200, "{fault:?}");
        proxied.storage.set(Fault::None);
        Pixels::of(&client.get(&path(width)).await);
    }
    process.stop().await;
    let report = proxied.home.run(&["doctor"], &[]).await;
    assert!(report.status.success(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_resizing_leaves_no_object_without_a_row() {
    let home = Home::new().await;
    let mut chance = Random::new(7);
    let mut process = Process::start(&home, &[]).await;
    let id = Client::new(process.address).upload(&Upload::small("kept", 1)).await.image_id();
    for round in 0..6 {
        let client = Client::new(process.address);
        let requests = (0..12).map(|number| {
            let (client, path) = (client.clone(), path(&id, 16 + round * 5 + number % 5));
            tokio::spawn(async move { client.try_get(&path).await.is_some_and(|status| status == 200) })
        });
        let requests: Vec<_> = requests.collect();
        tokio::time::sleep(Duration::from_micros(chance.below(80_000) as u64)).await;
        process.kill().await;
        join_all(requests).await;
        process = Process::start(&home, &[]).await;
    }
    process.kill().await;
    let running = home.start_ahead(TimeDelta::days(2)).await;
    while sweeper::sweep(&running.service).await.expect("the sweeper's steps")
        == image_service::service::maintenance::step::Outcome::Done
    {}
    let report = running.service.examine(Fix::default()).await.expect("a report");
    assert!(report.is_healthy(), "{report}");
    // Every resized image is available.
    let client = Client::new(running.address);
    for width in 16..46 {
        Pixels::of(&client.get(&path(&id, width)).await);
    }
    running.shut_down().await.expect("a clean shutdown");
}

//! The attempts of an import item: retries, permanent errors, and the leases of workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use image_service::service::jobs::import_queue::{Claimed, ClaimedItem};
use image_service::service::jobs::queue::WorkOutcome;
use image_service::service::maintenance::step::Outcome;
use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::import_queue::{NO_WORKERS, counts, image_host, seed, until, url};
use crate::harness::pictures::jpeg;
use crate::harness::world::{Reply, answer, head, picture, reply};
use crate::harness::{TestApp, World};

/// Claims the next item, without processing it.
async fn claim(app: &TestApp) -> ClaimedItem {
    loop {
        match app.service().claim_import().await.unwrap() {
            Claimed::Item(claimed) => return *claimed,
            Claimed::TryAgain => {}
            Claimed::Nothing => panic!("there is no item to claim"),
        }
    }
}

#[tokio::test]
async fn transient_errors_are_retried_with_growing_back_off() {
    let (asked, world) = (Arc::new(AtomicUsize::new(0)), World::new());
    let count = Arc::clone(&asked);
    world
        .site("pictures.test", move |path, _| match (path, count.fetch_add(1, Ordering::SeqCst)) {
            ("/1.jpg", 2) => picture(&jpeg(64, 64, 1)),
            _ => reply("503 Service Unavailable", &[], b"busy"),
        })
        .await;
    let app = TestApp::within(world, &[NO_WORKERS, "--import-retry-delay=100"]).await;
    app.clock.stop();
    let id = app.import(&[url(1)]).await;
    // The back-off varies by a factor of 0.5 to 1.5: first around 100 seconds, then around 400.
    for (attempts, shortest, longest) in [(1, 50, 150), (2, 200, 600)] {
        app.import_all().await;
        assert_eq!((asked.load(Ordering::SeqCst), &app.job(&id).await["status"]), (attempts, &json!("in-progress")));
        app.clock.advance(TimeDelta::seconds(shortest) - TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(asked.load(Ordering::SeqCst), attempts, "retried too early");
        app.clock.advance(TimeDelta::seconds(longest - shortest) + TimeDelta::milliseconds(1));
    }
    app.import_all().await;
    assert_eq!((asked.load(Ordering::SeqCst), counts(&app.job(&id).await)), (3, [0, 1, 0]));
    assert_eq!(app.metric("import_retries_total").await, 2.0);
    assert_eq!(app.metric("import_fetches_total{result=\"status_5xx\"}").await, 2.0);

    // An item that never succeeds fails after the third attempt.
    let id = app.import(&[url(2)]).await;
    for _ in 0..5 {
        app.import_all().await;
        app.clock.advance(TimeDelta::hours(1));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    assert_eq!(app.job(&id).await["errors"][url(2)], "its host responded with 503 Service Unavailable (tried 3 times)");
}

#[tokio::test]
async fn retry_after_is_obeyed_for_up_to_an_hour() {
    let world = World::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    world
        .site("pictures.test", move |path, _| {
            let wait = if path == "/1.jpg" { "300" } else { "999999" };
            match count.fetch_add(1, Ordering::SeqCst) {
                0 | 2 => reply("429 Too Many Requests", &[("Retry-After", wait)], b""),
                _ => picture(&jpeg(64, 64, 1)),
            }
        })
        .await;
    let app = TestApp::within(world, &[NO_WORKERS, "--import-retry-delay=1"]).await;
    app.clock.stop();
    for (number, wait) in [(1, TimeDelta::seconds(300)), (2, TimeDelta::hours(1))] {
        let id = app.import(&[url(number)]).await;
        app.import_all().await;
        app.clock.advance(wait - TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(counts(&app.job(&id).await), [1, 0, 0]);
        app.clock.advance(TimeDelta::milliseconds(1));
        app.import_all().await;
        assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);
    }
    assert_eq!(app.metric("import_fetches_total{result=\"status_429\"}").await, 2.0);
}

#[tokio::test]
async fn permanent_errors_are_not_retried_and_do_not_affect_other_items() {
    let world = World::new();
    world
        .site("pictures.test", |path, _| match path {
            "/403" => reply("403 Forbidden", &[], b""),
            "/html" => reply("200 OK", &[("Content-Type", "text/html")], b"<html>"),
            "/broken" => Reply::Whole([head("200 OK", &[("Content-Length", "9999")]), vec![0; 10]].concat()),
            _ => picture(&jpeg(64, 64, seed(path))),
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    app.clock.stop();
    let urls = ["/1", "/403", "/2", "/html", "/3", "/broken", "/4"].map(|path| format!("http://pictures.test{path}"));
    let id = app.import(&urls).await;
    app.import_all().await;
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["status"]), ([1, 4, 2], &json!("in-progress")));
    assert_eq!(job["uploaded"]["pending"], json!([urls[5]]));
    for _ in 0..3 {
        app.clock.advance(TimeDelta::hours(1));
        app.import_all().await;
    }
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["status"]), ([0, 4, 3], &json!("complete")));
    assert_eq!(job["errors"][&urls[5]], "its host closed the connection before the response was complete (tried 3 times)");
    assert_eq!(world.requests().len(), 6 + 3);
}

#[tokio::test]
async fn a_claim_of_a_crashed_worker_expires_with_its_lease() {
    let world = image_host().await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS, "--import-attempts=2"]).await;
    app.clock.stop();
    let id = app.import(&[url(1)]).await;
    drop(claim(&app).await);
    assert_eq!(app.job(&id).await["status"], "in-progress");
    app.clock.advance(TimeDelta::seconds(30) - TimeDelta::milliseconds(1));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(app.import_next().await, Outcome::Done);
    assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);

    // An item that crashes every worker fails after its last attempt.
    let id = app.import(&[url(2)]).await;
    for _ in 0..2 {
        drop(claim(&app).await);
        app.clock.advance(TimeDelta::seconds(30));
    }
    // The last attempt cannot be repeated, so its lease is twice as long.
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    assert_eq!(app.job(&id).await["status"], "in-progress");
    app.clock.advance(TimeDelta::seconds(30));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    let job = app.job(&id).await;
    assert_eq!((counts(&job), &job["errors"][url(2)]), ([0, 0, 1], &json!("the service was interrupted in every attempt")));
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_lease_stores_nothing() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    let held = Arc::clone(&gate);
    world.site("pictures.test", move |_, _| Reply::Gated(Arc::clone(&held), answer("200 OK", &[], &jpeg(64, 64, 1)))).await;
    let app = TestApp::within(Arc::clone(&world) as _, &[NO_WORKERS]).await;
    let id = app.import(&[url(1)]).await;
    let start = || {
        let service = Arc::clone(app.service());
        tokio::spawn(async move {
            let Claimed::Item(claimed) = service.claim_import().await.unwrap() else { panic!("there is no item to claim") };
            service.import(*claimed, &CancellationToken::new()).await
        })
    };
    let first = start();
    until("the first worker has sent its request", async || world.busy("pictures.test") == 1).await;
    app.clock.advance(TimeDelta::seconds(31));
    let second = start();
    until("the second worker has sent its request", async || world.busy("pictures.test") == 2).await;
    gate.add_permits(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (WorkOutcome::Settled, WorkOutcome::Settled));
    assert_eq!(counts(&app.job(&id).await), [0, 1, 0]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    assert_eq!(
        app.by("alice", Method::GET, "/imports").await.ok()["imports"][0]["counts"],
        json!({"pending": 0, "complete": 1, "failed": 0})
    );
    // The objects that the first worker uploaded are removed, because they belong to no image.
    app.clock.advance(TimeDelta::hours(2));
    app.sweep_all().await;
    app.assert_sound().await;
    assert_eq!(app.storage().keys().await.len(), app.get("/images").await.ok()["images"].as_array().unwrap().len() * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_item_of_a_cancelled_job_is_not_retried() {
    let (gate, world) = (Arc::new(Semaphore::new(0)), World::new());
    let held = Arc::clone(&gate);
    world
        .site("pictures.test", move |path, _| {
            let status = if path == "/1.jpg" { "200 OK" } else { "503 Service Unavailable" };
            Reply::Gated(Arc::clone(&held), answer(status, &[], &jpeg(64, 64, 1)))
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &["--import-concurrency=4", "--import-attempts=5"]).await;
    let id = app.import(&[url(1), url(2)]).await;
    until("both are running", async || world.busy("pictures.test") == 2).await;
    let job = app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!((counts(&job), &job["status"]), ([2, 0, 0], &json!("in-progress")));
    gate.add_permits(2);
    let job = app.done(&id).await;
    assert_eq!((counts(&job), &job["errors"]), ([0, 1, 1], &json!({url(2): "its host responded with 503 Service Unavailable"})));
    // An item whose worker crashed is not retried either.
    let app = TestApp::within(world as _, &[NO_WORKERS]).await;
    let id = app.import(&[url(1)]).await;
    drop(claim(&app).await);
    app.by("alice", Method::DELETE, &format!("/imports/{id}")).await.ok();
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    app.clock.advance(TimeDelta::seconds(31));
    assert_eq!(app.import_next().await, Outcome::NothingToDo);
    assert_eq!(app.job(&id).await["errors"], json!({url(1): "the import was cancelled"}));
}

//! The queue of captions' jobs: turns, claims, attempts, whose fault a failure is, and what becomes of images that are deleted.

use chrono::TimeDelta;
use image_service::service::jobs::caption_queue::ClaimedCaption;
use image_service::service::maintenance::sweep::Outcome;
use image_service::worker::captions;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::captions::{ask, caption, image, service, settled, until, upload};
use crate::harness::chat::{Chat, DEFAULT_CAPTION, Reply};
use crate::harness::{TestApp, assert_error};

/// As [`service`], where the only one who may be asked is busy for good: the test takes jobs itself.
async fn by_hand(chat: &Chat, settings: &[&str]) -> TestApp {
    let app = service(chat, settings).await;
    chat.reply_with(&[Reply::Silence]);
    upload(&app, "zoe", 999).await;
    until("the worker is busy", async || chat.requests().len() == 1).await;
    app
}

/// Takes the next job, but for the one that keeps the worker busy.
async fn take(app: &TestApp) -> Option<ClaimedCaption> {
    loop {
        let claimed = app.service().claim_caption().await.unwrap();
        if claimed.as_ref().is_none_or(|claimed| claimed.user_id().as_str() != "zoe") {
            return claimed;
        }
    }
}

async fn work(app: &TestApp, claimed: ClaimedCaption) {
    app.service().caption(claimed, &CancellationToken::new()).await;
}

/// Takes the next job and works on it; `false` if there is none.
async fn work_on_next(app: &TestApp) -> bool {
    let claimed = take(app).await;
    let is_there = claimed.is_some();
    if let Some(claimed) = claimed {
        work(app, claimed).await;
    }
    is_there
}

#[tokio::test]
async fn where_picture_after_picture_fails_it_is_the_endpoints_fault_until_one_succeeds() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &["--caption-attempts=1"]).await;
    let mut ids = Vec::new();
    for seed in 1..=5 {
        ids.push(upload(&app, &format!("user{seed}"), seed).await);
    }
    let statuses =
        async || futures::future::join_all(ids.iter().map(async |id| image(&app, id).await["caption_status"].take())).await;
    chat.reply_with(&[500, 400, 403, 500, 400].map(Reply::Status));
    while work_on_next(&app).await {}
    assert_eq!(statuses().await, ["failed", "failed", "failed", "pending", "pending"]);
    chat.reply_with(&[Reply::Status(500), Reply::Text(DEFAULT_CAPTION), Reply::Status(500)]);
    for _ in 0..2 {
        app.clock.advance(TimeDelta::seconds(10));
        while work_on_next(&app).await {}
    }
    // The fourth was not at fault the second time either, and was the third time.
    assert_eq!(statuses().await, ["failed", "failed", "failed", "failed", "ready"]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_picture_its_caption() {
    let chat = Chat::start().await;
    let app = service(&chat, &["--caption-attempts=1"]).await;
    chat.reply_with(&[Reply::Status(503), Reply::Status(429), Reply::Status(401)]);
    let id = upload(&app, "alice", 1).await;
    for tries in 1..=3 {
        until("it was tried", async || chat.requests().len() >= tries).await;
        assert_eq!(image(&app, &id).await["caption_status"], "pending");
        // The worker pauses by a clock of its own; whoever has another service may try.
        until("it is given back", async || {
            app.clock.advance(TimeDelta::seconds(10));
            captions::run_next(app.service()).await.unwrap() == Outcome::Done
        })
        .await;
    }
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    assert_eq!(app.metric("captions_total{result=\"unable\"}").await, 3.0);
}

#[tokio::test]
async fn a_deleted_image_is_captioned_when_it_is_restored() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    app.delete("alice", &id).await.ok();
    assert!(work_on_next(&app).await);
    app.clock.advance(TimeDelta::days(20));
    assert!(!work_on_next(&app).await, "it waits");
    assert_eq!(chat.requests().len(), 1);
    assert_eq!(app.restore("alice", &id).await.ok()["caption_status"], "pending");
    assert!(work_on_next(&app).await);
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    // Purged, it takes its job along.
    let id = upload(&app, "alice", 2).await;
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    assert!(!work_on_next(&app).await);
    app.assert_sound().await;
}

#[tokio::test]
async fn what_is_deleted_or_purged_while_it_is_captioned_harms_nothing() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &[]).await;
    let (kept, purged) = (upload(&app, "alice", 1).await, upload(&app, "alice", 2).await);
    let (first, second) = (take(&app).await.unwrap(), take(&app).await.unwrap());
    app.delete("alice", &purged).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    app.delete("alice", &kept).await.ok();
    // Restored before it is settled: it goes on at once.
    work(&app, second).await;
    app.restore("alice", &kept).await.ok();
    work(&app, first).await;
    assert_eq!(image(&app, &kept).await["caption_status"], "ready");
    assert_error(&app.get(&format!("/images/{purged}")).await, 404, "NotFound");
    app.assert_sound().await;
}

#[tokio::test]
async fn users_take_turns() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &[]).await;
    for seed in 1..=3 {
        upload(&app, "alice", seed).await;
    }
    upload(&app, "bob", 4).await;
    upload(&app, "bob", 5).await;
    upload(&app, "carol", 6).await;
    let mut turns = Vec::new();
    while let Some(claimed) = take(&app).await {
        turns.push(claimed.user_id().to_string());
    }
    assert_eq!(turns, ["alice", "bob", "carol", "alice", "bob", "alice"]);
}

#[tokio::test]
async fn a_job_is_taken_once_and_whoever_is_late_settles_nothing() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &[]).await;
    let mut ids = Vec::new();
    for seed in 1..=10 {
        ids.push(upload(&app, &format!("user{seed}"), seed).await);
    }
    let claims = futures::future::join_all((0..40).map(|_| app.service().claim_caption())).await;
    let mut claimed: Vec<_> = claims.into_iter().filter_map(Result::unwrap).collect();
    // Who came at the same moment as another may have got nothing, and looks again.
    while let Some(one) = take(&app).await {
        claimed.push(one);
    }
    let mut taken: Vec<String> = claimed.iter().map(|one| one.image_id().to_string()).collect();
    taken.sort();
    ids.sort();
    assert_eq!(taken, ids);
    // Their leases end: others take the jobs over, and are quicker.
    app.clock.advance(TimeDelta::seconds(61));
    while work_on_next(&app).await {}
    chat.reply_with(&vec![Reply::Text("late"); 11]);
    for one in claimed {
        work(&app, one).await;
    }
    for id in &ids {
        assert_eq!(caption(&image(&app, id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    }
}

#[tokio::test]
async fn what_ends_the_service_each_time_is_given_up() {
    let chat = Chat::start().await;
    let app = by_hand(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    for _ in 0..3 {
        // As if the process had ended.
        drop(take(&app).await.expect("the job"));
        assert!(take(&app).await.is_none());
        app.clock.advance(TimeDelta::seconds(61));
    }
    assert!(work_on_next(&app).await);
    let failed = image(&app, &id).await;
    assert_eq!(caption(&failed)[0], "failed");
    assert_eq!(caption(&failed)[3], "the service was interrupted each time that it tried");
    // Whoever asks anew has all attempts anew, also while a dead holder has it.
    let id = upload(&app, "alice", 2).await;
    for _ in 0..3 {
        drop(take(&app).await.expect("the job"));
        app.clock.advance(TimeDelta::seconds(61));
    }
    assert_eq!(ask(&app, "alice", &id).await.status, 202);
    assert!(work_on_next(&app).await);
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

#[tokio::test]
async fn fewer_attempts_than_were_made_already_are_no_interruption() {
    let chat = Chat::start().await;
    let mut app = service(&chat, &["--caption-attempts=9"]).await;
    chat.reply_with(&[500, 500, 500].map(Reply::Status));
    let id = upload(&app, "alice", 1).await;
    for tries in 1..=3 {
        until("it was tried", async || app.metric("captions_total{result=\"retried\"}").await == f64::from(tries)).await;
        if tries < 3 {
            app.clock.advance(TimeDelta::minutes(10));
        }
    }
    app.set("--caption-attempts=2");
    app.restart().await;
    app.clock.advance(TimeDelta::minutes(10));
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

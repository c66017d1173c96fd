//! The caption job queue: turns, claims, attempts, which failures count against an image, and what happens to the jobs
//! of deleted images.

use chrono::TimeDelta;
use image_service::service::jobs::caption_queue::ClaimedCaption;
use image_service::service::maintenance::step::Outcome;
use image_service::worker::captions;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::captions::{caption, image, request_caption, start_service, upload, wait_for_caption, wait_until};
use crate::harness::chat::{Chat, DEFAULT_CAPTION, Reply};
use crate::harness::{TestApp, assert_error};

/// Like [`start_service`], with its only worker blocked forever, so that the test claims the jobs.
async fn start_with_blocked_worker(chat: &Chat, settings: &[&str]) -> TestApp {
    let app = start_service(chat, settings).await;
    chat.reply_with(&[Reply::Silence]);
    upload(&app, "zoe", 999).await;
    wait_until("the worker is busy", async || chat.requests().len() == 1).await;
    app
}

/// Claims the next job, except the one that blocks the worker.
async fn claim_next(app: &TestApp) -> Option<ClaimedCaption> {
    loop {
        let claimed = app.service().claim_caption().await.unwrap();
        if claimed.as_ref().is_none_or(|claimed| claimed.user_id().as_str() != "zoe") {
            return claimed;
        }
    }
}

async fn run_job(app: &TestApp, claimed: ClaimedCaption) {
    app.service().caption(claimed, &CancellationToken::new()).await;
}

/// Claims the next job and runs it. Returns `false` if there is none.
async fn run_next_job(app: &TestApp) -> bool {
    let claimed = claim_next(app).await;
    let found = claimed.is_some();
    if let Some(claimed) = claimed {
        run_job(app, claimed).await;
    }
    found
}

#[tokio::test]
async fn after_several_failures_in_a_row_jobs_wait_until_the_endpoint_succeeds() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &["--caption-attempts=1"]).await;
    let mut ids = Vec::new();
    for seed in 1..=5 {
        ids.push(upload(&app, &format!("user{seed}"), seed).await);
    }
    let statuses =
        async || futures::future::join_all(ids.iter().map(async |id| image(&app, id).await["caption_status"].take())).await;
    chat.reply_with(&[500, 400, 403, 500, 400].map(Reply::Status));
    while run_next_job(&app).await {}
    assert_eq!(statuses().await, ["failed", "failed", "failed", "pending", "pending"]);
    chat.reply_with(&[Reply::Status(500), Reply::Text(DEFAULT_CAPTION), Reply::Status(500)]);
    for _ in 0..2 {
        app.clock.advance(TimeDelta::seconds(10));
        while run_next_job(&app).await {}
    }
    // The fourth image failed once more before the endpoint succeeded, so only its third failure counted against it.
    assert_eq!(statuses().await, ["failed", "failed", "failed", "failed", "ready"]);
}

#[tokio::test]
async fn an_unavailable_endpoint_does_not_use_up_attempts() {
    let chat = Chat::start().await;
    let app = start_service(&chat, &["--caption-attempts=1"]).await;
    chat.reply_with(&[Reply::Status(503), Reply::Status(429), Reply::Status(401)]);
    let id = upload(&app, "alice", 1).await;
    for attempt in 1..=3 {
        wait_until("the job was attempted", async || chat.requests().len() >= attempt).await;
        assert_eq!(image(&app, &id).await["caption_status"], "pending");
        // The worker pauses by a clock of its own. Another instance may claim the job.
        wait_until("the job is released", async || {
            app.clock.advance(TimeDelta::seconds(10));
            captions::run_next(app.service()).await.unwrap() == Outcome::Done
        })
        .await;
    }
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    assert_eq!(app.metric("captions_total{result=\"unable\"}").await, 3.0);
}

#[tokio::test]
async fn a_deleted_image_is_captioned_when_it_is_restored() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    app.delete("alice", &id).await.ok();
    assert!(run_next_job(&app).await);
    app.clock.advance(TimeDelta::days(20));
    assert!(!run_next_job(&app).await, "the job waits for a restore");
    assert_eq!(chat.requests().len(), 1);
    assert_eq!(app.restore("alice", &id).await.ok()["caption_status"], "pending");
    assert!(run_next_job(&app).await);
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    // A purge deletes the image's job.
    let id = upload(&app, "alice", 2).await;
    app.delete("alice", &id).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    assert!(!run_next_job(&app).await);
    app.assert_sound().await;
}

#[tokio::test]
async fn images_can_be_deleted_and_purged_while_they_are_captioned() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &[]).await;
    let (kept, purged) = (upload(&app, "alice", 1).await, upload(&app, "alice", 2).await);
    let (first, second) = (claim_next(&app).await.unwrap(), claim_next(&app).await.unwrap());
    app.delete("alice", &purged).await.ok();
    app.clock.advance(TimeDelta::days(31));
    app.sweep_all().await;
    app.delete("alice", &kept).await.ok();
    // Restored before the job is settled: the job continues immediately.
    run_job(&app, second).await;
    app.restore("alice", &kept).await.ok();
    run_job(&app, first).await;
    assert_eq!(image(&app, &kept).await["caption_status"], "ready");
    assert_error(&app.get(&format!("/images/{purged}")).await, 404, "NotFound");
    app.assert_sound().await;
}

#[tokio::test]
async fn users_take_turns() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &[]).await;
    for seed in 1..=3 {
        upload(&app, "alice", seed).await;
    }
    upload(&app, "bob", 4).await;
    upload(&app, "bob", 5).await;
    upload(&app, "carol", 6).await;
    let mut turns = Vec::new();
    while let Some(claimed) = claim_next(&app).await {
        turns.push(claimed.user_id().to_string());
    }
    assert_eq!(turns, ["alice", "bob", "carol", "alice", "bob", "alice"]);
}

#[tokio::test]
async fn a_job_is_claimed_once_and_a_late_worker_does_not_overwrite_the_result() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &[]).await;
    let mut ids = Vec::new();
    for seed in 1..=10 {
        ids.push(upload(&app, &format!("user{seed}"), seed).await);
    }
    let claims = futures::future::join_all((0..40).map(|_| app.service().claim_caption())).await;
    let mut claimed: Vec<_> = claims.into_iter().filter_map(Result::unwrap).collect();
    // Concurrent claims may have returned nothing, so the rest is claimed here.
    while let Some(one) = claim_next(&app).await {
        claimed.push(one);
    }
    let mut taken: Vec<String> = claimed.iter().map(|one| one.image_id().to_string()).collect();
    taken.sort();
    ids.sort();
    assert_eq!(taken, ids);
    // The leases expire. Others claim the jobs and finish first.
    app.clock.advance(TimeDelta::seconds(61));
    while run_next_job(&app).await {}
    chat.reply_with(&vec![Reply::Text("late"); 11]);
    for one in claimed {
        run_job(&app, one).await;
    }
    for id in &ids {
        assert_eq!(caption(&image(&app, id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    }
}

#[tokio::test]
async fn a_job_that_interrupts_the_service_every_time_fails() {
    let chat = Chat::start().await;
    let app = start_with_blocked_worker(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    for _ in 0..3 {
        // As if the process had been killed.
        drop(claim_next(&app).await.expect("the job"));
        assert!(claim_next(&app).await.is_none());
        app.clock.advance(TimeDelta::seconds(61));
    }
    assert!(run_next_job(&app).await);
    let failed = image(&app, &id).await;
    assert_eq!(caption(&failed)[0], "failed");
    assert_eq!(caption(&failed)[3], "the service was interrupted in every attempt");
    // A new request resets the attempts, even while a dead process holds the job.
    let id = upload(&app, "alice", 2).await;
    for _ in 0..3 {
        drop(claim_next(&app).await.expect("the job"));
        app.clock.advance(TimeDelta::seconds(61));
    }
    assert_eq!(request_caption(&app, "alice", &id).await.status, 202);
    assert!(run_next_job(&app).await);
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

#[tokio::test]
async fn lowering_the_attempt_limit_does_not_fail_a_waiting_job() {
    let chat = Chat::start().await;
    let mut app = start_service(&chat, &["--caption-attempts=9"]).await;
    chat.reply_with(&[500, 500, 500].map(Reply::Status));
    let id = upload(&app, "alice", 1).await;
    for attempt in 1..=3 {
        wait_until("the job was attempted", async || {
            app.metric("captions_total{result=\"retried\"}").await == f64::from(attempt)
        })
        .await;
        if attempt < 3 {
            app.clock.advance(TimeDelta::minutes(10));
        }
    }
    app.set("--caption-attempts=2");
    app.restart().await;
    app.clock.advance(TimeDelta::minutes(10));
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

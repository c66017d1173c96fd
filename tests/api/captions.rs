//! Captions: asked for by uploads and by owners, made in their turn, tried again, given up; by an endpoint that the test speaks
//! for. The model inside the process has its own file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use image_service::service::caption_queue::ClaimedCaption;
use image_service::service::sweep::Outcome;
use image_service::worker::captions;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::harness::chat::{Chat, Reply, SAYS};
use crate::harness::pictures::jpeg;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Form, TestApp, assert_error};

/// A service that asks the endpoint, with a second or so for each answer.
async fn service(chat: &Chat, settings: &[&str]) -> TestApp {
    let url = format!("--caption-url={}", chat.url);
    let usual = [&url, "--caption-model=llava:7b", "--caption-timeout=60", "--caption-retry-delay=10"];
    TestApp::with(&[&usual[..], settings].concat()).await
}

/// As [`service`], where the only one who may be asked is busy for good: the test takes jobs itself.
async fn by_hand(chat: &Chat, settings: &[&str]) -> TestApp {
    let app = service(chat, settings).await;
    chat.will(&[Reply::Silence]);
    upload(&app, "zoe", 999).await;
    until("the worker is busy", async || chat.asked().len() == 1).await;
    app
}

async fn upload(app: &TestApp, user: &str, seed: u64) -> String {
    app.post(Form::upload(user, &jpeg(64, 64, seed))).await.image_id()
}

async fn image(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/images/{id}")).await.ok()
}

/// The image when its caption is settled.
async fn settled(app: &TestApp, id: &str) -> Value {
    let image = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_ne!(image["caption_status"], "pending", "{image:#}");
    image
}

async fn ask(app: &TestApp, user: &str, id: &str) -> Answer {
    app.by(user, Method::POST, &format!("/images/{id}/caption")).await
}

fn caption(image: &Value) -> [&Value; 4] {
    ["caption_status", "caption", "caption_model", "caption_error"].map(|field| &image[field])
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not until {what}");
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
async fn without_a_model_nothing_is_asked_for_and_that_is_told() {
    let app = TestApp::start().await;
    let ready = app.get("/ready").await.ok();
    assert_eq!((&ready["captions"], &ready["caption_model"]), (&json!("off"), &Value::Null));
    let id = upload(&app, "alice", 1).await;
    let stored = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_eq!(caption(&stored), [&json!("off"), &Value::Null, &Value::Null, &Value::Null]);
    assert_error(&ask(&app, "alice", &id).await, 409, "Conflict");
    assert_eq!(image(&app, &id).await["caption_status"], "off");
}

#[cfg(not(feature = "captions"))]
#[tokio::test]
async fn a_binary_without_the_feature_says_so() {
    let ended = Home::embedded().run(&["serve"], &[("CAPTION_MODEL_DIR", "models/any")]).await;
    assert!(!ended.status.success());
    assert!(ended.log.contains("CAPTION_MODEL_DIR cannot be used: this binary was built without the feature"), "{}", ended.log);
}

#[tokio::test]
async fn an_upload_is_captioned_and_who_waits_is_told() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = service(&chat, &["--caption-api-key=key-7", "--caption-prompt=What is it?"]).await;
    let ready = app.get("/ready").await.ok();
    assert_eq!((&ready["captions"], &ready["caption_model"]), (&json!("on"), &json!("llava:7b")));
    chat.will(&[Reply::Gated(Arc::clone(&gate), " A red\ncircle  on blue. ")]);
    let uploaded = app.post(Form::upload("alice", &jpeg(1600, 400, 1))).await.image();
    let id = uploaded["image_id"].as_str().unwrap();
    assert_eq!(caption(&uploaded), [&json!("pending"), &Value::Null, &Value::Null, &Value::Null]);
    // Not before the time is over, and then as it is.
    assert_eq!(app.get(&format!("/images/{id}?wait=1")).await.ok()["caption_status"], "pending");
    let waiting = settled(&app, id);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "there is no caption yet");
    app.clock.advance(TimeDelta::seconds(5));
    gate.add_permits(1);
    let captioned = waiting.await;
    let expected = [json!("ready"), json!("A red circle on blue."), json!("llava:7b"), Value::Null];
    assert_eq!(caption(&captioned), expected.each_ref());
    assert_ne!(captioned["updated_at"], uploaded["updated_at"]);
    let listed = app.get("/images").await.ok();
    assert_eq!(caption(&listed["images"][0]), expected.each_ref());
    // What the endpoint was asked.
    let asked = chat.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer key-7"));
    assert_eq!((&asked[0].chat["model"], &asked[0].chat["stream"]), (&json!("llava:7b"), &json!(false)));
    assert_eq!(asked[0].chat["messages"][0]["content"][0], json!({"type": "text", "text": "What is it?"}));
    let sent = mozjpeg::Decompress::new_mem(&asked[0].picture()).unwrap().size();
    assert_eq!(sent, (768, 192), "small enough for a model");
    assert_eq!(app.metric("captions_total{result=\"ready\"}").await, 1.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn wait_is_a_bounded_number_of_seconds() {
    let app = TestApp::start().await;
    let id = upload(&app, "alice", 1).await;
    for wait in ["31", "-1", "soon", ""] {
        let details = assert_error(&app.get(&format!("/images/{id}?wait={wait}")).await, 422, "ValidationError");
        assert!(details["wait"].is_string(), "{details}");
    }
    app.get(&format!("/images/{id}?wait=0")).await.ok();
}

#[tokio::test]
async fn its_owner_asks_for_another_and_the_old_one_stays_until_then() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = service(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    assert_eq!(settled(&app, &id).await["caption"], SAYS);
    assert_error(&ask(&app, "bob", &id).await, 403, "Forbidden");
    chat.will(&[Reply::Gated(Arc::clone(&gate), "another")]);
    let asked = ask(&app, "alice", &id).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(caption(&asked.json())[..2], [&json!("pending"), &json!(SAYS)]);
    until("the worker is busy", async || chat.asked().len() == 2).await;
    // Again, while it is made: there is one job.
    assert_eq!(ask(&app, "alice", &id).await.status, 202);
    gate.add_permits(1);
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!("another")]);
    assert_eq!(chat.asked().len(), 2);
    // When none comes, the last one stays.
    chat.will(&[Reply::Status(400)]);
    ask(&app, "alice", &id).await;
    let failed = settled(&app, &id).await;
    assert_eq!(caption(&failed), [&json!("failed"), &json!("another"), &json!("llava:7b"), &json!("the endpoint answered 400")]);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_later_and_later_and_then_given_up() {
    let chat = Chat::start().await;
    let app = service(&chat, &["--caption-attempts=3"]).await;
    chat.will(&[Reply::Status(500), Reply::Body("{}".to_owned()), Reply::Says("at last")]);
    let id = upload(&app, "alice", 1).await;
    for tries in 1..=2_u32 {
        until("it was tried", async || chat.asked().len() == tries as usize).await;
        // Ten seconds, then forty, each give or take a half.
        let (soonest, latest) = (5 * 4_i64.pow(tries - 1), 15 * 4_i64.pow(tries - 1));
        until("it is put off", async || app.metric("captions_total{result=\"retried\"}").await == f64::from(tries)).await;
        app.clock.advance(TimeDelta::seconds(soonest - 1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(chat.asked().len(), tries as usize, "too soon");
        app.clock.advance(TimeDelta::seconds(latest - soonest + 2));
    }
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!("at last")]);
    assert_eq!(app.metric("captions_total{result=\"retried\"}").await, 2.0);
    // Every time.
    chat.will(&[Reply::Status(500), Reply::Says(" \n "), Reply::Says("never asked")]);
    let id = upload(&app, "alice", 2).await;
    until("it is put off", async || app.metric("captions_total{result=\"retried\"}").await == 3.0).await;
    app.clock.advance(TimeDelta::seconds(20));
    assert_eq!(
        caption(&settled(&app, &id).await),
        [&json!("failed"), &Value::Null, &Value::Null, &json!("the model said nothing")]
    );
    // Whoever asks again has all tries anew.
    ask(&app, "alice", &id).await;
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!("never asked")]);
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_has_no_end_is_no_caption() {
    let chat = Chat::start().await;
    let app = service(&chat, &["--caption-attempts=1", "--caption-timeout=1"]).await;
    chat.will(&[Reply::Silence, Reply::Body("x".repeat(2 << 20)), Reply::Body(json!({"choices": []}).to_string())]);
    for reason in ["it took longer than it may", "the endpoint's answer is too long", "the endpoint's answer has no text"] {
        let id = upload(&app, "alice", reason.len() as u64).await;
        assert_eq!(settled(&app, &id).await["caption_error"], reason);
    }
}

#[tokio::test]
async fn the_words_of_an_endpoint_are_not_told_to_users() {
    let chat = Chat::start().await;
    let app = service(&chat, &["--caption-attempts=1"]).await;
    let inner = "http://10.0.0.5:9/ key=sk-123 ".repeat(10_000);
    chat.will(&[Reply::Body(json!({"choices": inner}).to_string()), Reply::Status(500), Reply::Cut]);
    for reason in
        ["the endpoint's answer is no chat completion", "the endpoint answered 500", "the endpoint did not answer to the end"]
    {
        let id = upload(&app, "alice", reason.len() as u64).await;
        assert_eq!(settled(&app, &id).await["caption_error"], reason);
    }
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
    chat.will(&[500, 400, 403, 500, 400].map(Reply::Status));
    while work_on_next(&app).await {}
    assert_eq!(statuses().await, ["failed", "failed", "failed", "pending", "pending"]);
    chat.will(&[Reply::Status(500), Reply::Says(SAYS), Reply::Status(500)]);
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
    chat.will(&[Reply::Status(503), Reply::Status(429), Reply::Status(401)]);
    let id = upload(&app, "alice", 1).await;
    for tries in 1..=3 {
        until("it was tried", async || chat.asked().len() >= tries).await;
        assert_eq!(image(&app, &id).await["caption_status"], "pending");
        // The worker pauses by a clock of its own; whoever has another service may try.
        until("it is given back", async || {
            app.clock.advance(TimeDelta::seconds(10));
            captions::run_next(app.service()).await.unwrap() == Outcome::Done
        })
        .await;
    }
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
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
    assert_eq!(chat.asked().len(), 1);
    assert_eq!(app.restore("alice", &id).await.ok()["caption_status"], "pending");
    assert!(work_on_next(&app).await);
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
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
    chat.will(&vec![Reply::Says("late"); 11]);
    for one in claimed {
        work(&app, one).await;
    }
    for id in &ids {
        assert_eq!(caption(&image(&app, id).await)[..2], [&json!("ready"), &json!(SAYS)]);
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
    assert_eq!(caption(&image(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
}

#[tokio::test]
async fn fewer_attempts_than_were_made_already_are_no_interruption() {
    let chat = Chat::start().await;
    let mut app = service(&chat, &["--caption-attempts=9"]).await;
    chat.will(&[500, 500, 500].map(Reply::Status));
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
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
}

#[tokio::test]
async fn where_captions_were_turned_off_nobody_waits_for_them() {
    let chat = Chat::start().await;
    let mut app = service(&chat, &[]).await;
    chat.will(&[Reply::Status(503)]);
    let id = upload(&app, "alice", 1).await;
    until("it was tried", async || chat.asked().len() == 1).await;
    app.set("--caption-url=");
    app.restart().await;
    let started = std::time::Instant::now();
    assert_eq!(app.get(&format!("/images/{id}?wait=30")).await.ok()["caption_status"], "pending");
    assert!(started.elapsed() < Duration::from_secs(20), "who asks is answered at once");
    app.set(&format!("--caption-url={}", chat.url));
    app.restart().await;
    app.clock.advance(TimeDelta::seconds(10));
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
}

#[tokio::test]
async fn a_service_that_stops_gives_back_what_it_has_and_keeps_nobody_waiting() {
    let chat = Chat::start().await;
    let mut app = service(&chat, &[]).await;
    chat.will(&[Reply::Silence]);
    let id = upload(&app, "alice", 1).await;
    until("the worker is busy", async || chat.asked().len() == 1).await;
    let waiting = app.request(Method::GET, &format!("/images/{id}?wait=30")).send();
    let waiting = tokio::spawn(waiting);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = std::time::Instant::now();
    app.restart().await;
    assert!(started.elapsed() < Duration::from_secs(20), "the one who waits is answered at once");
    assert_eq!(Answer::read(waiting.await.unwrap().unwrap()).await.ok()["caption_status"], "pending");
    assert_eq!(caption(&settled(&app, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
}

#[tokio::test]
async fn a_caption_outlives_the_process_that_was_to_make_it() {
    let (mut home, chat) = (Home::new().await, Chat::start().await);
    for (variable, value) in [("CAPTION_URL", chat.url.as_str()), ("CAPTION_MODEL", "llava:7b"), ("CAPTION_TIMEOUT", "60")] {
        home.set(variable, value);
    }
    let process = Process::start(&home, &[]).await;
    chat.will(&[Reply::Silence]);
    let id = upload_at(process.address).await;
    until("the worker is busy", async || chat.asked().len() == 1).await;
    process.kill().await;
    // By the clock of the next one the lease has ended.
    let running = home.start_ahead(TimeDelta::minutes(5)).await;
    assert_eq!(caption(&settled_at(running.address, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
    running.shut_down().await.unwrap();
}

async fn upload_at(address: SocketAddr) -> String {
    let form = reqwest::Client::new().post(format!("http://{address}/images")).header("Content-Type", Form::content_type());
    Answer::read(form.body(Form::upload("alice", &jpeg(64, 64, 1)).finish()).send().await.unwrap()).await.image_id()
}

async fn settled_at(address: SocketAddr, id: &str) -> Value {
    Answer::read(reqwest::get(format!("http://{address}/images/{id}?wait=30")).await.unwrap()).await.ok()
}

#[tokio::test]
async fn an_endpoint_is_asked_by_tls_if_its_certificate_is_trusted() {
    let (mut home, (chat, certificate)) = (Home::new().await, Chat::start_secure().await);
    for (variable, value) in [("CAPTION_URL", chat.url.as_str()), ("CAPTION_MODEL", "llava:7b"), ("CAPTION_API_KEY", "key-7")] {
        home.set(variable, value);
    }
    let process = Process::start(&home, &[]).await;
    let id = upload_at(process.address).await;
    until("the certificate is refused", async || process.log().contains("certificate")).await;
    assert!(chat.asked().is_empty());
    process.stop().await;
    let trusted = home.data_dir().join("trusted.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let process = Process::start(&home, &[("SSL_CERT_FILE", trusted.to_str().unwrap())]).await;
    assert_eq!(caption(&settled_at(process.address, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
    assert_eq!(chat.asked()[0].authorization.as_deref(), Some("Bearer key-7"));
    process.stop().await;
}

#[tokio::test]
async fn a_private_image_is_captioned_for_its_owner_alone() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = service(&chat, &[]).await;
    chat.will(&[Reply::Gated(Arc::clone(&gate), "a secret")]);
    let form = Form::upload("alice", &jpeg(64, 64, 1)).text("visibility", "private");
    let id = app.post(form).await.image_id();
    // Who may not see it does not wait for it either.
    let path = format!("/images/{id}?wait=30");
    let (strangers, nobodys) = (app.by("bob", Method::GET, &path).await, app.get(&path).await);
    assert_error(&strangers, 404, "NotFound");
    assert_error(&nobodys, 404, "NotFound");
    assert_error(&ask(&app, "bob", &id).await, 404, "NotFound");
    gate.add_permits(1);
    let image = app.by("alice", Method::GET, &path).await.ok();
    assert_eq!(caption(&image)[..2], [&json!("ready"), &json!("a secret")]);
    for path in ["/images".to_owned(), path, format!("/i/{id}.json")] {
        let answers = [app.get(&path).await, app.by("bob", Method::GET, &path).await];
        assert!(answers.iter().all(|answer| !answer.text().contains("secret")), "{path}");
    }
}

#[tokio::test]
async fn what_is_on_this_machine_is_asked_by_no_proxy() {
    let (home, chat) = (Home::embedded(), Chat::start().await);
    let nobody = "http://127.0.0.1:9";
    let settings = [("HTTP_PROXY", nobody), ("ALL_PROXY", nobody), ("CAPTION_URL", &chat.url), ("CAPTION_MODEL", "llava:7b")];
    let process = Process::start(&home, &settings).await;
    // The storage inside is there as well.
    let id = upload_at(process.address).await;
    assert_eq!(caption(&settled_at(process.address, &id).await)[..2], [&json!("ready"), &json!(SAYS)]);
    process.stop().await;
}

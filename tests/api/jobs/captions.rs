//! Captions: requested by uploads and by owners, generated in the background, retried, and failed. The test controls
//! the endpoint. The job queue and the embedded model have test files of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::chat::{Chat, DEFAULT_CAPTION, Reply};
use crate::harness::pictures::jpeg;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Form, TestApp, assert_error};

/// A service that uses the endpoint. A request may take 60 seconds, and retries wait about 10 seconds.
pub async fn start_service(chat: &Chat, settings: &[&str]) -> TestApp {
    let url = format!("--caption-url={}", chat.url);
    let usual = [&url, "--caption-model=llava:7b", "--caption-timeout=60", "--caption-retry-delay=10"];
    TestApp::with(&[&usual[..], settings].concat()).await
}

pub async fn upload(app: &TestApp, user: &str, seed: u64) -> String {
    app.post(Form::upload(user, &jpeg(64, 64, seed))).await.image_id()
}

pub async fn image(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/images/{id}")).await.ok()
}

/// Waits until the caption is no longer pending. Returns the image.
pub async fn wait_for_caption(app: &TestApp, id: &str) -> Value {
    let image = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_ne!(image["caption_status"], "pending", "{image:#}");
    image
}

pub async fn request_caption(app: &TestApp, user: &str, id: &str) -> Answer {
    app.by(user, Method::POST, &format!("/images/{id}/caption")).await
}

pub fn caption(image: &Value) -> [&Value; 4] {
    ["caption_status", "caption", "caption_model", "caption_error"].map(|field| &image[field])
}

pub async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("timed out waiting until {what}");
}

#[tokio::test]
async fn without_a_model_captions_are_off() {
    let app = TestApp::start().await;
    let ready = app.get("/ready").await.ok();
    assert_eq!((&ready["captions"], &ready["caption_model"]), (&json!("off"), &Value::Null));
    let id = upload(&app, "alice", 1).await;
    let stored = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_eq!(caption(&stored), [&json!("off"), &Value::Null, &Value::Null, &Value::Null]);
    assert_error(&request_caption(&app, "alice", &id).await, 409, "Conflict");
    assert_eq!(image(&app, &id).await["caption_status"], "off");
}

#[cfg(not(feature = "captions"))]
#[tokio::test]
async fn a_binary_without_the_feature_rejects_a_model_folder() {
    let ended = Home::embedded().run(&["serve"], &[("CAPTION_MODEL_DIR", "models/any")]).await;
    assert!(!ended.status.success());
    assert!(ended.log.contains("invalid CAPTION_MODEL_DIR: this binary was built without the feature"), "{}", ended.log);
}

#[tokio::test]
async fn an_upload_is_captioned_and_a_waiting_client_gets_the_caption() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = start_service(&chat, &["--caption-api-key=key-7", "--caption-prompt=What is it?"]).await;
    let ready = app.get("/ready").await.ok();
    assert_eq!((&ready["captions"], &ready["caption_model"]), (&json!("on"), &json!("llava:7b")));
    chat.reply_with(&[Reply::Gated(Arc::clone(&gate), " A red\ncircle  on blue. ")]);
    let uploaded = app.post(Form::upload("alice", &jpeg(1600, 400, 1))).await.image();
    let id = uploaded["image_id"].as_str().unwrap();
    assert_eq!(caption(&uploaded), [&json!("pending"), &Value::Null, &Value::Null, &Value::Null]);
    // A wait that runs out returns the image in its current state.
    assert_eq!(app.get(&format!("/images/{id}?wait=1")).await.ok()["caption_status"], "pending");
    let waiting = wait_for_caption(&app, id);
    tokio::pin!(waiting);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut waiting).await.is_err(),
        "the request still waits for the caption"
    );
    app.clock.advance(TimeDelta::seconds(5));
    gate.add_permits(1);
    let captioned = waiting.await;
    let expected = [json!("ready"), json!("A red circle on blue."), json!("llava:7b"), Value::Null];
    assert_eq!(caption(&captioned), expected.each_ref());
    assert_ne!(captioned["updated_at"], uploaded["updated_at"]);
    let listed = app.get("/images").await.ok();
    assert_eq!(caption(&listed["images"][0]), expected.each_ref());
    // The request that the endpoint received.
    let requested = chat.requests();
    assert_eq!(requested.len(), 1);
    assert_eq!(requested[0].authorization.as_deref(), Some("Bearer key-7"));
    assert_eq!((&requested[0].chat["model"], &requested[0].chat["stream"]), (&json!("llava:7b"), &json!(false)));
    assert_eq!(requested[0].chat["messages"][0]["content"][0], json!({"type": "text", "text": "What is it?"}));
    let sent = mozjpeg::Decompress::new_mem(&requested[0].image()).unwrap().size();
    assert_eq!(sent, (768, 192), "the image is reduced to the model's size");
    assert_eq!(app.metric("captions_total{result=\"ready\"}").await, 1.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn wait_must_be_a_number_of_seconds_within_its_limit() {
    let app = TestApp::start().await;
    let id = upload(&app, "alice", 1).await;
    for wait in ["31", "-1", "soon"] {
        let details = assert_error(&app.get(&format!("/images/{id}?wait={wait}")).await, 422, "ValidationError");
        assert!(details["wait"].is_string(), "{details}");
    }
    app.get(&format!("/images/{id}?wait=0")).await.ok();
}

#[tokio::test]
async fn the_owner_requests_a_new_caption_and_the_old_one_stays_until_it_is_ready() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = start_service(&chat, &[]).await;
    let id = upload(&app, "alice", 1).await;
    assert_eq!(wait_for_caption(&app, &id).await["caption"], DEFAULT_CAPTION);
    assert_error(&request_caption(&app, "bob", &id).await, 403, "Forbidden");
    chat.reply_with(&[Reply::Gated(Arc::clone(&gate), "another")]);
    let requested = request_caption(&app, "alice", &id).await;
    assert_eq!(requested.status, 202, "{}", requested.text());
    assert_eq!(caption(&requested.json())[..2], [&json!("pending"), &json!(DEFAULT_CAPTION)]);
    wait_until("the worker is busy", async || chat.requests().len() == 2).await;
    // Requested again while the job runs: there is still one job.
    assert_eq!(request_caption(&app, "alice", &id).await.status, 202);
    gate.add_permits(1);
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!("another")]);
    assert_eq!(chat.requests().len(), 2);
    // If generation fails, the last caption stays.
    chat.reply_with(&[Reply::Status(400)]);
    request_caption(&app, "alice", &id).await;
    let failed = wait_for_caption(&app, &id).await;
    assert_eq!(
        caption(&failed),
        [&json!("failed"), &json!("another"), &json!("llava:7b"), &json!("the endpoint responded with 400")]
    );
}

#[tokio::test]
async fn transient_errors_are_retried_with_growing_delays_up_to_the_limit() {
    let chat = Chat::start().await;
    let app = start_service(&chat, &["--caption-attempts=3"]).await;
    chat.reply_with(&[Reply::Status(500), Reply::Body("{}".to_owned()), Reply::Text("at last")]);
    let id = upload(&app, "alice", 1).await;
    for attempt in 1..=2_u32 {
        wait_until("the job was attempted", async || chat.requests().len() == attempt as usize).await;
        // 10 seconds, then 40, each ±50%.
        let (soonest, latest) = (5 * 4_i64.pow(attempt - 1), 15 * 4_i64.pow(attempt - 1));
        wait_until("the job is postponed", async || app.metric("captions_total{result=\"retried\"}").await == f64::from(attempt))
            .await;
        app.clock.advance(TimeDelta::seconds(soonest - 1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(chat.requests().len(), attempt as usize, "retried too soon");
        app.clock.advance(TimeDelta::seconds(latest - soonest + 2));
    }
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!("at last")]);
    assert_eq!(app.metric("captions_total{result=\"retried\"}").await, 2.0);
    // All attempts fail.
    chat.reply_with(&[Reply::Status(500), Reply::Text(" \n "), Reply::Text("never requested")]);
    let id = upload(&app, "alice", 2).await;
    wait_until("the job is postponed", async || app.metric("captions_total{result=\"retried\"}").await == 3.0).await;
    app.clock.advance(TimeDelta::seconds(20));
    assert_eq!(
        caption(&wait_for_caption(&app, &id).await),
        [&json!("failed"), &Value::Null, &Value::Null, &json!("the model returned an empty caption")]
    );
    // A new request starts with a full set of attempts.
    request_caption(&app, "alice", &id).await;
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!("never requested")]);
}

#[tokio::test]
async fn a_missing_oversized_or_empty_response_is_not_a_caption() {
    let chat = Chat::start().await;
    let app = start_service(&chat, &["--caption-attempts=1", "--caption-timeout=1"]).await;
    chat.reply_with(&[Reply::Silence, Reply::Body("x".repeat(2 << 20)), Reply::Body(json!({"choices": []}).to_string())]);
    for reason in ["captioning took too long", "the endpoint's response is too long", "the endpoint's response contains no text"]
    {
        let id = upload(&app, "alice", reason.len() as u64).await;
        assert_eq!(wait_for_caption(&app, &id).await["caption_error"], reason);
    }
}

#[tokio::test]
async fn response_texts_of_the_endpoint_are_not_shown_to_users() {
    let chat = Chat::start().await;
    let app = start_service(&chat, &["--caption-attempts=1"]).await;
    let inner = "http://10.0.0.5:9/ key=sk-123 ".repeat(10_000);
    chat.reply_with(&[Reply::Body(json!({"choices": inner}).to_string()), Reply::Status(500), Reply::Cut]);
    for reason in [
        "the endpoint's response is not a chat completion",
        "the endpoint responded with 500",
        "the endpoint's response is incomplete",
    ] {
        let id = upload(&app, "alice", reason.len() as u64).await;
        assert_eq!(wait_for_caption(&app, &id).await["caption_error"], reason);
    }
}

#[tokio::test]
async fn requests_do_not_wait_for_captions_that_were_turned_off() {
    let chat = Chat::start().await;
    let mut app = start_service(&chat, &[]).await;
    chat.reply_with(&[Reply::Status(503)]);
    let id = upload(&app, "alice", 1).await;
    wait_until("the job was attempted", async || chat.requests().len() == 1).await;
    app.set("--caption-url=");
    app.restart().await;
    let started = std::time::Instant::now();
    assert_eq!(app.get(&format!("/images/{id}?wait=30")).await.ok()["caption_status"], "pending");
    assert!(started.elapsed() < Duration::from_secs(20), "the response does not wait");
    app.set(&format!("--caption-url={}", chat.url));
    app.restart().await;
    app.clock.advance(TimeDelta::seconds(10));
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

#[tokio::test]
async fn a_stopping_service_releases_its_jobs_and_answers_waiting_clients() {
    let chat = Chat::start().await;
    let mut app = start_service(&chat, &[]).await;
    chat.reply_with(&[Reply::Silence]);
    let id = upload(&app, "alice", 1).await;
    wait_until("the worker is busy", async || chat.requests().len() == 1).await;
    let waiting = app.request(Method::GET, &format!("/images/{id}?wait=30")).send();
    let waiting = tokio::spawn(waiting);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = std::time::Instant::now();
    app.restart().await;
    assert!(started.elapsed() < Duration::from_secs(20), "the waiting client gets a response immediately");
    assert_eq!(Answer::read(waiting.await.unwrap().unwrap()).await.ok()["caption_status"], "pending");
    assert_eq!(caption(&wait_for_caption(&app, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
}

#[tokio::test]
async fn a_caption_job_survives_a_killed_process() {
    let (mut home, chat) = (Home::new().await, Chat::start().await);
    for (variable, value) in [("CAPTION_URL", chat.url.as_str()), ("CAPTION_MODEL", "llava:7b"), ("CAPTION_TIMEOUT", "60")] {
        home.set(variable, value);
    }
    let process = Process::start(&home, &[]).await;
    chat.reply_with(&[Reply::Silence]);
    let id = upload_at(process.address).await;
    wait_until("the worker is busy", async || chat.requests().len() == 1).await;
    process.kill().await;
    // By the clock of the next process, the lease has expired.
    let running = home.start_ahead(TimeDelta::minutes(5)).await;
    assert_eq!(caption(&wait_for_caption_at(running.address, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    running.shut_down().await.unwrap();
}

async fn upload_at(address: SocketAddr) -> String {
    let form = reqwest::Client::new().post(format!("http://{address}/images")).header("Content-Type", Form::content_type());
    Answer::read(form.body(Form::upload("alice", &jpeg(64, 64, 1)).finish()).send().await.unwrap()).await.image_id()
}

async fn wait_for_caption_at(address: SocketAddr, id: &str) -> Value {
    Answer::read(reqwest::get(format!("http://{address}/images/{id}?wait=30")).await.unwrap()).await.ok()
}

#[tokio::test]
async fn an_endpoint_is_used_over_tls_only_if_its_certificate_is_trusted() {
    let (mut home, (chat, certificate)) = (Home::new().await, Chat::start_secure().await);
    for (variable, value) in [("CAPTION_URL", chat.url.as_str()), ("CAPTION_MODEL", "llava:7b"), ("CAPTION_API_KEY", "key-7")] {
        home.set(variable, value);
    }
    let process = Process::start(&home, &[]).await;
    let id = upload_at(process.address).await;
    wait_until("the certificate is rejected", async || process.log().contains("certificate")).await;
    assert!(chat.requests().is_empty());
    process.stop().await;
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&trusted, certificate).unwrap();
    let process = Process::start(&home, &[("SSL_CERT_FILE", trusted.path().to_str().unwrap())]).await;
    assert_eq!(caption(&wait_for_caption_at(process.address, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    assert_eq!(chat.requests()[0].authorization.as_deref(), Some("Bearer key-7"));
    process.stop().await;
}

#[tokio::test]
async fn the_caption_of_a_private_image_is_visible_only_to_its_owner() {
    let (chat, gate) = (Chat::start().await, Arc::new(Semaphore::new(0)));
    let app = start_service(&chat, &[]).await;
    chat.reply_with(&[Reply::Gated(Arc::clone(&gate), "a secret")]);
    let form = Form::upload("alice", &jpeg(64, 64, 1)).text("visibility", "private");
    let id = app.post(form).await.image_id();
    // A caller who may not see the image cannot wait for its caption either.
    let path = format!("/images/{id}?wait=30");
    let (foreign, anonymous) = (app.by("bob", Method::GET, &path).await, app.get(&path).await);
    assert_error(&foreign, 404, "NotFound");
    assert_error(&anonymous, 404, "NotFound");
    assert_error(&request_caption(&app, "bob", &id).await, 404, "NotFound");
    gate.add_permits(1);
    let image = app.by("alice", Method::GET, &path).await.ok();
    assert_eq!(caption(&image)[..2], [&json!("ready"), &json!("a secret")]);
    for path in ["/images".to_owned(), path, format!("/i/{id}.json")] {
        let answers = [app.get(&path).await, app.by("bob", Method::GET, &path).await];
        assert!(answers.iter().all(|answer| !answer.text().contains("secret")), "{path}");
    }
}

#[tokio::test]
async fn local_endpoints_are_not_reached_through_a_proxy() {
    let (home, chat) = (Home::embedded(), Chat::start().await);
    let no_proxy = "http://127.0.0.1:9";
    let settings = [("HTTP_PROXY", no_proxy), ("ALL_PROXY", no_proxy), ("CAPTION_URL", &chat.url), ("CAPTION_MODEL", "llava:7b")];
    let process = Process::start(&home, &settings).await;
    // The embedded storage is not reached through the proxy either.
    let id = upload_at(process.address).await;
    assert_eq!(caption(&wait_for_caption_at(process.address, &id).await)[..2], [&json!("ready"), &json!(DEFAULT_CAPTION)]);
    process.stop().await;
}

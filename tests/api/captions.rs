//! Captions: asked for by uploads and by owners, made in their turn, tried again, given up; by an endpoint that the test speaks
//! for. The queue of their jobs and the model inside the process have files of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::chat::{Chat, Reply, SAYS};
use crate::harness::pictures::jpeg;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Form, TestApp, assert_error};

/// A service that asks the endpoint, with a second or so for each answer.
pub async fn service(chat: &Chat, settings: &[&str]) -> TestApp {
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

/// The image when its caption is settled.
pub async fn settled(app: &TestApp, id: &str) -> Value {
    let image = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_ne!(image["caption_status"], "pending", "{image:#}");
    image
}

pub async fn ask(app: &TestApp, user: &str, id: &str) -> Answer {
    app.by(user, Method::POST, &format!("/images/{id}/caption")).await
}

pub fn caption(image: &Value) -> [&Value; 4] {
    ["caption_status", "caption", "caption_model", "caption_error"].map(|field| &image[field])
}

pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not until {what}");
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
    for wait in ["31", "-1", "soon"] {
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
    assert_eq!(
        caption(&failed),
        [&json!("failed"), &json!("another"), &json!("llava:7b"), &json!("the endpoint responded with 400")]
    );
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
    for reason in ["captioning took too long", "the endpoint's response is too long", "the endpoint's response contains no text"]
    {
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
    for reason in [
        "the endpoint's response is not a chat completion",
        "the endpoint responded with 500",
        "the endpoint's response is incomplete",
    ] {
        let id = upload(&app, "alice", reason.len() as u64).await;
        assert_eq!(settled(&app, &id).await["caption_error"], reason);
    }
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
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&trusted, certificate).unwrap();
    let process = Process::start(&home, &[("SSL_CERT_FILE", trusted.path().to_str().unwrap())]).await;
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

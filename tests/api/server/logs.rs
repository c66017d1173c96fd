//! The log: one line per request, without data of clients.

use std::collections::HashSet;

use serde_json::Value;

use crate::harness::client::{Client, Upload};
use crate::harness::pictures;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Form, assert_error};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_one_line_per_request_with_its_id_and_no_client_data() {
    let home = Home::new().await;
    let process = Process::start(&home, &[("LOG_FORMAT", "json")]).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let client = Client::new(process.address);
    let form = Form::new().text("user_id", "secret-user").text("title", "secret-title").text("tags", "secret-tag");
    let file = pictures::jpeg(96, 64, 1);
    let form = form.text("description", "secret-description").file_named("secret-name.jpg", "image/jpeg", &file);
    let upload = http.post(client.url("/images")).header("Content-Type", Form::content_type()).header("X-Request-Id", "first");
    let image = Answer::read(upload.body(form.finish()).send().await.expect("an answer")).await.image();
    let id = image["image_id"].as_str().expect("an id");

    let mut ids = vec!["first".to_owned()];
    for (number, path) in [
        format!("/images/{id}"),
        "/images?user_id=secret-user".to_owned(),
        "/images?unknown=secret-value".to_owned(),
        "/users/secret-user/images".to_owned(),
        "/tags/secret-tag/images".to_owned(),
        "/images?page_token=secret-token".to_owned(),
        "/secret-path".to_owned(),
        "/ready".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let request = http.get(client.url(path)).header("X-Request-Id", format!("request-{number}"));
        Answer::read(request.send().await.expect("an answer")).await;
        ids.push(format!("request-{number}"));
    }
    let refused = http.patch(client.url(&format!("/images/{id}"))).header("X-User-Id", "secret-other");
    let refused = refused.header("X-Request-Id", "not-the-owner").json(&serde_json::json!({"title": "secret-change"}));
    assert_error(&Answer::read(refused.send().await.expect("an answer")).await, 403, "Forbidden");
    ids.push("not-the-owner".to_owned());
    let generated = client.get("/health").await;
    ids.push(generated.header("x-request-id").to_owned());
    // The embedded storage writes to the same log.
    let url = image["download_url"].as_str().expect("a URL");
    assert_eq!(http.get(url).send().await.expect("an answer").status(), 200);
    let altered = http.get(format!("{url}0")).send().await.expect("an answer");
    assert!(altered.status().is_client_error());
    let signature = url.split("X-Amz-Signature=").nth(1).expect("a signature").split('&').next().expect("a signature").to_owned();

    let log = process.stop().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    for id in &ids {
        let count = lines.iter().filter(|line| line["request_id"] == **id).count();
        assert_eq!(count, 1, "{id} in\n{log}");
    }
    let about_requests: HashSet<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(about_requests.len(), ids.len(), "{log}");
    let line = lines.iter().find(|line| line["request_id"] == "request-0").expect("a line");
    assert_eq!((&line["method"], &line["route"]), (&"GET".into(), &"/images/{image_id}".into()));
    assert!(line["status"] == 200 && line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    for secret in ["secret-", "X-Amz-", &signature] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert!(leak.is_none(), "{secret} is in the log: {leak:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unknown_names_give_a_short_response_and_log() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("one", 1)).await.image_id();
    let name = |number: usize| format!("secret-{number}-{}", "n".repeat(70));

    let parts = (0..100_000).fold(Form::new(), |form, number| form.text(&format!("secret-{number}"), ""));
    let parts = http.post(client.url("/images")).header("Content-Type", Form::content_type()).body(parts.finish());
    let repeated = (0..100_000).fold(Form::new(), |form, _| form.text("title", "x"));
    let repeated = http.post(client.url("/images")).header("Content-Type", Form::content_type()).body(repeated.finish());
    let query: Vec<String> = (0..400).map(name).collect();
    let query = http.get(client.url(&format!("/images?{}", query.join("&"))));
    let fields: serde_json::Map<String, Value> = (0..600).map(|number| (name(number), Value::Null)).collect();
    let fields = http.patch(client.url(&format!("/images/{id}"))).header("X-User-Id", "alice").json(&fields);
    for (request, reported) in [(parts, 21), (repeated, 2), (query, 21), (fields, 21)] {
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        let details = assert_error(&answer, 422, "ValidationError");
        let details = details.as_object().expect("fields");
        assert!(details.len() == reported && details.contains_key("(more)"), "{details:?}");
        assert!(details.keys().all(|name| name.len() <= 64) && answer.body.len() < 5000, "{} bytes", answer.body.len());
    }
    let log = process.stop().await;
    assert_eq!(log.matches("20 unknown names").count(), 3, "{log}");
    assert!(!log.contains("secret-") && log.lines().all(|line| line.len() < 1000), "{log}");
}

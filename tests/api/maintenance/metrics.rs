//! `GET /metrics`: the format, what is counted, and which labels there are.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::metrics::sample_value;
use crate::harness::pictures::{flat_jpeg, jpeg};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxied};
use crate::harness::raw_connection::Raw;
use crate::harness::{Form, TestApp, assert_error};

#[tokio::test]
async fn metrics_are_in_openmetrics_format_and_count_requests_and_uploads() {
    let app = TestApp::start().await;
    app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.ok();
    assert_error(&app.post(Form::upload("alice", &flat_jpeg(40, 40))).await, 400, "InvalidFile");
    app.get("/nope/with-a-secret-in-it").await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"), "{}", answer.header("content-type"));
    let text = answer.text();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"));
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(["HELP ", "TYPE ", "UNIT "].iter().any(|kind| comment.starts_with(kind)), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte)), "{line}");
        }
    }
    let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["requests", "POST", "/images", "200", " 1"]), "{text}");
    assert!(has(&["requests", "POST", "/images", "400", " 1"]), "{text}");
    assert!(has(&["upload", "stored", " 1"]) && has(&["upload", "invalid_file", " 1"]), "{text}");
    assert!(!text.contains("secret"), "paths that match no route are not labels");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_uploads_stages_budgets_connections_and_intents() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let upload = Upload::small("counted", 1).with_key("counted");
    let id = client.upload(&upload).await.image_id();
    client.upload(&upload).await.ok();
    assert_error(&client.upload(&Upload::of("no picture", &[b'x'; 2000])).await, 415, "UnsupportedMediaType");
    assert_error(&client.upload(&Upload::of(&"long".repeat(60), &[b'x'; 2000])).await, 422, "ValidationError");
    assert_error(&client.upload(&Upload::of("too large", &vec![b'x'; (10 << 20) + 1])).await, 400, "InvalidFile");
    assert_error(&client.upload(&Upload::of("far too large", &vec![b'x'; 11 << 20])).await, 413, "PayloadTooLarge");
    let cut_off = Upload { body: upload.body.slice(..1000), ..upload.clone() };
    assert_error(&client.upload(&cut_off).await, 400, "BadRequest");
    client.get(&format!("/images/{id}")).await.ok();
    client.get("/images").await.ok();
    assert_eq!(client.get("/images/nothing").await.status, 404);
    let metrics = client.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(metrics.text().ends_with("# EOF\n"));
    for (sample, value) in [
        ("http_requests_total{method=\"POST\",route=\"/images\",status=\"200\"}", 2.0),
        ("http_requests_total{method=\"POST\",route=\"/images\",status=\"415\"}", 1.0),
        ("http_requests_total{method=\"GET\",route=\"/images/{image_id}\",status=\"200\"}", 1.0),
        ("http_requests_total{method=\"GET\",route=\"/images/{image_id}\",status=\"404\"}", 1.0),
        ("http_request_duration_seconds_count{method=\"POST\",route=\"/images\"}", 7.0),
        ("http_requests_in_flight", 1.0),
        ("uploads_total{method=\"form\",result=\"stored\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"replayed\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"unsupported_format\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"invalid\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"invalid_file\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"too_large\"}", 1.0),
        ("uploads_total{method=\"form\",result=\"malformed\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"decode\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"thumbnails\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"intent\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"objects\"}", 1.0),
        ("upload_stage_duration_seconds_count{stage=\"record\"}", 1.0),
        ("upload_memory_budget_bytes", 134_217_728.0),
        ("upload_memory_in_use_bytes", 0.0),
        ("receiving_memory_budget_bytes", 67_108_864.0),
        ("receiving_memory_in_use_bytes", 0.0),
        ("upload_disk_budget_bytes", 1_073_741_824.0),
        ("upload_disk_in_use_bytes", 0.0),
        ("spilled_uploads_total", 0.0),
        ("decode_memory_budget_bytes", 268_435_456.0),
        ("decode_memory_in_use_bytes", 0.0),
        ("intents{state=\"uploading\"}", 0.0),
        ("intents{state=\"removing\"}", 0.0),
    ] {
        assert_eq!(sample_value(&metrics, &format!("image_service_{sample}")), value, "{sample}");
    }
    for state in ["in_use", "idle", "max"] {
        sample_value(&metrics, &format!("image_service_database_connections{{state=\"{state}\"}}"));
    }
    assert!(sample_value(&metrics, "image_service_sweeper_last_success_timestamp_seconds") > 1.6e9);
    assert!(metrics.text().contains("image_service_http_request_duration_seconds_bucket{le="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_after_its_client_disconnected_is_counted_and_logged() {
    let proxied = Proxied::new().await;
    let process = Process::start(&proxied.home, &[("S3_TIMEOUT", "1")]).await;
    proxied.storage.set(Fault::Hang);
    let client = Client::new(process.address);
    let upload = Upload::small("nobody waits", 1);
    let mut raw = Raw::open(&process).await;
    raw.begin_upload(upload.body.len(), "").await;
    raw.send(&upload.body).await;
    while sample_value(&client.get("/metrics").await, "image_service_intents{state=\"uploading\"}") == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(raw);
    let started = Instant::now();
    let counted = "image_service_uploads_total{method=\"form\",result=\"unavailable\"} 1\n";
    while !client.get("/metrics").await.text().contains(counted) || !process.log().contains("client had disconnected") {
        assert!(started.elapsed() < HANG_TIMEOUT, "the failure is not counted and logged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lines: Vec<String> =
        process.log().lines().filter(|line| line.contains("client had disconnected")).map(str::to_owned).collect();
    assert!(lines.len() == 1 && lines[0].contains("did not answer within 1s: put object"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_create_metric_labels() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("one", 1)).await.image_id();
    for number in 0..20 {
        for path in [format!("/nothing/{number}"), format!("/users/user{number}/images"), format!("/tags/tag{number}/images")] {
            client.get(&path).await;
        }
        client.get(&format!("/images/{}?include_url=false", id.replace(&id[..2], &format!("{number:02}")))).await;
        client.get(&format!("/docs/{number}")).await;
        let mut raw = Raw::open(&process).await;
        raw.send(format!("BREW{number} /images HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(raw.read_answer().await.head.starts_with("HTTP/1.1 405 "));
    }
    let metrics = client.get("/metrics").await;
    let requests: String = metrics.text().lines().filter(|line| line.starts_with("image_service_http_requests_total{")).collect();
    let values = |label: &str| -> BTreeSet<String> {
        let label = format!("{label}=\"");
        let values = requests.split(&label).skip(1).filter_map(|rest| rest.split('"').next());
        values.map(str::to_owned).collect()
    };
    let methods = values("method");
    assert!(methods.iter().all(|method| ["GET", "POST", "OTHER"].contains(&method.as_str())), "{methods:?}");
    assert!(methods.contains("OTHER"));
    for route in values("route") {
        assert!(!route.contains(|letter: char| letter.is_ascii_digit()), "{route}");
        assert!(route == "(none)" || route.starts_with('/'), "{route}");
    }
    assert!(!metrics.text().contains(&id));
}
